# frozen_string_literal: true

require_relative "helper"
require "bigdecimal"
require "set"

# A variable returns what was set, in both layouts.
class ValuesTest < Case
  Point = Struct.new(:x, :y)

  # A String of a class of its own.
  class Text < String
  end

  CYCLE = [1].tap { |it| it << it }

  VALUES = [
    nil, true, false,
    0, 1, -1, 122, 123, -123, -124, 255, 256, (1 << 30) - 1, 1 << 30, -(1 << 30), -(1 << 30) - 1,
    (1 << 62) - 1, 1 << 62, -(1 << 62), (1 << 63) - 1, 1 << 63, -(1 << 63), -(1 << 63) - 1, (1 << 64) - 1, 1 << 64,
    1 << 200, -(1 << 200),
    0.0, -0.0, 1.5, -1.5, 1e300, 5e-324, 0.1, Float::INFINITY, -Float::INFINITY, Float::MAX, Float::MIN,
    "", "a", "hello", "a\0b", "größe €", "😀" * 300, "x" * 5000, "x" * 100_000, "frozen".freeze,
    "binary\xff\0".b, "".b, "not \xff valid", "größe".encode("UTF-16LE"), "あ".encode("Shift_JIS"),
    "größe".encode("ISO-8859-1"),
    :symbol, :"with space", :größe, :"",
    [], [1], [1, [2, [3, nil]]], [1, "two", :three, 4.0, [nil, true]], Array.new(1000) { |i| i }, ["x"] * 100,
    {}, { "a" => 1 }, { a: 1, "b" => [2], 3 => { 4.5 => nil }, nil => true }, { [1] => { "k" => :v } },
    Time.at(0), Time.at(1_700_000_000, 123_456_789, :nsec), Time.at(0).utc, Time.new(2026, 1, 2, 3, 4, 5, "+09:00"),
    1r, 3/7r, 2i, Complex(1, 2.5), 1..2, 1...2, ("a".."z"), (1..), (..1), /ab+c/ix, /größe/
  ].freeze

  def same(expected, found)
    return assert_true(found.nan?) if expected.is_a?(Float) && expected.nan?

    assert_equal(expected, found)
    assert_equal(expected.class, found.class)
    case expected
    when String then assert_equal(expected.encoding, found.encoding)
    when Float then assert_equal([expected].pack("G"), [found].pack("G"))
    when Time then assert_equal([expected.nsec, expected.utc_offset], [found.nsec, found.utc_offset])
    when Symbol then assert_same(expected, found)
    end
  end

  def each_layout(**options)
    %i[mapvar marshal].each do |format|
      Map.create(unique, size: 1 << 20, format: format, **options) { |map| yield map, format }
    end
  end

  def test_every_value_comes_back
    each_layout do |map|
      VALUES.each do |value|
        map[:v] = value
        same(value, map[:v])
        same(value, map.to_h["v"])
        same(value, map.snapshot(:v)["v"])
      end
      # Two keys that the library sees as equal: nothing is lost.
      map[:v] = { 0.0 / 0.0 => 1, -(0.0 / 0.0) => 2 }
      assert_equal([1, 2], map[:v].values)
      map[:v] = Float::NAN
      same(Float::NAN, map[:v])
    end
  end

  def test_all_of_them_at_once_through_another_handle
    each_layout do |map, format|
      VALUES.each_with_index { |value, index| map["v#{index}"] = value }
      Map.open(map.name, format: format) do |other|
        VALUES.each_with_index { |value, index| same(value, other["v#{index}"]) }
        assert_equal(VALUES.length, other.count)
      end
    end
  end

  def test_in_a_transaction_and_an_update
    Map.create(unique, size: 1 << 20) do |map|
      VALUES.each do |value|
        map.transaction do |it|
          it[:v] = value
          same(value, it[:v])
        end
        same(value, map.transaction { |it| it[:v] })
        same(value, map.update(:w) { value })
        same(value, map.update(:w) { |old| old })
      end
    end
  end

  # Text in US-ASCII is UTF-8 to every other language, and so to a store; the gem's layout keeps its encoding.
  def test_us_ascii
    each_layout do |map, format|
      map[:v] = 77.to_s
      assert_equal(["77", format == :marshal ? Encoding::US_ASCII : Encoding::UTF_8], [map[:v], map[:v].encoding])
    end
  end

  # Properties that a Value of the library cannot hold: the gem's layout keeps them, a store keeps the value without
  # them.
  def test_what_only_marshal_has
    each_layout do |map, format|
      map[:counts] = Hash.new(5).merge!("a" => 1)
      assert_equal({ "a" => 1 }, map[:counts])
      assert_equal(format == :marshal ? 5 : nil, map[:counts]["b"])
      shared = "x"
      map[:twice] = [shared, shared]
      twice = map[:twice]
      assert_equal(format == :marshal, twice[0].equal?(twice[1]))
      map[:cycle] = CYCLE
      cycle = map[:cycle]
      assert_same(cycle, cycle[1])
      map[:identity] = { "a" => 1 }.compare_by_identity
      assert_true(map[:identity].compare_by_identity?)
      deep = 450.times.inject(1) { |inner, _| [inner] }
      map[:deep] = deep
      assert_equal(deep, map[:deep])
    end
  end

  def test_objects_that_are_permitted
    each_layout(permitted: [Point, Set, "BigDecimal", "ValuesTest::Text"]) do |map|
      [Point.new(1, [2]), Set[1, :a], BigDecimal("1.5"), Text.new("t"), { "k" => [Point.new(nil, nil)] }].each do |value|
        map[:v] = value
        same(value, map[:v])
      end
    end
  end

  # A walk continues past a variable that may not be loaded; the object can be loaded later, or stored elsewhere
  # unchanged.
  def test_what_may_not_be_loaded_comes_as_it_is
    each_layout do |map, format|
      map[:a] = 1
      map[:point] = Point.new(1, 2)
      assert_raise(Mapvar::DisallowedClass) { map[:point] }
      found = map.to_h
      assert_equal(1, found["a"])
      assert_kind_of(Mapvar::Opaque, found["point"])
      assert_equal(found["point"], map.snapshot(:point)["point"])
      assert_equal(Point.new(1, 2), found["point"].load(permitted: [Point]))
      assert_raise(Mapvar::DisallowedClass) { found["point"].load }
      map[:copy] = found["point"]
      Map.open(map.name, format: format, permitted: [Point]) do |other|
        assert_equal(Point.new(1, 2), other[:copy])
      end
    end
  end

  # Bytes that only another language understands.
  def test_pods_and_opaque_values_of_others
    Map.create(unique) do |map|
      pod = Mapvar::Pod.new(7, "\x01\x02".b)
      foreign = Mapvar::Opaque.new(99, "python".b)
      map[:pod] = pod
      map[:foreign] = foreign
      assert_equal([pod, foreign], [map[:pod], map[:foreign]])
      assert_equal({ "pod" => pod, "foreign" => foreign }, map.to_h)
      assert_equal(pod, map.transaction { |it| it[:pod] })
      assert_raise(Mapvar::Unsupported) { foreign.load }
    end
    Map.create(unique, format: :marshal) do |map|
      assert_raise(Mapvar::Unsupported) { map[:foreign] = Mapvar::Opaque.new(99, "python".b) }
      assert_raise(Mapvar::Corrupt, Mapvar::NotAMap) { map[:bad] = Mapvar::Opaque.new(1, "no marshal") }
      assert_equal([], map.keys)
    end
  end

  # Bytes of a hostile peer cause an error, and nothing else.
  def test_hostile_marshal
    Map.create(unique) do |map|
      ["\x04\x08o:\x0bObject\0", "\x04\x08c\x0bString", "\x04\x08[\x02\xff\xff", "", "\x04\x08", "\x04\x08I\"",
       "\x04\x09i\x06", "\x04\x08@\x06", "\x04\x08e:\x0fEnumerableo:\x0bObject\0"].each do |bytes|
        map[:v] = Mapvar::Opaque.new(1, bytes.b)
        assert_raise(Mapvar::DisallowedClass, Mapvar::Corrupt, Mapvar::NotAMap) { map[:v] }
      end
      # The bytes claim to be a Time and are not; a walk goes on all the same.
      map[:time] = Mapvar::Opaque.new(1, "\x04\bu:\x09Time\x07ab".b)
      assert_match(/cannot load/, assert_raise(Mapvar::Corrupt) { map[:time] }.message)
      map[:half] = Mapvar::Opaque.new(1, "\x04\bU:\x0dRational[\0".b)
      assert_raise(Mapvar::Corrupt) { map[:half] }
      assert_kind_of(Mapvar::Opaque, map.to_h["time"])
      # Nested deeper than a stack can hold.
      map[:v] = Mapvar::Opaque.new(1, "\x04\b#{"[\x06" * 1_000_000}0".b)
      assert_raise(Mapvar::TooLarge) { map[:v] }
      map[:v] = Mapvar::Opaque.new(1, "\x04\b#{"[\x06" * 501}0".b)
      assert_raise(Mapvar::TooLarge) { map[:v] }
      assert_kind_of(Mapvar::Opaque, map.to_h["v"])
    end
  end
end
