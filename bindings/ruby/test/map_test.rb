# frozen_string_literal: true

require_relative "helper"

# Mapvar::Map.
class MapTest < Case
  def with(**options, &block)
    Map.create(unique, **options, &block)
  end

  def test_like_a_hash
    with do |map|
      assert_true(map.empty?)
      map[:a] = 1
      map["b"] = nil
      map.store("c", [3])
      assert_equal([1, nil, nil], [map["a"], map[:b], map[:none]])
      assert_equal([1, nil], [map.fetch(:a), map.fetch("b")])
      assert_equal([9, "none!"], [map.fetch(:none, 9), map.fetch(:none) { |name| "#{name}!" }])
      error = assert_raise(KeyError) { map.fetch(:none) }
      assert_equal([map, :none], [error.receiver, error.key])
      %i[key? has_key? include? member?].each do |ask|
        assert_equal([true, true, false], [map.public_send(ask, :a), map.public_send(ask, "b"), map.public_send(ask, "x")])
      end
      assert_equal([%w[a b c], 3, 3, 3], [map.keys, map.size, map.length, map.count])
      assert_equal({ "a" => 1, "b" => nil, "c" => [3] }, map.to_h)
      assert_equal(1, map.count { |_, value| value.is_a?(Array) })
      assert_equal([["c", [3]]], map.select { |_, value| value.is_a?(Array) })
      assert_equal([true, false], [map.delete(:a), map.delete(:a)])
      assert_equal([2, 0], [map.clear, map.size])
      assert_false(map.empty?.!)
    end
  end

  def test_each_without_a_block
    with do |map|
      10.times { |i| map["v#{i}"] = i }
      walk = map.each
      assert_equal(10, walk.size)
      assert_kind_of(String, walk.next.first)
      assert_equal((0..9).to_a, map.each.map(&:last).sort)
      assert_equal(map.keys, map.each_pair.map(&:first).sort)
      # The abandoned walks keep nothing open.
      walk = nil
      GC.start
    end
  end

  def test_names_and_prefixes
    [:mapvar, :marshal].each do |format|
      with(format: format) do |map|
        assert_equal([[], []], [map.keys, map.keys(prefix: "a")])
        { "car/rpm" => 900, "car/gear" => [2], "lap" => 7, "é" => 1, "car" => 0 }.each { |name, value| map[name] = value }
        assert_equal(%w[car car/gear car/rpm lap é], map.keys)
        assert_equal(%w[car/gear car/rpm], map.keys(prefix: "car/"))
        assert_equal([%w[é], []], [map.keys(prefix: :é), map.keys(prefix: "none")])
        assert_equal([Encoding::UTF_8, true], [map.keys.last.encoding, map.keys.all?(&:frozen?)])
        seen = []
        assert_same(map, map.each_key(prefix: "car/") { |name| seen << name })
        assert_equal(%w[car/gear car/rpm], seen.sort)
        assert_equal([5, nil], [map.each_key.size, map.each_key(prefix: "car/").size])
        assert_equal(map.keys, map.each_key.to_a.sort)
        assert_equal({ "car/rpm" => 900, "car/gear" => [2] }, map.each(prefix: "car/").to_h)
        assert_equal({ "lap" => 7 }, map.each_pair(prefix: "l").to_h)
        walk = map.each_key
        walk.next
        map.close
        assert_raise(Mapvar::Closed) { 9.times { walk.next } } if format == :mapvar
      end
    end
    with do |map|
      [5, nil, Object].each { |prefix| prefix && assert_raise(TypeError) { map.keys(prefix: prefix) } }
    end
  end

  def test_set_if_changed
    [:mapvar, :marshal].each do |format|
      with(format: format) do |map|
        [5, 5.0, nil, true, "text", "\xff".b, [1, [2]], { "a" => 1 }, :symbol, 1..2].each do |value|
          assert_true(map.set_if_changed(:v, value), value.inspect)
          revision = map.revision(:v)
          assert_false(map.set_if_changed(:v, value), value.inspect)
          assert_equal([value, revision], [map[:v], map.revision(:v)])
        end
        assert_raise(TypeError) { map.set_if_changed(:v, -> {}) }
        assert_raise(Mapvar::InvalidName) { map.set_if_changed("", 1) }
        assert_equal(1..2, map[:v])
      end
    end
  end

  def test_a_walk_while_others_change_the_map
    with do |map|
      100.times { |i| map["v#{i}"] = i }
      seen = map.each_with_object([]) do |(name, _), names|
        names << name
        map["new-#{name}"] = 1
        map.delete("new-#{names.first}")
      end
      assert_equal(100, seen.grep(/\Av/).uniq.length)
    end
  end

  def test_names
    with do |map|
      ["a", "größe", "with space", "a\0b", "x" * 1023, "é" * 511].each do |name|
        map[name] = name
        assert_equal(name, map[name])
        assert_equal([name], map.keys)
        assert_equal(Encoding::UTF_8, map.keys.first.encoding)
        assert_equal({ name => name }, map.snapshot(name))
        assert_true(map.delete(name))
      end
      ["", "x" * 1024, "é" * 512].each { |name| assert_raise(Mapvar::InvalidName) { map[name] = 1 } }
      [1, nil, Object.new, ["a"]].each { |name| assert_raise(TypeError) { map[name] = 1 } }
      assert_raise(ArgumentError) { map["\xff".dup.force_encoding("UTF-16LE")] = 1 }
    end
  end

  def test_create_open_and_both
    name = unique
    first = Map.create(name, size: 1000)
    assert_true(first.created?)
    assert_equal([name, nil, :mapvar, 1000], [first.name, first.file, first.format, first.bytesize])
    assert_raise(Mapvar::AlreadyExists) { Map.create(name) }
    second = Map.open_or_create(name)
    assert_false(second.created?)
    third = Map.open(name.to_sym, read_only: true)
    second[:a] = 1
    assert_equal([1, 1], [first[:a], third[:a]])
    assert_raise(Mapvar::ReadOnly) { third[:a] = 2 }
    [first, second, third].each(&:close)
    assert_raise(Mapvar::NotFound) { Map.open(name) }
    assert_equal(:result, Map.create(name) { :result })
    assert_raise(Mapvar::NotFound) { Map.open(name) }
  end

  def test_options_that_make_no_sense
    [{ size: -1 }, { size: "1" }, { timeout: -1 }, { timeout: "1" }, { scope: :galaxy }, { format: :yaml }, { nope: 1 },
     { on_clobber: :cry }, { recover: :all }, { max_size: 1.5 }, { size: 1 << 64 }].each do |options|
      assert_raise(ArgumentError, options.inspect) { Map.create(unique, **options) }
    end
    assert_raise(Mapvar::InvalidName) { Map.create("no such/name") }
    assert_raise(Mapvar::InvalidArgument) { Map.create }
    assert_raise(Mapvar::InvalidArgument) { Map.create("a", file: "b") }
    assert_raise(TypeError) { Map.create(5) }
    assert_raise(NoMethodError) { Map.new("a") }
  end

  def test_a_file
    folder do |path|
      file = File.join(path, "größe.map")
      Map.create(file: file) do |map|
        map[:a] = [1, 2]
        assert_same(map, map.flush)
        assert_equal(file, map.file)
        assert_true(map.stat[:file])
      end
      Map.open(file: file) { |map| assert_equal([1, 2], map[:a]) }
      require "pathname"
      Map.open(file: Pathname(file)) { |map| assert_equal([1, 2], map[:a]) }
      File.write(other = File.join(path, "other"), "no map at all, but text" * 1000)
      assert_raise(Mapvar::NotAMap) { Map.open(file: other) }
      assert_raise(Mapvar::NotFound) { Map.open(file: File.join(path, "none")) }
    end
  end

  def test_a_copy_of_a_file_in_use
    folder do |path|
      file, torn, whole = %w[live torn whole].map { |it| File.join(path, "#{it}.map") }
      Map.create(file: file) do |map|
        map[:a] = 1
        map.flush
        map[:a] = 2
        assert_nil(map.recovery)
        assert_false(map.stat[:flush_failed])
        IO.copy_stream(file, torn)
        Map.create(file: whole) { |into| assert_equal(1, map.copy_to(into)) }
        assert_raise(Mapvar::InvalidArgument) { map.copy_to(map) }
        assert_raise(NoMethodError, TypeError) { map.copy_to(5) }
      end
      Map.open(file: whole) { |map| assert_equal([2, nil], [map[:a], map.recovery]) }
      assert_raise(Mapvar::NeedsRecovery) { Map.open(file: torn) }
      assert_raise(Mapvar::NeedsRecovery) { Map.open(file: torn, recover: :never) }
      Map.open(file: torn, read_only: true) { |map| assert_equal(1, map[:a]) }
      Map.open(file: torn, recover: :accept_loss, take_over: true) do |map|
        assert_equal(1, map[:a])
        assert_equal({ variables: 1, lost: 0, rolled_back: 1, damaged: false, torn: false }, map.recovery)
      end
    end
  end

  def test_it_grows_and_is_full
    with(size: 1000) do |map|
      1000.times { |i| map["v#{i}"] = "x" * 500 }
      assert_equal(1000, map.size)
      assert_operator(map.stat[:used], :>, 500_000)
    end
    with(size: 1000, max_size: 200_000) do |map|
      error = assert_raise(Mapvar::Full) { 10_000.times { |i| map["v#{i}"] = "x" * 500 } }
      assert_equal(Errno::ENOSPC::Errno, error.errno)
      assert_equal(map.size, map.keys.length)
      map.each { |_, value| assert_equal(500, value.length) }
      map.clear
      map[:again] = 1
    end
  end

  def test_update_and_revisions
    with do |map|
      assert_nil(map.revision(:n))
      assert_equal([1, 2], [map.update(:n, 0) { |n| n + 1 }, map.update(:n, 0) { |n| n + 1 }])
      assert_equal([nil], [map.update(:none) { |it| it }])
      old = map.revision(:n)
      assert_equal(old, map.revision(:n))
      assert_true(map.compare_and_set(:n, old, 5))
      assert_false(map.compare_and_set(:n, old, 6))
      assert_not_equal(old, map.revision(:n))
      assert_false(map.compare_and_set(:n, nil, 7))
      assert_true(map.compare_and_set(:new, nil, 8))
      assert_equal([5, 8], [map[:n], map[:new]])
      assert_raise(RuntimeError) { map.update(:n) { raise "out" } }
      assert_equal(5, map[:n])
    end
  end

  def test_threads_count_together
    [:mapvar, :marshal].each do |format|
      with(format: format) do |map|
        counts = format == :mapvar ? [8, 200] : [4, 25]
        threads = Array.new(counts[0]) { Thread.new { counts[1].times { map.update(:n, 0) { |n| n + 1 } } } }
        within_limit { threads.each(&:join) }
        assert_equal(counts.inject(:*), map[:n])
      end
    end
  end

  def test_transactions
    with do |map|
      map[:a] = 10
      map[:b] = 0
      assert_equal(:moved, map.transaction do |it|
        it[:a] -= 3
        it[:b] += 3
        assert_equal([7, 3], [it[:a], it[:b]])
        assert_equal([10, 0], [map[:a], map[:b]])
        it.delete(:none)
        it.store(:c, it.key?(:none))
        :moved
      end)
      assert_equal({ "a" => 7, "b" => 3, "c" => false }, map.to_h)
      assert_raise(RuntimeError) { map.transaction { |it| it[:a] = 0 and raise "out" } }
      assert_equal(7, map[:a])
      map.transaction { |it| it.delete(:c) }
      assert_false(map.key?(:c))
      assert_raise(KeyError) { map.transaction { |it| it.fetch(:c) } }
      assert_equal([1, 2], map.transaction { |it| [it.fetch(:c, 1), it.fetch(:c) { 2 }] })
      # The block runs again if another thread was faster.
      runs = 0
      map.transaction do |it|
        runs += 1
        it[:b] = it[:a]
        map[:a] = runs if runs < 3
      end
      assert_equal([3, 2], [runs, map[:b]])
      assert_raise(Mapvar::Conflict) { map.transaction { |it| map[:a] = (it[:b] = it[:a]) + 1 } }
      late = nil
      map.transaction { |it| late = it }
      assert_raise(Mapvar::Closed) { late[:a] }
      # No update between threads is lost.
      map[:a] = 1000
      map[:b] = 0
      threads = Array.new(4) do
        Thread.new do
          50.times do
            map.transaction { |it| (it[:a] -= 1) && (it[:b] += 1) }
          rescue Mapvar::Conflict
            retry
          end
        end
      end
      within_limit { threads.each(&:join) }
      assert_equal([800, 200], [map[:a], map[:b]])
    end
  end

  def test_snapshots
    with do |map|
      map[:a] = 1
      map[:b] = [2]
      assert_equal({ "a" => 1, "b" => [2] }, map.snapshot(:a, "b", :none))
      assert_equal({ "a" => 1 }, map.snapshot(%w[a]))
      assert_equal({}, map.snapshot)
      assert_raise(Mapvar::InvalidName) { map.snapshot("") }
    end
  end

  def test_atomics_combined_with_a_number
    with do |map|
      peak = map.atomic(:peak, -3)
      assert_equal([7, 7, 7], [peak.max(7), peak.max(3), peak.value])
      assert_equal([3, 3, -9], [peak.min(3), peak.min(5), peak.min(-9)])
      assert_equal([7, 15, 15], [peak.and(15), peak.or(9), peak.value])
      flags = map.atomic(:flags, 1, type: :u64)
      assert_equal([(1 << 64) - 1, 6, 7], [flags.max((1 << 64) - 1), flags.and(6), flags.or(1)])
      assert_raise(RangeError) { flags.max(-1) }
      assert_raise(TypeError) { flags.or(1.0) }
      [map.atomic(:f, 1.0), map.atomic(:b, true)].each do |other|
        %i[max min and or add].each { |name| assert_raise(Mapvar::Unsupported) { other.public_send(name, other.value) } }
      end
      threads = Array.new(4) { |at| Thread.new { 200.times { |round| peak.max(at * 1000 + round) } } }
      within_limit { threads.each(&:join) }
      assert_equal(3199, peak.value)
      map.delete(:peak)
      assert_raise(Mapvar::NotFound) { peak.max(1) }
    end
  end

  def test_atomics
    with do |map|
      counter = map.atomic(:counter, 5)
      assert_equal([:i64, "counter", 5], [counter.type, counter.name, counter.value])
      assert_equal([6, 16, 15, 5], [counter.add, counter.add(10), counter.sub, counter.sub(10)])
      assert_equal([5, 9], [counter.swap(9), counter.get])
      counter.value = 1
      assert_equal([true, false, 2], [counter.compare_and_set(1, 2), counter.compare_and_set(1, 3), counter.value])
      assert_equal([4, 4], [counter.update { |it| it * 2 }, map[:counter]])
      counter.value = (1 << 63) - 1
      assert_equal([-(1 << 63), -(1 << 63)], [counter.add, counter.value])
      assert_raise(RangeError) { counter.value = 1 << 63 }
      assert_raise(TypeError) { counter.value = 1.5 }
      assert_raise(TypeError) { counter.add("1") }

      large = map.atomic(:large, 1, type: :u64)
      large.value = (1 << 64) - 1
      assert_equal([(1 << 64) - 1, 0], [large.value, large.add])
      assert_raise(RangeError) { large.value = -1 }
      ratio = map.atomic(:ratio, 0.5)
      assert_equal([0.5, 0.25], [ratio.swap(0.25), ratio.value])
      assert_raise(Mapvar::Unsupported) { ratio.add }
      flag = map.atomic(:flag, false)
      assert_equal([false, true], [flag.swap(true), flag.value])
      assert_raise(TypeError) { flag.value = 1 }

      assert_equal((1 << 64) - 1 & 0, map.atomic(:large, type: :u64).value)
      assert_raise(Mapvar::NotFound) { map.atomic(:none) }
      assert_raise(Mapvar::WrongKind) { map.atomic(:ratio) }
      assert_raise(ArgumentError) { map.atomic(:x, 1, type: :i8) }
      assert_raise(Mapvar::WrongKind) { map[:counter] = "text" }
      map.delete(:counter)
      assert_raise(Mapvar::NotFound) { counter.value }
      assert_raise(TypeError) { counter.dup }
    end
    with(format: :marshal) do |map|
      assert_raise(Mapvar::Unsupported) { map.atomic(:x, 1) }
      assert_raise(Mapvar::Unsupported) { map.transaction { |it| it[:a] = 1 } }
    end
  end

  def test_threads_add_together
    with do |map|
      counter = map.atomic(:n, 0)
      Array.new(8) { Thread.new { 500.times { counter.add } } }.each(&:join)
      assert_equal(4000, counter.value)
    end
  end

  def test_stat_and_check
    with(size: 5000) do |map|
      map[:a] = 1
      stat = map.stat
      assert_equal([5000, 1, false, Process.pid], stat.values_at(:size, :variables, :file, :creator)) unless windows?
      assert_kind_of(Time, stat[:created])
      assert_operator(stat[:region], :>, stat[:used])
      assert_equal([], map.check.select { |it| it[:fault] })
      assert_nil(map.lock_stat)
      assert_equal([], map.clobbered)
    end
  end

  # Does what a program with the gem does: it overwrites all variables that it does not know with its own Hash.
  def test_clobbered
    with(format: :marshal, on_clobber: :reassert) do |map|
      map[:mine] = 1
      poke(map.name, Marshal.dump({ "theirs" => 2 }))
      assert_equal([2, nil], [map[:theirs], map[:mine]])
      assert_equal(["mine"], map.clobbered)
      assert_equal([], map.clobbered)
      map[:other] = 3
      assert_equal({ "mine" => 1, "theirs" => 2, "other" => 3 }, map.to_h)
    end
    with(format: :marshal, on_clobber: :error) do |map|
      map[:mine] = 1
      poke(map.name, Marshal.dump({}))
      assert_match(/mine/, assert_raise(Mapvar::TakenAway) { map[:mine] }.message)
      assert_nil(map[:mine])
    end
  end

  def test_timeouts
    with(timeout: 1.5) do |map|
      assert_equal(1.5, map.timeout)
      map.timeout = Float::INFINITY
      map[:a] = 1
      map.timeout = 0
      assert_equal(1, map[:a])
    end
  end

  def test_inspect
    with do |map|
      assert_equal("#<Mapvar::Map #{map.name.inspect}>", map.inspect)
      map.close
      assert_equal("#<Mapvar::Map #{map.name.inspect} (closed)>", map.to_s)
      assert_raise(Mapvar::Closed) { map[:a] }
      assert_raise(TypeError) { map.dup }
    end
  end

  # Each Ractor opens its own map, and they share the variables. An older Ruby, or ffi, refuses that itself.
  def test_ractors
    message = output(<<~'RUBY')
      Warning[:experimental] = false
      Mapvar::Map.create("ractor-#{Process.pid}") do |map|
        map[:a] = 0
        ractors = 3.times.map do |number|
          Ractor.new(map.name, number) do |name, number|
            mine = Mapvar::Map.open(name)
            count = mine.atomic(:count, 0)
            100.times do |round|
              count.add(1)
              mine["of.#{number}"] = [round, "x" * round]
              mine.transaction { |tx| tx[:a] = tx[:a] + 1 }
            end
            watch = mine.watch(:a)
            [mine.to_h.size, mine.fetch("of.#{number}").first, watch.wait(0), mine.lock("turn").synchronize { 7 }]
          ensure
            mine&.close
          end
        end
        puts ractors.map { |it| it.take.inspect }.uniq.sort.last
        p map[:a], map.atomic(:count).get
      rescue Ractor::RemoteError => e
        puts e.cause.class
        map[:a] = 1
        puts map[:a]
      end
    RUBY
    shared = /\A\[\d, 99, nil, 7\]\n300\n300\n\z/
    modern = RUBY_VERSION.to_f >= 3.3 && FFI::VERSION.to_f >= 1.16
    assert_match(modern ? shared : /^Ractor::(Isolation|Unsafe)Error\n1$/, message)
  end

  def test_what_cannot_be_copied_is_not_and_the_original_lives_on
    map = Map.create(unique)
    map[:foo] = 1
    win32 = MMap.new(name: unique, size: 100)
    win32.foo = 1
    atomic = map.atomic(:hits, 0)
    all = [map, win32, atomic, map.watch(:foo), map.lock(:jobs)]
    all.each do |one|
      20.times do
        assert_raise(TypeError) { one.dup }
        assert_raise(TypeError) { one.clone }
      end
      assert_raise(TypeError) { Marshal.dump(one) }
    end
    # An incomplete copy must not close the original's handle when it is collected.
    5.times do
      Array.new(1000) { Object.new }
      GC.start
    end
    assert_equal([1, 1, 1], [map[:foo], win32.foo, atomic.add])
    assert_nil(all[3].try_wait)
    assert_equal(:held, all[4].synchronize { :held })
    assert_match(/Integer/, assert_raise(TypeError) { map[3] }.message)
  ensure
    map&.freeze&.close
    win32&.close
  end
end
