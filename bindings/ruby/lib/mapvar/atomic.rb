# frozen_string_literal: true

module Mapvar
  # A number or boolean of a map in one machine word. Its type is permanent, and its operations take no lock. From
  # {Map#atomic}.
  #
  #   counter = map.atomic(:requests, 0)
  #   counter.add(1) #=> 1
  class Atomic
    include Uncopied

    # @return [String] the variable's name
    attr_reader :name
    # @return [:i64, :u64, :f64, :bool]
    attr_reader :type

    class << self
      private :new
    end

    # @return [Integer, Float, Boolean]
    # @raise [Removed]
    def value
      out { |it| call(:get, it) }
    end
    alias get value

    # @return [Object] the value
    # @raise [RangeError, TypeError] if the value does not fit the type
    def value=(value)
      swap(value)
    end

    # Stores a value.
    #
    # @return [Integer, Float, Boolean] the value before
    def swap(value)
      out { |it| call(:swap, native(value), it) }
    end

    # Stores `new` if the value is `old`.
    #
    # @return [Boolean] whether it stored `new`
    def compare_and_set(old, new)
      exchanged = FFI::MemoryPointer.new(:int32)
      Library.check(call(:compare_exchange, native(old), native(new), exchanged, nil))
      exchanged.read(:int32) == 1
    end

    # Adds an Integer, wrapping around at the ends of the type.
    #
    # @return [Integer] the new value
    # @raise [Unsupported] for a Float or boolean
    def add(number = 1)
      wrap(change(:add, number) + number)
    end

    # Subtracts an Integer, as {#add}.
    def sub(number = 1)
      wrap(change(:sub, number) - number)
    end

    # Stores the block's result for the value; if another thread or process changed the value meanwhile, the block
    # runs again.
    #
    # @return [Integer, Float, Boolean] the new value
    def update
      loop do
        old = value
        new = yield old
        return new if compare_and_set(old, new)
      end
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{@type} #{@name.inspect}>"
    end
    alias to_s inspect

    private

    TYPES = { Integer => :i64, Float => :f64, TrueClass => :bool, FalseClass => :bool }.freeze
    RANGES = { i64: -(1 << 63)...(1 << 63), u64: 0...(1 << 64) }.freeze
    private_constant :TYPES, :RANGES

    def initialize(map, name, initial, type)
      @name = name
      @type = type || TYPES.fetch(initial.class, :i64)
      @native = Library::ATOMICS[@type] or raise ArgumentError, "type: #{type.inspect}; one of i64, u64, f64, bool"
      arguments = [map.__send__(:handle), name, name.bytesize]
      arguments << native(initial) unless initial.nil?
      function = :"mapvar_map_atomic_#{@type}#{"_or" unless initial.nil?}"
      handle = Library.handle(:mapvar_atomic_free) do |out|
        Library.patiently(map.timeout) { Library.public_send(function, *arguments, out) }
      end
      @owned = Owned.new(:mapvar_atomic_free, handle)
      ObjectSpace.define_finalizer(self, Owned.finalizer(@owned))
    end

    def call(operation, *arguments)
      Library.public_send(:"mapvar_atomic_#{operation}_#{@type}", @owned.handle, *arguments)
    end

    def change(operation, number)
      raise Unsupported, "an atomic of type #{@type} cannot be added to; use update" unless RANGES.key?(@type)

      out { |it| call(operation, native(number), it) }
    end

    def out(&block)
      found = Library.number(@native, &block)
      @type == :bool ? found == 1 : found
    end

    def native(value)
      case @type
      when :f64
        raise TypeError, "#{value.inspect} is no Float" unless value.is_a?(Float)

        value
      when :bool
        raise TypeError, "#{value.inspect} is neither true nor false" unless [true, false].include?(value)

        value ? 1 : 0
      else
        raise TypeError, "#{value.inspect} is no Integer" unless value.is_a?(Integer)
        raise RangeError, "#{value} does not fit #{@type}" unless RANGES[@type].cover?(value)

        value
      end
    end

    def wrap(number)
      number &= (1 << 64) - 1
      @type == :i64 && number >= 1 << 63 ? number - (1 << 64) : number
    end
  end
end
