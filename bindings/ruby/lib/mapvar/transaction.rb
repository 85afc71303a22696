# frozen_string_literal: true

module Mapvar
  # The argument of the block of {Map#transaction}: reads and writes that become one. It must not be used after the
  # block.
  class Transaction
    # @api private
    def initialize(handle, map, permitted)
      @handle = handle
      @map = map
      @permitted = permitted
    end

    # A variable's value as this transaction has set it, or as it was when the transaction first read it; nil if there
    # is no such variable.
    def [](name)
      fetch(name, nil)
    end

    # As {Map#fetch}.
    def fetch(name, default = (no_default = true))
      text = Opening.utf8(name)
      value = Library.handle(:mapvar_value_free) do |out|
        patiently { Library.mapvar_transaction_get(@handle, text, text.bytesize, out) }
      end
      return Values.of(value, @permitted) if value
      return yield(name) if block_given?
      return default unless no_default

      raise KeyError.new("no variable #{text.inspect} in #{@map.inspect}", receiver: @map, key: name)
    ensure
      Library.mapvar_value_free(value) if value
    end

    # Whether there is such a variable.
    def key?(name)
      absent = Object.new
      !fetch(name, absent).equal?(absent)
    end

    # Sets a variable at the end of the block.
    def []=(name, value)
      text = Opening.utf8(name)
      Values.with(value) do |it|
        Library.check(patiently { Library.mapvar_transaction_set(@handle, text, text.bytesize, it) })
      end
    end
    alias store []=

    # Sets an ephemeral variable at the end of the block; see {Map#set_ephemeral}.
    # @return [Object] the value
    def set_ephemeral(name, value)
      text = Opening.utf8(name)
      Values.with(value) do |it|
        Library.check(patiently { Library.mapvar_transaction_set_ephemeral(@handle, text, text.bytesize, it) })
      end
      value
    end

    # Removes a variable at the end of the block.
    # @return [nil]
    def delete(name)
      text = Opening.utf8(name)
      Library.check(patiently { Library.mapvar_transaction_remove(@handle, text, text.bytesize) })
    end

    private

    def patiently(&block)
      Library.patiently(@map.timeout, &block)
    end
  end
end
