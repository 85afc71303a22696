# What the gem's tests depend on, tried under Wine: `ci/windows-ruby --check`. The argument is a DLL that the script builds.
DLL = File.expand_path(ARGV.shift)

require "test/unit"
require "ffi"
require "rbconfig"

module Kernel32
  extend FFI::Library
  ffi_lib "kernel32"
  attach_function :GetCurrentProcessId, [], :uint32
  attach_function :Sleep, [:uint32], :void, blocking: true
end

module Check
  extend FFI::Library
  ffi_lib DLL
  attach_function :fill, %i[pointer size_t uint64 int32], :uint64
end

class WindowsRuby < Test::Unit::TestCase
  RUBY = RbConfig.ruby

  def test_which_ruby_it_is
    assert_match(/mingw/, RUBY_PLATFORM)
    assert_match(/\A3\.1\./, RUBY_VERSION)
  end

  def test_functions_of_kernel32
    assert_equal $$, Kernel32.GetCurrentProcessId
  end

  def test_a_blocking_function_lets_other_threads_run
    count = 0
    counter = Thread.new { loop { count += 1; sleep 0.01 } }
    Kernel32.Sleep(500)
    counter.kill
    assert_operator count, :>, 5
  end

  def test_a_dll_by_its_path
    FFI::MemoryPointer.new(8) do |memory|
      assert_equal 0xffff_ffff_0000_0000 - 3, Check.fill(memory, 5, 0xffff_ffff_0000_0000, -3)
      assert_equal "AAAAA\0\0\0", memory.read_bytes(8)
    end
  end

  def test_other_processes
    assert_equal "1\n", IO.popen([RUBY, "-e", "puts 1"], &:read)
    Process.wait(Process.spawn(RUBY, "-e", "exit 3"))
    assert_equal 3, $?.exitstatus
    output, input = IO.pipe
    pid = Process.spawn(RUBY, "-e", "STDOUT.sync = true; puts :ready; sleep", out: input)
    input.close
    assert_equal "ready\n", output.gets
    Process.kill(:KILL, pid)
    Process.wait(pid)
    assert_predicate $?, :exited? # with code 0: on Windows Ruby reports no more
    assert_nil output.gets
  end

  def test_power_assert
    assert { [1, 2].sum == 3 }
  end

  def test_marshal_time_and_encodings
    value = { a: [1, 2.5, "x", 2**80, nil] }
    assert_equal value, Marshal.load(Marshal.dump(value))
    time = Time.at(1_700_000_000, 123_456_789, :nsec)
    assert_equal time, Marshal.load(Marshal.dump(time))
    assert_equal 123_456_789, Marshal.load(Marshal.dump(time)).nsec
    assert_equal [0x82, 0xa0], "\u3042".encode("Shift_JIS").bytes
    assert_equal "x", "x".encode("UTF-16LE").encode("EUC-JP")
  end
end
