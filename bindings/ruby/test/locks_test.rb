# frozen_string_literal: true

require_relative "helper"

# The defects of the lock of the gem win32-mmap that need a second process to be seen, by their numbers.
class LocksTest < Case
  not_under_stress

  def with(options = {})
    name = unique
    map = MMap.new(name: name, size: 2000, timeout: 200, **options)
    yield map, name
  ensure
    map&.close
  end

  # d1. After one timeout the object never waited again: reads returned nil, and writes vanished, forever. d2. No
  # error reported it.
  def test_d01_d02_a_timeout_raises_and_is_over_when_the_lock_is_free
    with do |map, name|
      map.foo = 1
      holding(name) do |holder|
        3.times { assert_raise(Mapvar::TimedOut) { map.foo } }
        error = assert_raise(Mapvar::TimedOut) { map.foo = 2 }
        assert_match(/"foo" of map "#{name}"/, error.message)
        assert_equal(Errno::ETIMEDOUT::Errno, error.errno)
        holder.puts
        assert_equal("free", holder.gets.to_s.chomp)
        assert_equal(1, map.foo)
        map.foo = 3
        assert_equal(3, MMap.open(name).foo)
      end
    end
  end

  # d7. A killed owner blocked all processes forever.
  def test_d07_a_killed_holder_is_no_hindrance
    with do |map, name|
      map.foo = 1
      holding(name) do |holder|
        assert_raise(Mapvar::TimedOut) { map.foo }
        kill(holder)
        Process.wait(holder.pid) unless windows?
        map.timeout = 10_000
        within_limit { assert_equal(1, map.foo) }
        map.foo = 2
        assert_equal(2, map.foo)
      end
    end
  end

  # d10. A waiter froze the whole interpreter.
  def test_d10_other_threads_run_while_one_waits
    with do |map, name|
      map.foo = 1
      holding(name) do |holder|
        map.timeout = 60_000
        waiting = Thread.new { map.foo }
        count = 0
        # More than one thread would get while another holds the interpreter.
        within_limit { 1000.times { count += 1 and Thread.pass } }
        assert_equal(1000, count)
        sleep 0.2
        assert_true(waiting.alive?)
        holder.puts
        assert_equal(1, within_limit { waiting.value })
      end
    end
  end

  # d11, d12. A failed release or wait was taken for a success. Here a release by another process is detected, and the
  # bytes written meanwhile are read again; cargo xtask harness gem tests that with a program of its own.
  def test_d11_lock_statistics_are_reported
    with do |map, _|
      map.foo = 1
      map.foo
      stat = map.variables.lock_stat
      assert_operator(stat[:taken], :>=, 2)
      assert_equal([0, 0], stat.values_at(:recovered, :broken))
      assert_operator(stat[:longest], :>, 0)
    end
  end

  # d15. The lock's handle was never closed, and its name lived on: a later map of that name found the lock held.
  def test_d15_the_lock_ends_with_the_map
    name = unique
    holding_map = MMap.new(name: name, size: 100)
    holding(name) { holding_map.close }
    await do
      MMap.new(name: name, size: 100, timeout: 100).tap { |map| map.foo = 1 }.close
      true
    rescue Mapvar::TimedOut
      false
    end
  end

  # d19. A value that a timeout kept from being written was published by a later set.
  def test_d19_what_was_not_written_stays_unwritten
    with do |map, name|
      map.foo = 1
      holding(name) do |holder|
        assert_raise(Mapvar::TimedOut) { map.foo = 2 }
        holder.puts
        assert_equal("free", holder.gets.to_s.chomp)
      end
      map.bar = 3
      assert_equal([1, 3], [map.foo, map.bar])
    end
  end

  # Thread#kill, Timeout and Ctrl-C end a wait at once; the map stays usable.
  def test_a_wait_can_be_ended
    with do |map, name|
      map.foo = 1
      map.timeout = 3_600_000
      holding(name) do |holder|
        waiting = Thread.new { map.foo }
        sleep 0.05
        waiting.kill
        within_limit { waiting.join }
        require "timeout"
        assert_raise(Timeout::Error) { Timeout.timeout(0.3) { map.foo = 2 } }
        holder.puts
        assert_equal("free", holder.gets.to_s.chomp)
      end
      assert_equal(1, map.foo)
    end
  end

  WAITER = <<~'RUBY'
    map = Win32::MMap.open(ARGV[0], timeout: 3_600_000)
    begin
      puts "waiting"
      STDOUT.flush
      map.foo
      puts "not at all"
    rescue Interrupt
      puts "interrupted"
    end
  RUBY

  def test_ctrl_c_ends_a_wait
    omit("Wine's console hands no Ctrl-C to a single process") if windows?
    with do |map, name|
      map.foo = 1
      holding(name) do
        process(WAITER, name) do |waiter|
          assert_equal("waiting", waiter.gets.to_s.chomp)
          sleep 0.1
          Process.kill(:INT, waiter.pid)
          assert_equal("interrupted", within_limit { waiter.gets.to_s.chomp })
        end
      end
    end
  end

  # A gem's lock that is held forever, as after an exception in the gem.
  def test_unlock
    with do |_, name|
      assert_false(Map.unlock(name))
      assert_false(Map.unlock(name, whose: :any))
      assert_raise(ArgumentError) { Map.unlock(name, whose: :all) }
      assert_raise(Mapvar::NotFound) { Map.unlock("#{name}-none") }
      holding(name) do
        assert_raise(Mapvar::TimedOut) { Map.unlock(name) }
      end
    end
  end
end
