# frozen_string_literal: true

require_relative "helper"

# The table of shapes in crates/mapvar/examples/shapes: what Rust has set, Ruby reads and shows as the table says,
# and what Ruby sets again, Rust reads by its types.
class ShapesTest < Case
  not_under_stress

  # Runs the program of the table.
  def shapes(*arguments)
    program = built("examples/shapes")
    if program.nil?
      # `cargo xtask harness bindings` builds it.
      ENV["MAPVAR_TEST_PEERS"] ? flunk("no program of the table") : omit("the table's program is not built")
    end
    start(program, *arguments) { |pipe| pipe.read.force_encoding("UTF-8").delete("\r") }
  end

  # The form in which every language shows a value.
  def shown(value, nested: true)
    case value
    when nil then "nil"
    when Hash then "{#{value.map { |key, it| "#{shown(key)}: #{shown(it)}" }.join(", ")}}"
    when Array then "[#{value.map { |it| shown(it) }.join(", ")}]"
    when String
      if value.encoding == Encoding::BINARY then "0x#{value.unpack1("H*")}"
      else nested ? "\"#{value}\"" : value
      end
    else value.to_s
    end
  end

  def test_ruby_reads_and_sets_what_rust_has_set
    table = shapes("table").lines(chomp: true).to_h { |line| line.split("\t", 2) }
    assert_operator(table.size, :>=, 30)
    Dir.mktmpdir do |folder|
      file = File.join(folder, "shapes.map")
      assert_equal("", shapes("write", file))
      Map.open(file: file) do |map|
        found = table.to_h { |name, _| [name, shown(map[name], nested: false)] }
        assert_equal(table, found)
        table.each_key { |name| map["#{name}.ruby"] = map[name] }
      end
      assert_equal("", shapes("read", file, ".ruby"))
    end
  end
end
