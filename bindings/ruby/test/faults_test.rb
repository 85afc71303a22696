# frozen_string_literal: true

require_relative "helper"

# Faults that were found from outside: what a program sees when a lock, a value or an object is not as it hoped.
class FaultsTest < Case
  # Values that Marshal reads and Ruby then refuses, in Marshal's bytes.
  REFUSED = {
    "a Regexp with an open bracket" => "\x04\bI/\x06[\x00\x06:\x06EF",
    "a Rational over zero" => "\x04\bU:\rRational[\ai\x06i\x00",
    "a Time of two bytes" => "\x04\bIu:\tTime\aab\x00",
    "a Range of unlike ends" => "\x04\bo:\nRange\b:\texclF:\nbegini\x06:\bend\"\x06a"
  }.transform_values(&:b).freeze

  # While a program holds the lock of a map in the gem's layout, a walk fails. It does not end.
  def test_a_walk_that_gets_no_lock_raises
    map = Map.create(unique, format: :marshal, timeout: 0.3)
    map[:foo] = 1
    holding(map.name) do |pipe|
      %i[keys to_h to_a count].each { |call| assert_raise(Mapvar::TimedOut, call.to_s) { map.public_send(call) } }
      assert_raise(Mapvar::TimedOut) { map.each { flunk("no variable was read") } }
      # The timeout is the map's, and the walk goes on where it failed.
      map.timeout = LIMIT
      walk = Thread.new { map.keys }
      sleep 0.3
      pipe.puts
      assert_equal("free", pipe.gets.to_s.chomp)
      assert_equal(["foo"], walk.value)
    end
  ensure
    map&.close
  end

  def test_values_that_ruby_refuses_are_opaque
    REFUSED.each do |what, bytes|
      %i[mapvar marshal].each do |format|
        Map.create(unique, format: format) do |map|
          map[:odd] = Mapvar::Opaque.new(1, bytes)
          map[:even] = 2
          assert_raise(Mapvar::Corrupt, what) { map[:odd] }
          [map.to_h, map.snapshot(:odd, :even)].each do |found|
            assert_equal([Mapvar::Opaque.new(1, bytes), 2], found.values_at("odd", "even"), what)
            assert_kind_of(Mapvar::Corrupt, found["odd"].error, what)
          end
          # It can be stored again, and keeps its bytes.
          map[:odd] = map.to_h["odd"]
          assert_equal(bytes, map.to_h["odd"].bytes)
        end
      end
    end
  end

  def test_a_value_that_ruby_refuses_passes_through_a_watch_once
    Map.create(unique) do |map|
      watch = map.watch(:odd, :even)
      REFUSED.each do |what, bytes|
        map[:odd] = Mapvar::Opaque.new(1, bytes)
        within_limit { assert_equal(bytes, watch.wait.value.bytes, what) }
        assert_nil(watch.try_wait, what)
        map[:even] = what
        within_limit { assert_equal(["even", what], watch.wait.then { |it| [it.name, it.value] }) }
      end
    end
  end

  # A class that its user trusts, and whose objects cannot be loaded.
  class Broken
    def marshal_dump = nil

    def marshal_load(_)
      raise "broken"
    end
  end

  def test_an_object_of_a_trusted_class_that_cannot_be_loaded
    Map.create(name = unique) do |_|
      Map.open(name, permitted: :all) do |map|
        watch = map.watch
        map[:odd] = Broken.new
        assert_equal("broken", assert_raise(RuntimeError) { map[:odd] }.message)
        assert_equal("broken", map.to_h["odd"].error.message)
        within_limit { assert_equal("broken", watch.wait.value.error.message) }
        assert_nil(watch.try_wait)
      end
    end
  end

  # An object that takes its time to load.
  class Slow
    LOADING = Thread::Queue.new
    RELEASE = Thread::Queue.new

    def marshal_dump = nil

    def marshal_load(_)
      LOADING.push(true)
      RELEASE.pop
    end
  end

  # What interrupts a wait, as Ctrl-C does, puts its change back: the next wait has it.
  def test_an_interrupted_wait_loses_no_change
    Map.create(name = unique) do |_|
      Map.open(name, permitted: :all) do |map|
        watch = map.watch(:slow)
        map[:slow] = Slow.new
        thread = Thread.new { assert_raise(Interrupt) { watch.wait(LIMIT) } }
        within_limit { Slow::LOADING.pop }
        thread.raise(Interrupt)
        within_limit { thread.join }
        Slow::RELEASE.push(true)
        within_limit { assert_kind_of(Slow, watch.wait.value) }
        assert_nil(watch.try_wait)
      end
    end
  end

  # Atomics, watches and locks kept their map open until they were collected.
  def test_close_closes_what_was_made_from_the_map
    map = Map.create(name = unique)
    map.set_ephemeral(:here, 1)
    atomic = map.atomic(:count, 0)
    watch = map.watch
    lock = map.lock(:jobs)
    each = map.each
    each.next
    map.close
    assert_raise(Mapvar::NotFound) { Map.open(name) }
    [-> { atomic.add }, -> { atomic.value }, -> { watch.wait(0) }, -> { lock.try_synchronize { flunk } },
     -> { lock.holder }, -> { loop { each.next } }].each { |call| assert_raise(Mapvar::Closed, &call) }
    assert_predicate(watch, :closed?)
    assert_nil(watch.close)
    assert_nil(map.close)
  end

  def test_ephemeral_variables_end_with_their_map
    Map.create(name = unique) do |other|
      map = Map.open(name)
      map.set_ephemeral(:here, 1)
      kept = [map.atomic(:count, 0), map.watch, map.lock(:jobs)]
      map.close
      assert_equal(["count"], other.keys)
      assert_equal(3, kept.length)
    end
  end

  # Of two maps of one name, each closes what was made from it.
  def test_close_leaves_the_objects_of_another_map
    Map.create(name = unique) do |map|
      atomic = map.atomic(:count, 0)
      watch = map.watch(:foo)
      Map.open(name) { |second| second.atomic(:count).add }
      map[:foo] = 1
      assert_equal(2, atomic.add)
      assert_equal(1, within_limit { watch.wait.value })
    end
  end

  # A lock that a thread holds is not lost when another thread closes the map.
  def test_a_held_lock_outlives_the_close
    Map.create(name = unique) do |other|
      map = Map.open(name)
      map.lock(:jobs).synchronize do
        map.close
        assert_nil(other.lock(:jobs).try_synchronize { flunk("it is held") })
      end
      assert_true(other.lock(:jobs).try_synchronize { true })
    end
  end

  # An object keeps its map open, whether or not the program keeps the map.
  def test_a_forgotten_map_stays_open_for_what_was_made_from_it
    Map.create(name = unique) do |_|
      atomic = Map.open(name).atomic(:count, 0)
      watch = Map.open(name).watch(:foo)
      lock = Map.open(name).lock(:jobs)
      10.times { GC.start }
      assert_equal(1, atomic.add)
      assert_nil(watch.try_wait)
      assert_true(lock.try_synchronize { true })
    end
  end

  def test_a_timeout_of_minus_one_waits_without_a_limit
    map = MMap.new(name: unique, size: 100, timeout: -1)
    assert_equal([-1, Float::INFINITY], [map.timeout, map.variables.timeout])
    holding(map.name) do |pipe|
      set = Thread.new { map.foo = 1 }
      sleep 0.3
      assert_predicate(set, :alive?)
      pipe.puts
      within_limit { assert_equal(1, set.value) }
    end
  ensure
    map&.close
  end

  def test_dig_and_values_at
    Map.create(unique) do |map|
      map[:job] = { "input" => [1, 2] }
      assert_equal([2, nil, nil], [map.dig(:job, "input", 1), map.dig(:job, "output", 1), map.dig(:none, 1)])
      assert_equal([{ "input" => [1, 2] }, nil], map.values_at(:job, "none"))
    end
  end

  def test_a_set_needs_no_permission
    require "set"
    Map.create(unique) do |map|
      map[:set] = Set[1, "two"]
      assert_equal(Set[1, "two"], map[:set])
    end
  end

  # Another process's flush takes a second, and closing waits for it: longer than one slice.
  def test_close_waits_for_the_flush_of_another_process
    omit("needs strace") unless system("strace", "-V", out: File::NULL, err: File::NULL)
    Dir.mktmpdir do |folder|
      path = File.join(folder, "slow.map")
      map = Map.open_or_create(file: path, timeout: 20)
      slow = ["strace", "-f", "-o", File::NULL, "-e", "inject=fdatasync:delay_enter=1000000", RbConfig.ruby]
      script = 'require "mapvar"; Mapvar::Map.open(file: ARGV[0]) { |it| it[:b] = 1; puts; $stdout.flush; it.flush }'
      load_path = ["-I", File.expand_path("../lib", __dir__)]
      IO.popen([*slow, *load_path, "-e", script, path]) do |pipe|
        pipe.gets
        sleep(0.3)
        map[:a] = 1
        # The library's own close keeps the handle at a timeout, so that it can be repeated.
        library = Mapvar.const_get(:Library)
        assert_equal(library::TIMED_OUT, library.mapvar_map_close(map.send(:handle)))
        assert_equal(1, map[:a])
        assert_nil(map.close)
        assert_true(map.closed?)
      end
      assert_equal({ "a" => 1, "b" => 1 }, Map.open(file: path, &:to_h))
    end
  end
end
