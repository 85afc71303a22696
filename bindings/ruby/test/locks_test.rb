# frozen_string_literal: true

require_relative "helper"

# The defects of the gem win32-mmap that need a second process to be seen: those of its lock. By their numbers.
class LocksTest < Case
  not_under_stress

  def with(options = {})
    name = unique
    map = MMap.new(name: name, size: 2000, timeout: 200, **options)
    yield map, name
  ensure
    map&.close
  end

  # d1. One timeout, and the object never waited again: reads were nil, writes vanished, for ever. d2. Nobody was told.
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

  # d7. A holder that was killed blocked everybody for ever.
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

  # d10. Who waited froze the whole interpreter.
  def test_d10_other_threads_run_while_one_waits
    with do |map, name|
      map.foo = 1
      holding(name) do |holder|
        map.timeout = 60_000
        waiting = Thread.new { map.foo }
        count = 0
        # More than one thread gets while the other one has it all.
        within_limit { 1000.times { count += 1 and Thread.pass } }
        assert_equal(1000, count)
        sleep 0.2
        assert_true(waiting.alive?)
        holder.puts
        assert_equal(1, within_limit { waiting.value })
      end
    end
  end

  # d11, d12. A release or wait that failed was taken for one that did not. Here whoever gives away a lock that is held is
  # seen, and what was written meanwhile is looked at again; see cargo xtask harness gem, which does it by a program of its own.
  def test_d11_how_the_lock_went_is_told
    with do |map, _|
      map.foo = 1
      map.foo
      stat = map.variables.lock_stat
      assert_operator(stat[:taken], :>=, 2)
      assert_equal([0, 0], stat.values_at(:recovered, :broken))
      assert_operator(stat[:longest], :>, 0)
    end
  end

  # d15. The lock's handle was never closed, and its name lived on: a map of that name made later had a lock that was held.
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

  # d19. What a timeout kept from being written was published by a later set.
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

  # Thread#kill, Timeout and Ctrl-C end a wait at once; the map can be used on.
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

  # The gem's lock that is held for ever, as after an exception in it.
  def test_unlock
    with do |_, name|
      assert_false(Map.unlock(name))
      assert_raise(Mapvar::NotFound) { Map.unlock("#{name}-none") }
      holding(name) do
        assert_raise(Mapvar::TimedOut) { Map.unlock(name) }
      end
    end
  end
end
