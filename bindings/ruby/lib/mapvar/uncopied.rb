# frozen_string_literal: true

module Mapvar
  # For objects that own a resource of the library: a copy would free the original's resource.
  # @api private
  module Uncopied
    private

    # A copy inherits the original's finalizer, which would run when the copy is collected.
    def initialize_copy(_other)
      ObjectSpace.undefine_finalizer(self)
      raise TypeError, "a #{self.class} cannot be copied; make another in the same way"
    end

    def marshal_dump
      raise TypeError, "a #{self.class} cannot be dumped; hand its name over, and open it there"
    end
  end
  private_constant :Uncopied
end
