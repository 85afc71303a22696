# frozen_string_literal: true

require_relative "helper"

# The border: where the library is found, its errors, and handles.
class LibraryTest < Case
  # A private constant.
  Library = Mapvar.class_eval("Library", __FILE__, __LINE__)

  # Stands for FFI::Platform.
  System = Struct.new(:windows, :mac) do
    def windows?
      windows
    end

    def mac?
      mac
    end
  end

  def candidates(env, system, folder = "/nowhere")
    Library.candidates(env: env, folder: folder, platform: system)
  end

  def test_where_the_library_is_searched
    linux = System.new(false, false)
    assert_equal(["/x/libmapvar.so"], candidates({ "MAPVAR_LIB" => "/x/libmapvar.so" }, linux))
    assert_equal(["libmapvar.so.0", "libmapvar.so"], candidates({ "MAPVAR_LIB" => "" }, linux))
    assert_equal(["libmapvar.dylib"], candidates({}, System.new(false, true)))
    assert_equal(["mapvar.dll"], candidates({}, System.new(true, false)))
    folder do |path|
      File.write(beside = File.join(path, "mapvar.dll"), "")
      assert_equal([beside, "mapvar.dll"], candidates({}, System.new(true, false), path))
    end
  end

  def test_a_library_that_is_not_there
    omit("starts processes") if ENV["MAPVAR_GC_STRESS"]
    said = start({ "MAPVAR_LIB" => "/no/such/library" }, *RUBY, "-e", "require 'mapvar'", &:read)
    assert_match(/LoadError/, said)
    assert_match(/MAPVAR_LIB/, said)
  end

  # Each error of the C header has its class here, and no class is left over.
  def test_every_error_has_its_class
    header = File.expand_path("../../../crates/capi/include/mapvar.h", __dir__)
    omit("not in the repository") unless File.file?(header)
    # The codes come first, up to the first of another kind.
    codes = File.read(header)[/\A.*?MAPVAR_PANICKED \d+/m].scan(/^#define MAPVAR_([A-Z_]+) (\d+)$/).to_h
    codes.delete("OK")
    expected = codes.to_h { |name, code| [Integer(code), name.split("_").map(&:capitalize).join] }
    found = Mapvar::Error::BY_CODE.transform_values { |it| it.name.delete_prefix("Mapvar::") }
    assert_equal(expected, found)
    expected.each do |code, name|
      assert_equal(name, Library.mapvar_error_name(code))
      error = Mapvar::Error::BY_CODE[code].new("text")
      assert_equal([code, "text"], [error.code, error.message])
      assert_kind_of(SystemCallError, error)
      assert_operator(error.errno, :>, 0)
    end
  end

  # The attached functions are those of the header, with the same number of arguments.
  def test_every_function_is_as_the_header_has_it
    header = File.expand_path("../../../crates/capi/include/mapvar.h", __dir__)
    omit("not in the repository") unless File.file?(header)
    declared = File.read(header).scan(/^\w[\w *]*?(mapvar_\w+)\(([^)]*)\);/m).to_h do |name, arguments|
      [name, arguments.strip == "void" ? 0 : arguments.count(",") + 1]
    end
    source = File.read(File.join(LIB, "mapvar/library.rb"))
    attached = source.scan(/(?:quick|waits) :(mapvar_\w+)/).flatten
    assert_operator(attached.length, :>, 80)
    attached.each do |name|
      assert_true(declared.key?(name), "#{name} is not in the header")
      # Passes one argument too many; FFI counts them before it calls.
      error = assert_raise(ArgumentError) { Library.public_send(name, *[0] * 20) }
      assert_equal(declared[name], Integer(error.message[/(?:expected|for) (\d+)/, 1]), name)
    end
  end

  # A handle is a number that the library looks up.
  def test_handles_that_are_none
    [0, 1, (1 << 64) - 1, 0xdeadbeef].each do |handle|
      out = FFI::MemoryPointer.new(:uint64)
      code = Library.mapvar_map_count(handle, out)
      assert_include([Mapvar::Closed::CODE, Mapvar::InvalidArgument::CODE], code)
    end
  end

  # Values of all sizes around that of the first buffer.
  def test_buffers
    Map.create(unique, size: 1 << 20) do |map|
      [0, 1, 4070, 4080, 4085, 4086, 4090, 4095, 4096, 4097, 65_535, 65_536, 70_000, 1_000_000].each do |length|
        map[:v] = "x" * length
        assert_equal(length, map[:v].length)
        map[:v] = "\xfe".b * length
        assert_equal("\xfe".b * length, map[:v])
      end
    end
  end

  # Many garbage-collected objects, while others are in use.
  def test_garbage
    Map.create(name = unique) do |map|
      map[:a] = 1
      500.times do |i|
        Map.open(name)[:a]
        map.atomic(:counter, 0).add
        map.each.next
        map[:a] = i
      end
      GC.start
      assert_equal([499, 500], [map[:a], map.atomic(:counter).value])
    end
  end

  # A signal handler that uses maps itself, while the interrupted code uses maps.
  def test_a_signal_handler
    omit("no such signal") if windows?
    Map.create(unique) do |map|
      map[:a] = "a" * 5000
      count = 0
      old = trap(:USR1) { count += 1 if map[:a] == "a" * 5000 && map.fetch(:none, 5) == 5 }
      sender = Thread.new { 50.times { Process.kill(:USR1, Process.pid) and sleep 0.002 } }
      200.times do
        map[:b] = "b" * 300
        assert_equal("b" * 300, map[:b])
      end
      sender.join
      await { count >= 1 }
    ensure
      trap(:USR1, old || "DEFAULT")
    end
  end
end
