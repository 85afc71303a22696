# frozen_string_literal: true

require_relative "helper"

# Plain structs of a program in Rust.
class StructsTest < Case
  not_under_stress

  WHEEL = { "on" => true, "speed" => 1.5 }.freeze

  def test_a_struct_is_a_hash_and_its_fields_have_names
    program = built("examples/structs")
    omit("`cargo build --all-features --examples` builds the program that sets the struct") unless program
    name = unique
    start(program, name) do |pipe|
      assert_match(/\Aready/, pipe.gets)
      Map.open(name) do |map|
        assert_equal({ "gear" => -1, "rpm" => 900.0, "lap" => 2**64 - 1, "wheels" => [WHEEL] * 4 }, map[:car])
        assert_equal(900.0, map.field(:car, :rpm))
        assert_equal(2**64 - 1, map.field("car", "lap"))
        assert_equal(true, map.field(:car, "wheels.3.on"))
        assert_equal(WHEEL, map.field(:car, "wheels.0"))
        assert_equal(5, map.set_field(:car, :rpm, 5))
        assert_equal(5.0, map.field(:car, :rpm))
        map.set_field(:car, "wheels.2", { "on" => false, "speed" => 2.5 })
        assert_equal(2.5, map.field(:car, "wheels.2.speed"))
        check_errors(map)
        assert_equal([:car], map.keys.map(&:to_sym))
      end
    end
  end

  private

  def check_errors(map)
    error = assert_raise(Mapvar::NotFound) { map.field(:car, :speed) }
    assert_match(/"car"/, error.message)
    assert_raise(Mapvar::NotFound) { map.field(:none, :speed) }
    assert_raise(Mapvar::OutOfRange) { map.set_field(:car, :gear, 128) }
    assert_raise(Mapvar::WrongKind) { map.set_field(:car, :gear, "fast") }
    assert_raise(Mapvar::InvalidArgument) { map.set_field(:car, "wheels.2", { "on" => false }) }
    map[:text] = "x"
    assert_raise(Mapvar::WrongKind) { map.field(:text, :speed) }
    map.delete(:text)
    assert_equal(-1, map.field(:car, :gear))
  end
end
