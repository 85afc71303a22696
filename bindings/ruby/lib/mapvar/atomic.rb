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
    # @raise [NotFound] if it was removed
    def value
      with_out { |it| Library.__send__(@calls.load, @owned.handle, it) }
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
      with_out { |it| Library.__send__(@calls.swap, @owned.handle, native(value), it) }
    end

    # Stores `new` if the value is `old`.
    #
    # @return [Boolean] whether it stored `new`
    def compare_and_set(old, new)
      out = @outs.pop || FFI::MemoryPointer.new(8)
      code = Library.__send__(@calls.compare_exchange, @owned.handle, native(old), native(new), out, nil)
      Library.check(code) unless code.zero?
      out.get_int32(0).tap { @outs.push(out) } == 1
    end

    # Adds an Integer, wrapping around at the ends of the type.
    #
    # @return [Integer] the new value
    # @raise [Unsupported] for a Float or boolean
    def add(number = 1)
      wrap(change(@calls.add, number) + number)
    end

    # Subtracts an Integer, as {#add}.
    def sub(number = 1)
      wrap(change(@calls.sub, number) - number)
    end

    # Stores an Integer if it is larger than the value.
    #
    #   map.atomic(:peak, 0).max(7) #=> 7
    #
    # @return [Integer] the new value
    # @raise [Unsupported] for a Float or boolean
    # @raise [Conflict] if other threads stored a value at each of 1,000 attempts
    def max(number)
      [change(@calls.max, number), number].max
    end

    # Stores an Integer if it is smaller than the value, as {#max}.
    def min(number)
      [change(@calls.min, number), number].min
    end

    # Stores the bits that are set in both the value and an Integer, as {#max}.
    def and(number)
      change(@calls.and, number) & number
    end

    # Stores the bits that are set in the value or in an Integer, as {#max}.
    def or(number)
      change(@calls.or, number) | number
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
    INTEGERS = %i[i64 u64].freeze
    # The functions of one type, and how FFI reads its results.
    Calls = Struct.new(:load, :swap, :compare_exchange, :add, :sub, :max, :min, :and, :or, :read)
    CALLS = Library::ATOMICS.to_h do |type, native|
      functions = Calls.members[0...-1].map { |operation| :"mapvar_atomic_#{operation}_#{type}" }
      functions.fill(nil, 3) unless INTEGERS.include?(type)
      [type, Calls.new(*functions, :"get_#{native}").freeze]
    end.freeze
    private_constant :TYPES, :INTEGERS, :Calls, :CALLS

    def initialize(map, name, initial, type)
      # The map must not be collected before this: it would be closed, and this with it.
      @map = map
      @name = name
      @type = type || TYPES.fetch(initial.class, :i64)
      @calls = CALLS[@type] or raise ArgumentError, "type: #{type.inspect}; one of i64, u64, f64, bool"
      # Locations for results. Each call takes one, since a signal handler or another thread may call meanwhile; one
      # that an exception keeps is garbage.
      @outs = []
      arguments = [map.__send__(:handle), name, name.bytesize]
      arguments << native(initial) unless initial.nil?
      function = :"mapvar_map_atomic_#{@type}#{"_or" unless initial.nil?}"
      handle = Library.handle(:mapvar_atomic_free) do |out|
        Library.patiently(map.timeout) { Library.public_send(function, *arguments, out) }
      end
      @owned = Owned.new(:mapvar_atomic_free, handle)
      ObjectSpace.define_finalizer(self, Owned.finalizer(@owned))
    end

    def change(function, number)
      raise Unsupported, "an atomic of type #{@type} has no such operation; use update" unless function

      with_out { |it| Library.__send__(function, @owned.handle, native(number), it) }
    end

    def with_out
      out = @outs.pop || FFI::MemoryPointer.new(8)
      code = yield out
      Library.check(code) unless code.zero?
      found = out.__send__(@calls.read, 0)
      @outs.push(out)
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
        raise RangeError, "#{value} does not fit #{@type}" unless fits?(value)

        value
      end
    end

    # Without Integers of more than a word, which Ruby allocates.
    def fits?(number)
      @type == :i64 ? number.bit_length < 64 : number >= 0 && number.bit_length <= 64
    end

    def wrap(number)
      return number if fits?(number)

      number &= (1 << 64) - 1
      @type == :i64 && number >= 1 << 63 ? number - (1 << 64) : number
    end
  end
end
