# frozen_string_literal: true

module Mapvar
  # Bytes that another language wrote and only it understands, or Ruby objects that were not loaded: because their
  # classes were not permitted, or because Ruby cannot build them ({Opaque#error}). Setting a variable to it stores the
  # same bytes.
  Opaque = Struct.new(:language, :bytes)

  # The bytes of a plain type that its users identify by a number.
  Pod = Struct.new(:type_id, :bytes)

  # Identifies one value of a variable. Equal revisions stand for the same set operation; for a map in the gem's
  # layout, for equal values.
  Revision = Struct.new(:variable, :number)

  class Opaque
    # The number of Ruby among the languages.
    RUBY = 1

    # @return [Exception, nil] why Ruby objects were not loaded
    attr_reader :error

    # For a value that could not be loaded. Without bytes, it could not even be read, and cannot be stored.
    # @api private
    def self.because(error, bytes = nil)
      new(bytes && RUBY, bytes).tap { |it| it.instance_variable_set(:@error, error) }
    end

    # Loads Ruby objects whose classes are trusted.
    # @param permitted [Array<Class, String>, :all] classes that may be loaded besides the safe ones
    # @return [Object]
    # @raise [DisallowedClass]
    def load(permitted: [])
      raise @error if bytes.nil? && @error
      raise Unsupported, "Ruby cannot load bytes of language #{language}" unless language == RUBY

      Values.load(bytes, Values.permitted(permitted))
    end
  end

  # Converts between Ruby's values and the library's.
  #
  # All values are passed in marshalled form. The library converts them to its own kinds where it can (nil, true,
  # false, Integer, Float, String in UTF-8 or binary, Array, Hash) and keeps all else as it is.
  # @api private
  module Values
    # Classes that are safe to load: it runs no code that a program or gem has defined.
    SAFE = %w[Complex Hash Range Rational Set Time].freeze
    # Type bytes that rule out any class: nil, booleans, numbers, binary strings.
    PLAIN = "0TFifl\"".bytes.freeze
    KINDS = { 8 => :list, 9 => :dict, 10 => :pod, 11 => :opaque }.freeze

    class << self
      # @return [:all, Array<String>]
      def permitted(classes)
        return :all if classes == :all

        Array(classes).map { |it| it.is_a?(Module) ? it.name : String(it) }.freeze
      end

      # Yields a value of the library, and frees it afterwards.
      def with(object)
        make = case object
               when Opaque, Pod then foreign(object)
               else
                 # Dumps first, so that an object that cannot be dumped raises before anything is changed.
                 bytes = Marshal.dump(object)
                 ->(out) { Library.mapvar_value_from_marshal(bytes, bytes.bytesize, out) }
               end
        Library.with(:mapvar_value_free, make) { |value| yield value }
      end

      # For a map in the gem's layout: the marshalled object, including all that a value of the library cannot hold.
      def verbatim(object, &block)
        with(object.is_a?(Opaque) ? object : Opaque.new(Opaque::RUBY, Marshal.dump(object)), &block)
      end

      # @param bytes [String] of Marshal, from anywhere
      # @raise [DisallowedClass]
      def load(bytes, permitted)
        unless permitted == :all || PLAIN.include?(bytes.getbyte(2))
          refused = classes(bytes) - SAFE - permitted
          raise disallowed(refused) unless refused.empty?
        end
        restore(bytes)
      end

      # Returns the object of a value's handle. If it may not be loaded, raises, or returns an {Opaque} if `lenient`.
      def of(value, permitted, lenient: false)
        bytes = Library.bytes(except: [Library::UNSUPPORTED]) do |*buffer|
          Library.mapvar_value_to_marshal(value, *buffer)
        end
        return walk(value, permitted, lenient) unless bytes.is_a?(String)

        lenient ? load_if_possible(bytes, permitted) : load(bytes, permitted)
      end

      # Returns the object of a value that the block reads; an {Opaque} if that fails or it may not be loaded.
      def leniently(permitted, &make)
        Library.with(:mapvar_value_free, make) { |value| of(value, permitted, lenient: true) if value }
      rescue Corrupt, WrongKind, TooLarge => e
        Opaque.because(e)
      end

      private

      # Marshal accepts such bytes, but the class refuses them: a Time of two bytes, a Regexp with an open bracket, a
      # Rational over zero.
      def restore(bytes)
        Marshal.load(bytes) # rubocop:disable Security/MarshalLoad -- checked just before
      rescue TypeError, ArgumentError, IndexError, RangeError, RegexpError, ZeroDivisionError, EncodingError => e
        raise Corrupt, "Ruby cannot load it: #{e.message}; set it anew"
      end

      # Errors that other threads raise here wait until the end of the block, so that none is mistaken for the value's.
      def load_if_possible(bytes, permitted)
        Thread.handle_interrupt(StandardError => :never) do
          load(bytes, permitted)
        rescue StandardError, ScriptError, SystemStackError => e
          Opaque.because(e, bytes)
        end
      end

      def foreign(object)
        raise object.error if object.is_a?(Opaque) && object.bytes.nil? && object.error

        bytes = String(object.bytes)
        function = object.is_a?(Pod) ? :mapvar_value_pod : :mapvar_value_opaque
        number = object.is_a?(Pod) ? object.type_id : object.language
        ->(out) { Library.public_send(function, number, bytes, bytes.bytesize, out) }
      end

      def classes(bytes)
        names = Library.bytes { |*buffer| Library.mapvar_marshal_classes(bytes, bytes.bytesize, *buffer) }
        names.force_encoding(Encoding::UTF_8).split("\0")
      end

      def disallowed(classes)
        DisallowedClass.new("it holds objects of #{classes.join(", ")}, and to load them would run code of " \
                            "theirs; where whoever writes to this map is trusted, open it with permitted: " \
                            "[#{classes.join(", ")}]", classes: classes)
      end

      # Converts a value whose parts Marshal cannot represent.
      def walk(value, permitted, lenient)
        case KINDS[Library.number(:uint32) { |out| Library.mapvar_value_kind(value, out) }]
        when :list
          Array.new(count(value)) { |index| part(:item, value, index, permitted, lenient) }
        when :dict
          Array.new(count(value)) do |index|
            [part(:key, value, index, permitted, lenient), part(:item, value, index, permitted, lenient)]
          end.to_h
        when :pod then Pod.new(type_id(value), octets(value))
        else Opaque.new(type_id(value), octets(value))
        end
      end

      def part(which, value, index, permitted, lenient)
        make = ->(out) { Library.public_send(:"mapvar_value_#{which}", value, index, out) }
        Library.with(:mapvar_value_free, make) { |it| of(it, permitted, lenient: lenient) }
      end

      def count(value)
        Library.number(:size_t) { |out| Library.mapvar_value_count(value, out) }
      end

      def type_id(value)
        Library.number(:uint32) { |out| Library.mapvar_value_type_id(value, out) }
      end

      def octets(value)
        at = FFI::MemoryPointer.new(:pointer)
        length = FFI::MemoryPointer.new(:size_t)
        Library.check(Library.mapvar_value_as_bytes(value, at, length))
        at.read_pointer.read_bytes(length.read(:size_t))
      end
    end
  end
  private_constant :Values
end
