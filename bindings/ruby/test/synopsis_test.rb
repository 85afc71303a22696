# frozen_string_literal: true

require_relative "helper"

# The example programs of the gem win32-mmap, unchanged.
class SynopsisTest < Case
  not_under_stress

  SYNOPSIS = <<~'RUBY'
    require 'win32/mmap'
    include Win32

    map1 = MMap.new(:file => "C:\\test.map", :size => 1024)
    map1.foo = 'hello'
    map1.bar = 77
    map1.close

    map2 = MMap.new(:file => "C:\\test.map")
    p map2.foo # 'hello'
    p map2.bar # 77
    map2.close
  RUBY

  # On Unix the path is a file name in the working folder.
  def test_the_synopsis
    folder do |path|
      code = SYNOPSIS.gsub("C:\\\\", windows? ? "#{path}/" : "C:\\\\\\\\")
      assert_equal("\"hello\"\n77\n", output("Dir.chdir(#{path.dump})\n#{code}"))
    end
  end

  def test_the_halves_of_the_synopsis_in_two_processes
    folder do |path|
      writer, reader = SYNOPSIS.gsub("C:\\\\", windows? ? "#{path}/" : "C:\\\\\\\\").split(/\n\n(?=map2)/)
      writer = "Dir.chdir(#{path.dump})\n#{writer}"
      assert_equal("", output(writer))
      assert_equal("\"hello\"\n77\n",
                   output("require 'win32/mmap'; include Win32; Dir.chdir(#{path.dump})\n#{reader}"))
    end
  end

  SERVER = <<~'RUBY'
    require "win32/mmap"
    include Win32
    map = MMap.new(:name => "alpha", :size => 2000)
    map.foo = "hello"
    map.bar = 77
    puts "ready"
    STDOUT.flush
    STDIN.gets
    map.close
  RUBY

  CLIENT = <<~'RUBY'
    require "win32/mmap"
    include Win32
    map = MMap.open("alpha")
    p map.foo
    p map.bar
    map.close
  RUBY

  def test_server_and_client
    process(SERVER) do |server|
      assert_equal("ready\n", server.gets.delete("\r"))
      assert_equal("\"hello\"\n77\n", output(CLIENT))
      server.puts
      assert_equal("", server.read)
    end
    # The map lived until its last user ended.
    error = assert_raise(Mapvar::NotFound) { MMap.open("alpha") }
    assert_match(/"alpha"/, error.message)
  end
end
