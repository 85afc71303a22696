# frozen_string_literal: true

require_relative "helper"

# Many processes, in many languages, on one map.
class ProcessesTest < Case
  not_under_stress

  PEER = File.expand_path("peers/peer.rb", __dir__)

  # The command of each language that has a peer program.
  def peers
    found = { "ruby1" => [*RUBY, PEER], "ruby2" => [*RUBY, PEER], "ruby3" => [*RUBY, PEER] }
    found["rust"] = [built("examples/peer")] if built("examples/peer")
    found["c"] = [built("peer-c")] if built("peer-c")
    missing = %w[rust c] - found.keys
    # `cargo xtask harness bindings` builds them all.
    flunk("no peer in #{missing.join(", ")}") if ENV["MAPVAR_TEST_PEERS"] && !missing.empty?
    found
  end

  def each_peer(name, peers = self.peers.to_a, pipes = {}, &block)
    return yield pipes if peers.empty?

    (me, command), *others = peers
    start(*command, name, me) { |pipe| each_peer(name, others, pipes.merge(me => pipe), &block) }
  end

  def rounds_of(map, me)
    map.select { |key, _| key.start_with?("#{me}.") }.map(&:last).max || 0
  end

  # Ruby, C and Rust processes add, change and remove variables. One process after the other is killed, of each
  # language; the rest continue.
  def test_a_killed_process_stops_nobody
    name = unique
    Map.create(name) do |map|
      each_peer(name) do |pipes|
        pipes.each_key { |me| await { rounds_of(map, me) > 50 } }
        left = pipes.dup
        (pipes.keys - ["ruby3"]).each do |me|
          kill(left.delete(me))
          left.each_key do |other|
            before = rounds_of(map, other)
            await { rounds_of(map, other) > before + 100 }
          end
        end
        sum = map.atomic(:total).value
        left.each_value(&:close_write)
        left.each { |me, pipe| assert_match(/\A\d+\s*\z/, within_limit { pipe.read }, me) }
        assert_operator(map.atomic(:total).value, :>=, sum)
        assert_equal([], map.check.select { |it| it[:fault] })
      end
      map["after"] = 1
      assert_equal(1, map["after"])
    end
  end

  # Each language reads what another wrote: the kinds are the same.
  def test_the_command_reads_what_ruby_writes
    command = built("mapvar") or omit("the command is not built")
    name = unique
    Map.create(name) do |map|
      map[:int] = -5
      map[:text] = "größe"
      map[:float] = 1.5
      map[:list] = [1, "two", nil, { "k" => true }]
      map[:large] = 2**63
      map[:time] = Time.at(0)
      get = lambda do |variable|
        start(command, "get", name, variable) { |pipe| pipe.read.force_encoding("UTF-8").chomp }
      end
      assert_equal(%w[-5 größe 1.5 9223372036854775808], %w[int text float large].map(&get))
      assert_equal('[1, "two", nil, {"k": true}]', get.call("list"))
      assert_match(/\Aopaque 1:0x0408/, get.call("time"))
      start(command, "set", name, "back", "77", &:read)
      assert_equal(77, map[:back])
    end
  end

  # A store keeps the old value, or the new one, whatever happens to the writer: d25.
  def test_d25_a_killed_writer_leaves_a_whole_value
    name = unique
    Map.create(name) do |map|
      map[:large] = "a" * 100_000
      5.times do
        process(<<~'RUBY', name) do |pipe|
          map = Mapvar::Map.open(ARGV[0])
          puts "ready"
          STDOUT.flush
          loop { ("a".."z").each { |letter| map[:large] = letter * 100_000 } }
        RUBY
          pipe.gets
          sleep 0.02
          kill(pipe)
        end
        value = map[:large]
        assert_equal([100_000, 1], [value.bytesize, value.squeeze.length])
      end
    end
  end

  # In the child of a `fork`, calls on a parent's map raise and do not harm the parent; the child opens its own.
  def test_fork
    omit("no fork here") unless Process.respond_to?(:fork)
    name = unique
    parent = MMap.new(name: name, size: 1000)
    parent.foo = 1
    store = Map.create(unique)
    store[:foo] = 1
    counter = store.atomic(:counter, 1)
    reader, writer = IO.pipe
    pid = fork do
      reader.close
      said = [-> { parent.foo }, -> { parent.foo = 2 }, -> { store[:foo] }, -> { store[:foo] = 2 }, -> { store.each {} },
              -> { store.transaction { |it| it[:foo] = 2 } }, -> { counter.add }].map do |use|
        use.call
        "nothing"
      rescue Mapvar::Error => e
        e.class.name
      end
      own = MMap.open(name)
      said << own.foo.to_s
      own.close
      parent.close
      writer.write(said.join(" "))
      writer.close
      exit!(0)
    end
    writer.close
    said = within_limit { reader.read }
    Process.wait(pid)
    assert_equal("#{["Mapvar::Closed"] * 7 * " "} 1", said)
    assert_equal([1, 1, 2], [parent.foo, store[:foo], counter.add])
    [parent, store].each(&:close)
  end
end
