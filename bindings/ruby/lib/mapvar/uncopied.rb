# frozen_string_literal: true

module Mapvar
  # What stands for something of the library's: a second object for it would free what the first one uses.
  # @api private
  module Uncopied
    private

    # Ruby hands a copy the finalizer of the original, and runs it when the copy is collected.
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
