# frozen_string_literal: true

module Mapvar
  # Bytes that another language wrote and only it understands, or Ruby objects that were not loaded
  # because their classes were not permitted. Set to a variable, it is the same bytes again.
  Opaque = Struct.new(:language, :bytes)

  # The bytes of a plain type that its users know by a number.
  Pod = Struct.new(:type_id, :bytes)

  # As it was set: each value of a variable has another. Two that are equal stand for the same set; of a map in
  # the gem's layout for the same value.
  Revision = Struct.new(:variable, :number)

  class Opaque
    # The number of Ruby among languages.
    RUBY = 1

    # Loads Ruby objects, of which the classes are trusted.
    # @param permitted [Array<Class, String>, :all] classes that may be loaded besides those that are safe
    # @return [Object]
    # @raise [DisallowedClass]
    def load(permitted: [])
      raise Unsupported, "bytes of language #{language} are nothing that Ruby can load" unless language == RUBY

      Values.load(bytes, Values.permitted(permitted))
    end
  end

  # Values of Ruby, as the library has them.
  #
  # All of them cross the border marshalled: the library makes kinds of its own of what it can (nil, true, false,
  # Integer, Float, String in UTF-8 or binary, Array, Hash) and keeps the rest as it is.
  # @api private
  module Values
    # Classes whose loading runs nothing that a program or gem has defined.
    SAFE = %w[Complex Hash Range Rational Time].freeze
    # Types of which the first byte says that they hold no class: nil, booleans, numbers, binary strings.
    PLAIN = "0TFifl\"".bytes.freeze
    KINDS = { 8 => :list, 9 => :dict, 10 => :pod, 11 => :opaque }.freeze

    class << self
      # @return [:all, Array<String>]
      def permitted(classes)
        return :all if classes == :all

        Array(classes).map { |it| it.is_a?(Module) ? it.name : String(it) }.freeze
      end

      # A value of the library, freed at the end.
      def with(object)
        make = case object
               when Opaque, Pod then foreign(object)
               else
                 # Before anything is touched: what cannot be dumped raises here.
                 bytes = Marshal.dump(object)
                 ->(out) { Library.mapvar_value_from_marshal(bytes, bytes.bytesize, out) }
               end
        Library.with(:mapvar_value_free, make) { |value| yield value }
      end

      # For a map of the gem's layout: marshalled, with all that a value of the library does not have.
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

      # The object of a value's handle. What may not be loaded raises, or comes as it is where `lenient`.
      def of(value, permitted, lenient: false)
        bytes = Library.bytes(except: [Library::UNSUPPORTED]) do |*buffer|
          Library.mapvar_value_to_marshal(value, *buffer)
        end
        return walk(value, permitted, lenient) unless bytes.is_a?(String)

        load(bytes, permitted)
      rescue DisallowedClass, TooLarge, Corrupt
        raise unless lenient && bytes.is_a?(String)

        Opaque.new(Opaque::RUBY, bytes)
      end

      private

      # What Marshal has, and not what its classes want: a Time of two bytes.
      def restore(bytes)
        Marshal.load(bytes) # rubocop:disable Security/MarshalLoad -- looked at just before
      rescue TypeError, ArgumentError => e
        raise Corrupt, "Ruby cannot load it: #{e.message}; set it anew"
      end

      def foreign(object)
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

      # Of a value that holds what Marshal does not know.
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
