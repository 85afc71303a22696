# frozen_string_literal: true

require_relative "helper"

# Watches and locks.
class WaitsTest < Case
  not_under_stress

  def setup_map
    map = Map.create(unique, timeout: 20)
    within_limit { yield map }
  ensure
    map&.close
  end

  def test_one_variable
    setup_map do |map|
      map[:foo] = 1
      watch = map.watch(:foo)
      assert_nil(watch.try_wait)
      assert_nil(watch.wait(0.01))
      map[:foo] = 2
      map[:foo] = [3, "three"]
      change = watch.wait
      assert_equal(["foo", [3, "three"], 1, false], [change.name, change.value, change.skipped, change.removed?])
      assert_predicate(change, :frozen?)
      map.delete(:foo)
      assert_predicate(watch.wait(5), :removed?)
      assert_nil(watch.try_wait)
      watch.close
      assert_predicate(watch, :closed?)
      assert_raise(Mapvar::Closed) { watch.wait(0) }
    end
  end

  def test_many_a_prefix_and_all
    setup_map do |map|
      any = map.watch(:a, "b")
      prefix = map.watch(prefix: "a")
      all = map.watch
      map[:a] = 1
      map[:ab] = 2
      map[:b] = 3
      names = ->(watch) { Array.new(3) { watch.wait(0.05)&.name }.compact.sort }
      assert_equal(%w[a b], names.(any))
      assert_equal(%w[a ab], names.(prefix))
      assert_equal(%w[a ab b], names.(all))
      assert_raise(ArgumentError) { map.watch(:a, prefix: "b") }
      assert_raise(Mapvar::InvalidName) { map.watch("") }
      map[:a] = 4
      in_block = map.watch(:a) do |watch|
        map[:a] = 5
        watch.wait(5).value
      end
      assert_equal(5, in_block)
      assert_equal(%w[a], any.each.lazy.map(&:name).first(1))
    end
  end

  def test_another_process_sets_and_watches
    setup_map do |map|
      watch = map.watch(:answer)
      process(<<~'RUBY', map.name) do |pipe|
        Mapvar::Map.open(ARGV[0]) do |map|
          watch = map.watch(:ask)
          puts "ready"
          STDOUT.flush
          watch.each { |change| map[:answer] = change.value * 2 }
        end
      RUBY
        assert_equal("ready", pipe.gets.chomp)
        1.upto(50) do |number|
          map[:ask] = number
          assert_equal(number * 2, watch.wait(20).value)
        end
      end
    end
  end

  def test_ctrl_c_ends_a_wait
    omit("no signals between processes") if windows?
    setup_map do |map|
      map.lock(:jobs).synchronize do
        ["map.watch(:foo).wait", "map.lock(:jobs).synchronize(timeout: 60) { }", "map.wait_until(:foo) { true }",
         "Mapvar::Map.open(ARGV[0] + '-not', wait: Float::INFINITY)"].each do |wait|
          process(<<~RUBY, map.name) do |pipe|
            map = Mapvar::Map.open(ARGV[0])
            puts "ready"
            STDOUT.flush
            begin
              #{wait}
            rescue Interrupt
              puts "interrupted"
            end
          RUBY
            assert_equal("ready", pipe.gets.chomp)
            sleep 0.05
            Process.kill(:INT, pipe.pid)
            assert_equal("interrupted", pipe.gets.to_s.chomp)
          end
        end
      end
    end
  end

  def test_other_threads_run_and_a_wait_is_ended
    setup_map do |map|
      waiter = Thread.new { map.watch(:foo).wait.value }
      sleep 0.02
      map[:foo] = 77
      assert_equal(77, waiter.value)
      killed = Thread.new { map.watch(:foo).wait }
      sleep 0.02
      killed.kill
      assert_nil(killed.value)
      require "timeout"
      assert_raise(Timeout::Error) { Timeout.timeout(0.05) { map.watch(:foo).wait } }
    end
  end

  def test_wait_until
    setup_map do |map|
      map[:door] = "closed"
      assert_equal("closed", map.wait_until(:door) { |door| door })
      assert_true(map.wait_until("door", :door, timeout: 0) { |one, two| one == two })
      # Without one of them the block is not called.
      assert_nil(map.wait_until(:door, :speed, timeout: 0.01) { flunk })
      assert_equal([nil], map.wait_until(:speed, timeout: 0, default: nil) { |speed| [speed] })
      seen = []
      assert_nil(map.wait_until(:door, timeout: 0.05) { |door| (seen << door) && false })
      assert_equal(%w[closed], seen)
      # After each look there is another change, as beside a writer that writes without a pause.
      map[:busy] = 0
      assert_nil(map.wait_until(:busy, timeout: 0.05) { |busy| (map[:busy] = busy + 1) && nil })
      map.delete(:busy)
      waiter = Thread.new { map.wait_until(%w[speed door], timeout: LIMIT) { |speed, door| speed if door == "open" } }
      sleep 0.02
      map[:speed] = 5
      map[:door] = "open"
      assert_equal(5, waiter.value)
      map.delete(:speed)
      gone = Thread.new { map.wait_until(:door, default: :gone) { |door| door == :gone } }
      map.delete(:door)
      assert_true(gone.value)
      counter = map.atomic(:count, 0)
      counted = Thread.new { map.wait_until(:count) { |count| count == 50 } }
      50.times { counter.add }
      assert_true(counted.value)
      # No watch stays open, and what the block raises ends the wait.
      assert_raise(RuntimeError) { map.wait_until(:count) { raise "out" } }
      assert_raise(ArgumentError) { map.wait_until { true } }
      assert_raise(ArgumentError) { map.wait_until(:door) }
      assert_raise(ArgumentError) { map.wait_until(:count, timeout: -1) { true } }
      assert_raise(Mapvar::InvalidName) { map.wait_until("", timeout: 0) { true } }
    end
    Map.create(unique, format: :marshal) do |map|
      assert_raise(Mapvar::Unsupported) { map.wait_until(:a, timeout: 0) { true } }
    end
  end

  def test_another_process_waits_for_the_map_and_for_a_variable
    name = unique
    process(<<~'RUBY', name) do |pipe|
      Thread.new do
        20.times { sleep 0.001 }
        puts "ready"
        STDOUT.flush
      end
      # The thread runs meanwhile: only then the map is created.
      map = Mapvar::Map.open(ARGV[0], wait: 60)
      map[:there] = true
      map.wait_until(:ask, timeout: 60) { |ask| map[:answer] = ask * 2; ask == 20 }
      puts map[:answer]
    RUBY
      assert_equal("ready", pipe.gets.chomp)
      Map.create(name) do |map|
        within_limit do
          assert_true(map.wait_until(:there) { |there| there })
          (1..20).each do |number|
            map[:ask] = number
            assert_equal(number * 2, map.wait_until(:answer) { |answer| answer if answer == number * 2 })
          end
          assert_equal("40", pipe.gets.chomp)
        end
      end
    end
  end

  def test_waiting_for_a_map
    name = unique
    assert_raise(Mapvar::NotFound) { Map.open(name, wait: 0.05) }
    assert_raise(ArgumentError) { Map.open(name, wait: -1) }
    assert_raise(ArgumentError) { Map.open(name, wait: "1") }
    # To create waits for nothing.
    Map.open_or_create(name, wait: Float::INFINITY) { |map| assert_true(map.created?) }
    opener = Thread.new { Map.open(name, wait: Float::INFINITY) { |map| map.wait_until(:a) { |a| a } } }
    sleep 0.25
    Map.create(name) do |map|
      map[:a] = 7
      assert_equal(7, within_limit { opener.value })
    end
    folder do |path|
      file = File.join(path, "late.map")
      opener = Thread.new { Map.open(file: file, wait: LIMIT) { |map| map.wait_until(:a) { |a| a } } }
      sleep 0.05
      Map.create(file: file) do |map|
        map[:a] = 8
        assert_equal(8, within_limit { opener.value })
      end
    end
    require "timeout"
    assert_raise(Timeout::Error) { Timeout.timeout(0.05) { Map.open(name, wait: Float::INFINITY) } }
  end

  def test_locks
    setup_map do |map|
      lock = map.lock(:jobs)
      assert_nil(lock.holder)
      result = lock.synchronize do |recovered|
        assert_nil(recovered)
        assert_equal(Process.pid, lock.holder)
        assert_raise(Mapvar::InvalidArgument) { lock.synchronize(timeout: 0) { flunk } }
        late = Thread.new do
          assert_nil(lock.try_synchronize { flunk })
          assert_raise(Mapvar::TimedOut) { lock.synchronize(timeout: 0.05) { flunk } }
        end
        assert_equal(Process.pid, late.value.holder.pid)
        :done
      end
      assert_equal(:done, result)
      assert_equal(1, lock.try_synchronize { 1 })
      assert_raise(RuntimeError) { lock.synchronize { raise "inside" } }
      assert_nil(lock.holder)
      assert_equal([nil, nil], Array.new(2) { Thread.new { lock.synchronize(shared: true) { |it| it } } }.map(&:value))
      assert_raise(Mapvar::TakenAway) { lock.synchronize { lock.force_unlock } }
      assert_false(lock.remove)
      assert_equal(Process.pid, lock.synchronize { |recovered| recovered })
      assert_true(lock.remove)
      assert_nil(lock.holder)
      assert_equal([], map.keys)
    end
  end

  def test_a_dead_owner_is_reported
    setup_map do |map|
      process(<<~'RUBY', map.name) do |pipe|
        Mapvar::Map.open(ARGV[0]).lock(:jobs).synchronize do
          puts "held"
          STDOUT.flush
          sleep
        end
      RUBY
        assert_equal("held", pipe.gets.chomp)
        lock = map.lock(:jobs)
        pid = lock.holder
        assert_equal(pid, assert_raise(Mapvar::TimedOut) { lock.synchronize(timeout: 0.05) { flunk } }.holder.pid)
        kill(pipe)
        assert_equal(pid, lock.synchronize { |recovered| recovered })
        assert_nil(lock.synchronize { |recovered| recovered })
      end
    end
  end

  # Replaces a function of the library for the block.
  def replacing(name, by)
    library = Mapvar.const_get(:Library)
    original = library.method(name)
    verbose, $VERBOSE = $VERBOSE, nil
    library.define_singleton_method(name) { |*arguments| by.call(original, *arguments) }
    yield
  ensure
    library.define_singleton_method(name, original)
    $VERBOSE = verbose
  end

  # An interrupt after the lock was taken, and before the block has the dead owner.
  def test_an_interrupt_leaves_the_notice_to_the_next_owner
    setup_map do |map|
      lock = map.lock(:jobs)
      assert_raise(Mapvar::TakenAway) { lock.synchronize { lock.force_unlock } }
      interrupted = ->(_original, *_arguments) { raise Interrupt }
      replacing(:mapvar_held_abandoned, interrupted) do
        assert_raise(Interrupt) { lock.synchronize { flunk } }
        assert_raise(Interrupt) { lock.try_synchronize { flunk } }
      end
      assert_nil(lock.holder)
      assert_equal(Process.pid, lock.try_synchronize { |recovered| recovered })
      assert_nil(lock.synchronize { |recovered| recovered })
    end
  end

  # A call that meets a stopped process ends after one slice of 0.1 s; the map's timeout counts.
  def test_lock_calls_watches_and_walks_wait_for_the_timeout_of_the_map
    setup_map do |map|
      map[:foo] = 1
      lock = map.lock(:jobs)
      calls = {
        mapvar_lock_try: -> { lock.try_synchronize { true } },
        mapvar_lock_queue: -> { lock.synchronize { true } },
        mapvar_held_try_release: -> { lock.synchronize { true } },
        mapvar_lock_holder: -> { lock.holder.nil? },
        mapvar_lock_force_unlock: -> { lock.force_unlock.zero? },
        mapvar_lock_remove: -> { lock.remove },
        mapvar_map_watch_any: -> { map.watch(:foo).close.nil? },
        mapvar_map_watch_prefix: -> { map.watch.close.nil? },
        mapvar_map_iter_prefix: -> { map.to_a == [["foo", 1]] },
        mapvar_iter_next: -> { map.to_a == [["foo", 1]] },
        mapvar_map_names: -> { map.keys == ["foo"] },
        mapvar_names_next: -> { map.keys == ["foo"] },
        mapvar_map_set_if_changed: -> { !map.set_if_changed(:foo, 1) },
      }
      timed_out = Mapvar.const_get(:Library)::TIMED_OUT
      calls.each do |name, call|
        met = 0
        slow = ->(original, *arguments) { (met += 1) > 3 ? original.call(*arguments) : timed_out }
        replacing(name, slow) { assert_true(call.call, name) }
        assert_operator(met, :>, 3, name)
      end
    end
  end

  def test_threads_of_processes_add_together
    setup_map do |map|
      map[:sum] = 0
      threads = Array.new(3) do
        Thread.new { 50.times { map.lock(:sum).synchronize { map[:sum] += 1 } } }
      end
      output(<<~'RUBY', map.name)
        map = Mapvar::Map.open(ARGV[0], timeout: 20)
        50.times { map.lock(:sum).synchronize { map[:sum] += 1 } }
      RUBY
      threads.each(&:join)
      assert_equal(200, map[:sum])
    end
  end

  def test_a_gem_s_map_has_neither
    name = unique
    gem = Map.create(name, format: :marshal, size: 100)
    assert_raise(Mapvar::Unsupported) { gem.watch(:foo) }
    assert_raise(Mapvar::Unsupported) { gem.lock(:foo) }
  ensure
    gem&.close
  end

  def test_an_interrupt_loses_no_change
    setup_map do |map|
      require "timeout"
      map[:n] = 0
      watch = map.watch(:n)
      setter = Thread.new do
        500.times do |number|
          map[:n] = number + 1
          sleep 0.0005
        end
      end
      reported = 0
      add = ->(change) { reported += 1 + change.skipped if change }
      while setter.alive?
        begin
          add.(Timeout.timeout(0.003) { watch.wait })
        rescue Timeout::Error
          nil
        end
      end
      add.(watch.wait(0.05))
      add.(watch.wait(0.05))
      # Except for the few that an interrupt met between the end of `wait` and the end of the block.
      assert_include(480..500, reported)
    end
  end

  def test_a_forked_child_gets_an_error
    omit("no fork here") if windows?
    setup_map do |map|
      watch = map.watch(:foo)
      waiter = Thread.new { watch.wait }
      sleep 0.05
      reader, writer = IO.pipe
      child = fork do
        writer.puts(begin
          watch.try_wait.inspect
        rescue Mapvar::Error => e
          e.class.name
        end)
        writer.close
        exit!(0)
      end
      writer.close
      assert_equal("Mapvar::Closed", reader.read.chomp)
      Process.wait(child)
      map[:foo] = 1
      assert_equal(1, waiter.value.value)
    end
  end

  def test_what_ends_with_a_process
    setup_map do |map|
      watch = map.watch("worker")
      pid = nil
      process(<<~'RUBY', map.name) do |pipe|
        map = Mapvar::Map.open(ARGV[0])
        map.set_ephemeral("worker", [1, Time.at(0)])
        puts Process.pid
        STDOUT.flush
        sleep
      RUBY
        pid = Integer(pipe.gets)
        refute_predicate(watch.wait(20), :removed?)
        assert_equal(pid, map.owner(:worker))
        seen = map.participants.find { |one| one[:pid] == pid }
        assert_equal([false, ["worker"], []], seen.values_at(:this, :owns, :holds))
        assert_kind_of(Time, seen[:since])
        assert_true(map.participants.find { |one| one[:this] }[:pid] == Process.pid)
      end
      assert_predicate(watch.wait(20), :removed?)
      assert_nil(map[:worker])
      assert_nil(map.owner(:worker))
      assert_equal(7, map.set_ephemeral(:mine, 7))
      assert_equal(Process.pid, map.owner("mine"))
      map[:mine] = 8
      assert_nil(map.owner("mine"))
      assert_raise(Mapvar::InvalidName) { map.set_ephemeral("", 1) }
      map.transaction do |tx|
        tx["count"] = 1
        assert_equal(9, tx.set_ephemeral(:theirs, 9))
        assert_equal(9, tx[:theirs])
      end
      assert_equal([nil, Process.pid], [map.owner(:count), map.owner(:theirs)])
    end
    Map.create(unique, size: 500, format: :marshal) do |map|
      assert_raise(Mapvar::Unsupported) { map.set_ephemeral(:a, 1) }
      assert_raise(Mapvar::Unsupported) { map.participants }
    end
  end
end
