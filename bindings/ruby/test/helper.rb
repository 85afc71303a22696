# frozen_string_literal: true

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))

require "rbconfig"
WINDOWS = RbConfig::CONFIG["host_os"].match?(/mingw|mswin/)

# The library that the repository built, unless MAPVAR_LIB names another.
ENV["MAPVAR_LIB"] ||= begin
  file = WINDOWS ? "mapvar.dll" : "libmapvar.#{RUBY_PLATFORM.include?("darwin") ? "dylib" : "so"}"
  target = ENV["CARGO_TARGET_DIR"] || File.expand_path("../../../target", __dir__)
  %w[debug release].map { |kind| File.join(target, kind, file) }.find { |path| File.file?(path) }
end

require "test/unit"
require "tmpdir"
require "win32/mmap"

# The common part of all tests.
class Case < Test::Unit::TestCase
  MMap = Win32::MMap
  Map = Mapvar::Map
  LIB = File.expand_path("../lib", __dir__)
  # Seconds after which a hanging process or block is ended.
  LIMIT = Integer(ENV.fetch("MAPVAR_TEST_LIMIT", "60"))
  # The same Ruby, with the options that it was started with.
  RUBY = [RbConfig.ruby, *ENV.fetch("MAPVAR_TEST_RUBYOPT", "").split, "-W1", "-I", LIB].freeze

  # Skips these tests under GC.stress: they start processes, which it makes slow and does not test.
  def self.not_under_stress
    return unless ENV["MAPVAR_GC_STRESS"]

    define_method(:setup) { omit("starts processes") }
  end

  # Collects garbage at each allocation of the test only: in test-unit's own code it would take forever.
  def run_test
    GC.stress = true if ENV["MAPVAR_GC_STRESS"]
    super
  ensure
    GC.stress = false
  end

  # @return [String] a name that no other test uses
  def unique(what = "test")
    @count = (@count || 0) + 1
    "#{what}-#{Process.pid}-#{@count}-#{self.class.name.downcase}-#{method_name}"[0, 100].gsub(/[^A-Za-z0-9._-]/, "_")
  end

  # Runs the code in another Ruby process. Yields its pipe; the process is killed at the limit, and at the end.
  def process(code, *arguments, &block)
    start(*RUBY, "-r", "win32/mmap", "-e", code, *arguments.map(&:to_s), &block)
  end

  # Starts another process.
  def start(*command)
    pipe = IO.popen(command, "r+", err: %i[child out])
    watchdog = Thread.new do
      sleep LIMIT
      kill(pipe)
    end
    yield pipe
  ensure
    watchdog&.kill
    if pipe
      kill(pipe)
      pipe.close
    end
  end

  # What another Ruby process prints until it ends.
  def output(code, *arguments)
    process(code, *arguments) do |pipe|
      pipe.close_write
      pipe.read.delete("\r")
    end
  end

  # Kills a process that {#process} started.
  def kill(pipe)
    Process.kill(:KILL, pipe.pid)
  rescue Errno::ESRCH, IOError
    nil
  end

  # Fails if the block takes longer than the limit.
  def within_limit(&block)
    require "timeout"
    Timeout.timeout(LIMIT, &block)
  end

  # Waits, up to the limit, until the block returns true.
  def await
    within_limit do
      sleep 0.005 until yield
    end
  end

  # Yields a folder, and removes it afterwards.
  def folder(&block)
    Dir.mktmpdir("mapvar-", &block)
  end

  # Writes bytes to a map in the gem's layout, bypassing the class under test.
  def poke(name, bytes)
    Map.open(name, format: :marshal) { |map| map.write_string(bytes) }
  end

  def windows?
    WINDOWS
  end

  # A program that was built beside the library; nil if it does not exist.
  def built(path)
    file = File.join(File.dirname(ENV.fetch("MAPVAR_LIB")), "#{path}#{".exe" if windows?}")
    file if File.file?(file)
  end

  # Another process holds the lock of a map in the gem's layout. Yields its pipe; a line written to it releases the
  # lock.
  def holding(name)
    process(HOLDER, name) do |pipe|
      assert_equal("held", pipe.gets.to_s.chomp)
      yield pipe
    end
  end

  # docs/PLATFORM.md specifies the lock: the semaphore of the gem, or a byte beyond the end of the file.
  HOLDER = <<~'RUBY'
    if RUBY_PLATFORM.match?(/mingw|mswin/)
      module Kernel32
        extend FFI::Library
        ffi_lib "kernel32"
        ffi_convention :stdcall
        attach_function :CreateSemaphoreA, %i[pointer long long string], :pointer
        attach_function :WaitForSingleObject, %i[pointer ulong], :ulong
        attach_function :ReleaseSemaphore, %i[pointer long pointer], :int
      end
      lock = Kernel32.CreateSemaphoreA(nil, 1, 1, "#{ARGV[0]}.ruby_lock")
      raise "not held" unless Kernel32.WaitForSingleObject(lock, 1000).zero?

      free = -> { Kernel32.ReleaseSemaphore(lock, 1, nil) }
    else
      file = File.open("/dev/shm/mapvar.#{Process.euid}.#{ARGV[0]}.marshal", "r+")
      lock = ->(type) { file.fcntl(37, [type, 0, (1 << 63) - 12, 1, 0].pack("ssx4qqlx4")) }
      lock.(1)
      free = -> { lock.(2) }
    end
    puts "held"
    STDOUT.flush
    while STDIN.gets
      free.()
      puts "free"
      STDOUT.flush
    end
  RUBY
end
