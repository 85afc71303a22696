# frozen_string_literal: true

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))

# The library that the repository built, unless another is asked for.
ENV["MAPVAR_LIB"] ||= begin
  file = Gem.win_platform? ? "mapvar.dll" : "libmapvar.#{RUBY_PLATFORM.include?("darwin") ? "dylib" : "so"}"
  target = ENV["CARGO_TARGET_DIR"] || File.expand_path("../../../target", __dir__)
  %w[debug release].map { |kind| File.join(target, kind, file) }.find { |path| File.file?(path) }
end

require "test/unit"
require "rbconfig"
require "tmpdir"
require "win32/mmap"

# GC.stress is for Ruby's border with the library, not for the reading of files.
GC.stress = true if ENV["MAPVAR_GC_STRESS"]

# What the tests have in common.
class Case < Test::Unit::TestCase
  MMap = Win32::MMap
  Map = Mapvar::Map
  LIB = File.expand_path("../lib", __dir__)
  # Seconds after which whatever hangs is ended.
  LIMIT = Integer(ENV.fetch("MAPVAR_TEST_LIMIT", "60"))
  # The same Ruby, with the options that it was started with.
  RUBY = [RbConfig.ruby, *ENV.fetch("MAPVAR_TEST_RUBYOPT", "").split, "-W1", "-I", LIB].freeze

  # GC.stress makes everything slow that starts processes, and they do not have it.
  def self.not_under_stress
    return unless ENV["MAPVAR_GC_STRESS"]

    define_method(:setup) { omit("starts processes") }
  end

  # @return [String] a name that no other test has
  def unique(what = "test")
    @count = (@count || 0) + 1
    "#{what}-#{Process.pid}-#{@count}-#{self.class.name.downcase}-#{method_name}"[0, 100].gsub(/[^A-Za-z0-9._-]/, "_")
  end

  # Another process of Ruby, which runs the code. Yields its pipe; killed at the limit, and at the end.
  def process(code, *arguments)
    pipe = IO.popen([*RUBY, "-r", "win32/mmap", "-e", code, *arguments.map(&:to_s)], "r+", err: %i[child out])
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

  # What another process of Ruby prints until its end.
  def output(code, *arguments)
    process(code, *arguments) do |pipe|
      pipe.close_write
      pipe.read.delete("\r")
    end
  end

  # Ends a process that {#process} started, at once.
  def kill(pipe)
    Process.kill(:KILL, pipe.pid)
  rescue Errno::ESRCH, IOError
    nil
  end

  # Fails where the block takes longer than the limit.
  def within_limit(&block)
    require "timeout"
    Timeout.timeout(LIMIT, &block)
  end

  # Waits, up to the limit, until the block says so.
  def await
    within_limit do
      sleep 0.005 until yield
    end
  end

  # A folder that is gone at the end.
  def folder(&block)
    Dir.mktmpdir("mapvar-", &block)
  end

  # Bytes of a map in the gem's layout, past the class that is tested.
  def poke(name, bytes)
    Map.open(name, format: :marshal) { |map| map.write_string(bytes) }
  end

  # On Windows a process that is killed and one that crashes look alike.
  def windows?
    Gem.win_platform?
  end
end
