# frozen_string_literal: true

require_relative "helper"

# The defects of the gem win32-mmap, by their numbers in the list of defects. Each comment says what the gem does; the
# test shows what happens here. The defects of locks that need a second process are in locks_test.rb.
class DefectsTest < Case
  def with(options = {})
    name = unique
    map = MMap.new(name: name, size: 2000, **options)
    yield map, name
  ensure
    map&.close
  end

  # --- Locks ----------------------------------------------------------------------------------------------------------

  # d3, d4. Reading an empty map raised a TypeError, and any exception left the lock taken for
  # every process.
  def test_d03_d04_a_fresh_map_has_no_variables
    with do |map, name|
      assert_nil(map.foo)
      poke(name, "\0" * 100)
      assert_nil(map.foo)
      map.foo = 1
      MMap.open(name) { assert_equal(1, map.foo) }
    end
  end

  # d3. Bytes that are not variables raise, and leave the lock free.
  def test_d03_an_exception_leaves_the_lock_free
    with do |map, name|
      map.write_string("\x04\x08{\x06I\"")
      assert_raise(Mapvar::Corrupt, Mapvar::NotAMap) { map.foo }
      other = MMap.open(name)
      assert_equal(0, other.write_string("")) # Takes the lock.
      other.variables.clear
      assert_nil(map.foo)
      other.close
    end
  end

  # d5. `[map].flatten` asked for `to_ary`, which was taken for a variable, and leaked the lock.
  def test_d05_implicit_conversions_are_no_variables
    with do |map, _|
      assert_equal([map], [map].flatten)
      assert_raise(NoMethodError) { map.to_ary }
      assert_raise(NoMethodError) { map.to_str = 1 }
      assert_false(map.respond_to?(:to_hash))
      assert_kind_of(String, "#{map}")
      first, = map
      assert_same(map, first)
      assert_equal([], map.keys)
    end
  end

  # d6. `close` released a lock that it did not hold, and so let a second process in.
  def test_d06_close_gives_back_no_lock
    with do |map, name|
      5.times { MMap.open(name).close }
      map.foo = 1
      assert_equal(0, map.variables.lock_stat[:broken])
    end
  end

  # d8. A nested lock was skipped silently. Here no user code runs under the lock: a block that reads and writes the
  # map that it changes succeeds.
  def test_d08_nested_use_works
    with do |map, _|
      map.n = 1
      map.variables.update(:n) do |n|
        map.within = n
        n + map.n
      end
      assert_equal([2, 1], [map.n, map.within])
    end
  end

  # d9. A second thread leaked the lock.
  def test_d09_threads_share_a_map
    with do |map, name|
      threads = Array.new(4) do |number|
        Thread.new { 10.times { |i| map["t#{number}"] = i } }
      end
      threads.each(&:join)
      assert_equal([9] * 4, map.keys.map { |key| map[key] })
      MMap.open(name) { |_| nil }
    end
  end

  # d13. Every unnamed and file map of the session shared one lock.
  def test_d13_maps_without_a_name_have_locks_of_their_own
    one = MMap.new(size: 100)
    two = MMap.new(size: 100)
    one.foo = 1
    assert_nil(two.foo)
    assert_nil(one.name)
    assert_nil(one.file)
    [one, two].each(&:close)
  end

  # d14. If an object of another kind had the name, the gem raised a NameError of its own.
  def test_d14_an_error_of_the_system_says_what_it_is
    folder do |path|
      error = assert_raise(Mapvar::NotFound, Mapvar::PermissionDenied, Mapvar::Io) do
        MMap.new(file: File.join(path, "no", "such", "folder"), size: 100)
      end
      assert_match(/folder/, error.message)
    end
  end

  # d16. `autolock = true`, set later, raised a TypeError at the next read.
  def test_d16_autolock_can_be_set_later
    with(autolock: false) do |map, _|
      assert_false(map.autolock?)
      map.autolock = true
      assert_true(map.autolock?)
      map.foo = 1
      assert_equal(1, map.foo)
    end
  end

  # d17. The default timeout of 10 ms was less than one read of a large map took.
  def test_d17_the_default_timeout_is_a_second
    with do |map, _|
      assert_equal(1000, map.timeout)
      map.timeout = 50
      assert_equal(50, map.timeout)
      assert_raise(ArgumentError) { map.timeout = -2 }
      assert_raise(ArgumentError) { map.timeout = "soon" }
    end
  end

  # --- Data -----------------------------------------------------------------------------------------------------------

  # d18. The last writer overwrote all variables with the values that it knew.
  def test_d18_writers_keep_each_others_variables
    with do |map, name|
      other = MMap.open(name)
      map.foo = 1
      other.bar = 2
      assert_equal(1, other.foo)
      map.baz = 3
      assert_equal([2, 3], [map.bar, other.baz])
      other.foo = 10
      map.qux = 4
      assert_equal(10, map.foo)
      other.close
    end
  end

  # d20. Writing beyond the end crashed, or left truncated data for every reader.
  def test_d20_what_does_not_fit_is_refused_with_nothing_written
    with(size: 100) do |map, _|
      map.foo = "kept"
      assert_raise(Mapvar::TooLarge) { map.bar = "x" * 200 }
      assert_raise(Mapvar::TooLarge) { map.bar = "x" * (1 << 20) }
      assert_raise(Mapvar::TooLarge) { map.write_string("x" * 101) }
      assert_equal(["kept", nil], [map.foo, map.bar])
    end
  end

  # d21. Opening with a size larger than the map's adopted that size, and read beyond the end.
  def test_d21_a_larger_size_than_there_is_is_refused
    with(size: 100) do |_, name|
      error = assert_raise(Mapvar::TooLarge) { MMap.new(name: name, size: 1_000_000) }
      assert_match(/1000000/, error.message)
      assert_raise(Mapvar::TooLarge) { MMap.open(name, size: 1_000_000) }
    end
  end

  # d22. `read_string` took any length, and `size=` and `address=` any number.
  def test_d22_a_read_beyond_the_end_is_refused
    with do |map, _|
      assert_raise(Mapvar::TooLarge) { map.read_string(1 << 20) }
      assert_raise(Mapvar::TooLarge) { map.read_string(1 << 60) }
      assert_raise(ArgumentError) { map.read_string(-1) }
      assert_raise(ArgumentError) { map.read_string(1.5) }
      assert_equal(2000, map.read_string.bytesize)
    end
  end

  # d23. `write_string` took the number of characters for the number of bytes, and truncated.
  def test_d23_write_string_counts_bytes
    with do |map, _|
      assert_equal(9, map.write_string("héllo€"))
      assert_equal("héllo€", map.read_string(9).force_encoding("UTF-8"))
      assert_equal(Encoding::BINARY, map.read_string(9).encoding)
    end
  end

  # d24. Raw bytes and variables share one location. In the gem's layout they still do, but a reader of the wrong kind
  # gets an error. In a store raw bytes have a separate area.
  def test_d24_raw_bytes_and_variables
    with do |map, _|
      map.foo = 1
      map.write_string("raw")
      error = assert_raise(Mapvar::NotAMap, Mapvar::Corrupt) { map.foo }
      assert_match(/clear/, error.message)
      map.variables.clear
      map.foo = 2
      assert_equal(2, map.foo)
    end
    with(format: :mapvar) do |map, _|
      map.foo = 1
      assert_equal(3, map.write_string("raw"))
      map.write_string("X")
      assert_equal([1, "Xaw\0", ["foo"]], [map.foo, map.read_string(4), map.keys])
      assert_equal(2000, map.read_string.bytesize)
      assert_raise(Mapvar::TooLarge) { map.read_string(2001) }
      assert_raise(Mapvar::TooLarge) { map.write_string("x" * 2001) }
      assert_raise(Mapvar::Unsupported) { map.address }
    end
  end

  # d25. No checksum, no version, no length: a killed writer left the map broken for all. The gem's layout cannot hold
  # them; such bytes are reported. A store keeps the old value: see processes_test.rb.
  def test_d25_broken_variables_are_reported_and_can_be_cleared
    with do |map, name|
      map.foo = "x" * 100
      poke(name, "\x04\x08{\x06I\"\x08foo\x06:\x06ETI\"\x02\xff")
      error = assert_raise(Mapvar::Corrupt) { map.foo }
      assert_match(/clear/, error.message)
      map.variables.clear
      assert_nil(map.foo)
    end
  end

  OPTIONS = %w[size file name protection access base_address inherit].freeze

  # d26. `map.address = 4096` wrote to that address, `map.hash = 1` broke the object, and `size`, `name`, `test` could
  # not be variables.
  def test_d26_names_of_methods_are_no_variables
    with do |map, _|
      methods = %w[address hash size name file class object_id access protection base_address inherit keys]
      methods.each do |name|
        error = assert_raise(ArgumentError) { map.public_send("#{name}=", 4096) }
        assert_match(/map\["#{name}"\]/, error.message)
        assert_equal(OPTIONS.include?(name), map.respond_to?("#{name}="), name)
        map[name] = "of #{name}"
      end
      methods.each { |name| assert_equal("of #{name}", map[name]) }
      assert_equal(2000, map.size)
      # Neither the gem's internals nor Ruby's functions are in the way.
      %w[semaphore mh fh lock_flag test format open puts].each do |name|
        map.public_send("#{name}=", name)
        assert_equal(name, map.public_send(name))
      end
    end
  end

  # d27. `map.foo?` and `map[1] = 2` became variables, and leaked the lock.
  def test_d27_only_names_are_variables
    with do |map, _|
      assert_raise(NoMethodError) { map.foo? }
      assert_raise(NoMethodError) { map.foo! }
      assert_raise(NoMethodError) { map + 1 }
      assert_raise(NoMethodError) { map.foo(1) }
      assert_raise(NoMethodError) { map.foo {} } # rubocop:disable Lint/EmptyBlock
      assert_raise(TypeError) { map[1] = 2 }
      assert_raise(TypeError) { map[nil] }
      assert_raise(Mapvar::InvalidName) { map[""] = 1 }
      assert_raise(Mapvar::InvalidName) { map["x" * 1024] = 1 }
      map["größe in m²"] = 3
      assert_equal(["größe in m²"], map.keys)
    end
  end

  # d28. Variables could not be removed, listed or tested for; nil meant absent, too late, and failed.
  def test_d28_remove_list_and_ask
    with do |map, _|
      map.foo = nil
      map.bar = 1
      assert_equal([true, true, false], [map.key?(:foo), map.key?("bar"), map.key?(:baz)])
      assert_equal(%w[bar foo], map.keys)
      assert_equal([true, false], [map.delete(:foo), map.delete(:foo)])
      assert_equal(["bar"], map.keys)
      assert_raise(KeyError) { map.variables.fetch(:foo) }
      assert_equal(7, map.variables.fetch(:foo, 7))
      assert_equal({ "bar" => 1 }, map.variables.to_h)
      assert_true(map.respond_to?(:bar))
      assert_false(map.respond_to?(:foo))
      assert_true(map.respond_to?(:foo=))
    end
  end

  # An object that counts its loading.
  class Loaded
    class << self
      attr_accessor :count
    end

    def marshal_dump
      1
    end

    def marshal_load(_)
      self.class.count = self.class.count.to_i + 1
    end
  end

  # A class that runs code when loaded, by `_load` instead of `marshal_load`.
  class UserDefined
    def _dump(_level)
      "x"
    end

    def self._load(_)
      raise "loaded"
    end
  end

  Point = Struct.new(:x, :y)

  # d29. `Marshal.load` executed whatever another process had written.
  def test_d29_only_safe_classes_are_loaded
    %i[marshal mapvar].each do |format|
      Loaded.count = 0
      with(format: format) do |map, name|
        map.evil = Loaded.new
        error = assert_raise(Mapvar::DisallowedClass) { map.evil }
        assert_equal(["DefectsTest::Loaded"], error.classes)
        map.list = [1, { "a" => [UserDefined.new] }]
        assert_raise(Mapvar::DisallowedClass) { map.list }
        map.point = Point.new(1, 2)
        assert_raise(Mapvar::DisallowedClass) { map.point }
        map.klass = String
        assert_raise(Mapvar::DisallowedClass) { map.klass }
        assert_equal(0, Loaded.count)

        trusting = MMap.open(name, format: format, permitted: [Point, "DefectsTest::Loaded"])
        assert_equal(Point.new(1, 2), trusting.point)
        assert_kind_of(Loaded, trusting.evil)
        assert_raise(Mapvar::DisallowedClass) { trusting.list }
        trusting.close
        all = MMap.open(name, format: format, permitted: :all)
        assert_equal(String, all.klass)
        assert_equal("loaded", assert_raise(RuntimeError) { all.list }.message)
        all.close
      end
    end
  end

  # d30. Each read allocated a buffer of the map's size, and a copy of it.
  def test_d30_a_read_takes_what_the_variable_takes
    map = MMap.new(name: unique, size: 32 << 20)
    map.foo = 77
    GC.start
    GC.disable
    before = GC.stat(:malloc_increase_bytes)
    100.times { assert_equal(77, map.foo) }
    assert_operator(GC.stat(:malloc_increase_bytes) - before, :<, 32 << 20)
  ensure
    GC.enable
    map&.close
  end

  # d32. The upper half of the size was always 0: from 4 GiB on a RangeError.
  def test_d32_a_map_may_have_more_than_4_gib
    omit("Wine writes the whole file") if windows?
    folder do |dir|
      path = File.join(dir, "large")
      map = MMap.new(file: path, size: 5 << 30)
      assert_equal([5 << 30, 5 << 30], [map.size, File.size(path)])
      map.foo = "hello"
      map.close
      map = MMap.new(file: path)
      assert_equal(["hello", 5 << 30], [map.foo, map.size])
    rescue Mapvar::NoSpace
      omit("no space for it on this disk")
    ensure
      map&.close
    end
  end

  # d31. A value that could not be dumped stayed in the map's own copy, and every later set raised.
  def test_d31_what_cannot_be_stored_changes_nothing
    with do |map, _|
      map.foo = 1
      [proc {}, $stdout, Class.new, Object.new.tap { |it| def it.x; end }, Hash.new { 1 }].each do |value|
        assert_raise(TypeError) { map.bar = value }
      end
      map.baz = 2
      assert_equal([1, nil, 2], [map.foo, map.bar, map.baz])
    end
  end

  # --- Sizes, views, files --------------------------------------------------------------------------------------------

  # d34. An opener saw the size rounded up to a page, regardless of the requested size.
  def test_d34_the_size_that_is_asked_for_holds
    with do |map, name|
      assert_equal(2000, map.size)
      MMap.open(name, size: 1000).then do |it|
        assert_equal(1000, it.size)
        it.close
      end
      opened = MMap.open(name)
      assert_operator(opened.size, :>=, 2000)
      opened.close
    end
  end

  # d35. A file was opened exclusively: a second process got "Broken pipe". A typo created a file.
  def test_d35_processes_share_a_file
    folder do |path|
      file = File.join(path, "shared.map")
      one = MMap.new(file: file, size: 1000)
      two = MMap.new(file: file)
      one.foo = 1
      two.bar = 2
      assert_equal([2, 1, 1000], [one.bar, two.foo, two.size])
      one.close
      two.close
      assert_equal(1000, File.size(file))
      reader = MMap.new(file: file, protection: MMap::PAGE_READONLY)
      assert_equal([1, 2], [reader.foo, reader.bar])
      reader.close
      # Without a size it cannot create anything.
      assert_raise(Mapvar::NotFound) { MMap.new(file: File.join(path, "typo.map")) }
      assert_false(File.exist?(File.join(path, "typo.map")))
    end
  end

  # d36. A file larger than `size` was silently mapped whole; an empty file was refused.
  def test_d36_files_of_other_sizes
    folder do |path|
      file = File.join(path, "a.map")
      MMap.new(file: file, size: 100).tap { |it| it.foo = 1 }.close
      MMap.new(file: file, size: 300).tap do |map|
        assert_equal([300, 1], [map.size, map.foo])
        map.close
      end
      # Windows extends a file in units of 64 KiB.
      length = File.size(file)
      assert_include([300, 65_536], length)
      MMap.new(file: file, size: 100).tap do |map|
        assert_equal([length, 1], [map.size, map.foo])
        map.close
      end
      assert_equal(length, File.size(file))
      File.write(empty = File.join(path, "empty.map"), "")
      MMap.new(file: empty, size: 64).tap do |map|
        map.foo = 1
        assert_equal(1, map.foo)
        map.close
      end
      File.write(empty, "")
      assert_raise_kind_of(Mapvar::Error) { MMap.new(file: empty) }
    end
  end

  # d38. A failure while opening leaked handles.
  def test_d38_a_failed_opening_leaves_nothing_behind
    name = unique
    assert_raise_kind_of(Mapvar::Error) { MMap.new(name: name, size: 100, base_address: 1) }
    assert_raise(Mapvar::NotFound) { MMap.open(name) }
  end

  # d39. `flush` created an exception and never raised it, and never reached the disk.
  def test_d39_flush_raises
    with do |map, _|
      assert_nil(map.flush)
      assert_nil(map.flush(100))
      assert_raise(ArgumentError) { map.flush(-1) }
      assert_raise(Mapvar::TooLarge) { map.flush(1 << 40) }
    end
    closed = MMap.new(size: 100)
    closed.close
    assert_raise(Mapvar::Closed) { closed.flush }
  end

  # d40. A second `close` closed handles that other code had opened meanwhile; use after `close` crashed; the block
  # form closed twice.
  def test_d40_close_is_done_once
    map = MMap.new(size: 100)
    assert_false(map.closed?)
    assert_nil(map.close)
    assert_nil(map.close)
    assert_true(map.closed?)
    [-> { map.foo }, -> { map.foo = 1 }, -> { map.read_string }, -> { map.write_string("x") }, -> { map.keys },
     -> { map.address }, -> { map.variables.each {} }].each do |use|
      assert_raise(Mapvar::Closed) { use.call }
    end
    assert_equal(100, map.size)
    within = nil
    MMap.new(size: 100) do |address|
      assert_kind_of(Integer, address)
      within = address
    end
    assert_not_equal(0, within)
    name = unique
    MMap.new(name: name, size: 100) { nil }
    assert_raise(Mapvar::NotFound) { MMap.open(name) }
    assert_raise(RuntimeError) { MMap.new(name: name, size: 100) { raise "out" } }
    assert_raise(Mapvar::NotFound) { MMap.open(name) }
    assert_raise(TypeError) { map.dup }
  end

  # d42. A garbage-collected map leaked its view and handles.
  def test_d42_a_forgotten_map_is_closed
    name = unique
    Array.new(3) { MMap.new(name: name, size: 100) }.clear
    await do
      GC.start
      begin
        MMap.open(name).close
        false
      rescue Mapvar::NotFound
        true
      end
    end
  end

  # d43. PAGE_READONLY with the default access failed with "Input/output error", and a write to a read-only map
  # crashed.
  def test_d43_protections_and_accesses
    with do |map, name|
      map.foo = 1
      reader = MMap.open(name, protection: MMap::PAGE_READONLY)
      assert_equal([1, MMap::FILE_MAP_READ], [reader.foo, reader.access])
      assert_raise(Mapvar::ReadOnly) { reader.foo = 2 }
      assert_raise(Mapvar::ReadOnly) { reader.write_string("x") }
      reader.close
      reader = MMap.open(name, access: MMap::FILE_MAP_READ)
      assert_raise(Mapvar::ReadOnly) { reader.foo = 2 }
      reader.close
      assert_raise(Mapvar::ReadOnly) do
        MMap.open(name, protection: MMap::PAGE_READONLY, access: MMap::FILE_MAP_WRITE)
      end
      copy = MMap.open(name, access: MMap::FILE_MAP_COPY)
      copy.foo = 3
      assert_equal([3, 1], [copy.foo, map.foo])
      copy.close
      whole = MMap.open(name, access: MMap::FILE_MAP_ALL_ACCESS, protection: MMap::PAGE_READWRITE | MMap::SEC_COMMIT)
      whole.foo = 4
      assert_equal(4, map.foo)
      whole.close
      assert_raise(ArgumentError) { MMap.open(name, protection: 3) }
      assert_raise(ArgumentError) { MMap.open(name, protection: MMap::PAGE_READWRITE | 0x100) }
      assert_raise(ArgumentError) { MMap.open(name, access: 0) }
    end
    with(format: :mapvar) do |map, name|
      map.foo = 1
      reader = MMap.open(name, format: :mapvar, access: MMap::FILE_MAP_READ)
      assert_raise(Mapvar::ReadOnly) { reader.foo = 2 }
      reader.close
      assert_raise(Mapvar::Unsupported) { MMap.open(name, format: :mapvar, access: MMap::FILE_MAP_COPY) }
      assert_raise(Mapvar::Unsupported) { MMap.open(name, format: :mapvar, inherit: true) }
    end
  end

  # --- Errors, names, interface ---------------------------------------------------------------------------------------

  # d44. Windows error numbers were taken for errno values: "Broken pipe" for a file that another process has open.
  def test_d44_errors_say_what_happened
    error = assert_raise(Mapvar::NotFound) { MMap.open(unique) }
    assert_kind_of(SystemCallError, error)
    assert_equal([Errno::ENOENT::Errno, 1], [error.errno, error.code])
    assert_match(/\Aopen map ".*": no map of this name/, error.message)
    # As programs for the gem rescue errors.
    rescued = begin
      MMap.open(unique)
    rescue Errno::ENOENT
      true
    end
    assert_true(rescued)
    # Our classes match only our errors.
    assert_raise(Errno::ENOENT) do
      File.open("/no/such/file")
    rescue Mapvar::NotFound
      flunk("Mapvar::NotFound has met an Errno::ENOENT")
    end
  end

  # d45. Names went through the ANSI code page, so other programs could not find them. Here map names are ASCII; a
  # variable's name is any UTF-8.
  def test_d45_names
    assert_raise(Mapvar::InvalidName) { MMap.new(name: "größe", size: 100) }
    with do |map, _|
      map.größe = 1
      map["größe".encode("UTF-16LE")] = 2
      assert_equal([2, ["größe"]], [map.größe, map.keys])
      assert_raise(ArgumentError) { map["\xff".b] }
    end
  end

  # d46. SEC_LARGE_PAGES was documented but missing, and FILE_MAP_EXECUTE was missing.
  def test_d46_the_constants_are_there
    assert_equal(0x80000000, MMap::SEC_LARGE_PAGES)
    assert_equal(0x20, MMap::FILE_MAP_EXECUTE)
    assert_equal([2, 4, 8, 0x20, 0x40], %i[READONLY READWRITE WRITECOPY EXECUTE_READ EXECUTE_READWRITE]
      .map { |it| MMap.const_get("PAGE_#{it}") })
    assert_equal([0x8000000, 0x1000000, 0x10000000, 0x4000000], %i[COMMIT IMAGE NOCACHE RESERVE]
      .map { |it| MMap.const_get("SEC_#{it}") })
    assert_equal([2, 4, 1, 0xf001f], %i[WRITE READ COPY ALL_ACCESS].map { |it| MMap.const_get("FILE_MAP_#{it}") })
    assert_kind_of(String, MMap::VERSION)
  end

  # d47. `MMap.open` changed the Hash that it was given.
  def test_d47_options_stay_as_they_are
    with do |_, name|
      options = { size: 100 }.freeze
      MMap.open(name, options).close
      assert_equal({ size: 100 }, options)
    end
  end

  # d48. The documentation said that option writers had no effect; some had. Here the ineffective ones raise.
  def test_d48_what_cannot_be_changed_raises
    with do |map, _|
      # The gem's own tests ask whether there are these writers.
      OPTIONS.each do |option|
        assert_respond_to(map, "#{option}=")
        assert_raise(ArgumentError) { map.public_send("#{option}=", 1) }
      end
      map.timeout = 5
      map.autolock = false
      assert_equal([5, false], [map.timeout, map.autolock?])
    end
  end

  # The unchanged interface: keys in any case, as Strings or Symbols; an unknown key raises.
  def test_options
    map = MMap.new("NAME" => (name = unique), :Size => 100, "inherit" => true)
    assert_equal([name, 100, true, nil, 4, 2, 0], [map.name, map.size, map.inherit?, map.file, map.protection, map.access,
                                                   map.base_address])
    assert_kind_of(Integer, map.address)
    map.close
    error = assert_raise(ArgumentError) { MMap.new(bogus: 1) }
    assert_equal("Invalid key 'bogus'", error.message)
    assert_raise(ArgumentError) { MMap.new }
    assert_raise(Mapvar::NotFound) { MMap.new(name: unique) }
    assert_raise(ArgumentError) { MMap.new(size: -1) }
    assert_raise(ArgumentError) { MMap.new(size: "100") }
    assert_raise(ArgumentError) { MMap.new(name: "a", file: "b", size: 100) }
    assert_raise(ArgumentError) { MMap.new(open: true) }
    assert_raise(ArgumentError) { MMap.new(size: 100, format: :other) }
    assert_raise(ArgumentError) { MMap.new(size: 100, on_clobber: :other) }
    assert_raise(TypeError) { MMap.new("alpha") }
  end

  # d49, d50, d51. The documented example did not run, no other user could open a map, and it ran on Windows only.
  # Here tests run the examples, on each tested system; a prefix of the name or an option gives a name beyond the
  # session.
  def test_d50_scopes
    map = MMap.new(name: "Local\\#{name = unique}", size: 100)
    map.foo = 1
    assert_equal("Local\\#{name}", map.name)
    other = MMap.open(name, scope: :local)
    assert_equal(1, other.foo)
    [map, other].each(&:close)
    assert_raise(ArgumentError) { MMap.open(name, scope: :galaxy) }
  end
end
