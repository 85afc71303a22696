# frozen_string_literal: true

# One of several processes that share a map, like crates/mapvar/examples/peer.rs. It adds, changes and removes
# variables of its own, and increments an atomic that all share, until its standard input ends.
require "mapvar"

name, me = ARGV
ended = false
Thread.new do
  $stdin.read
  ended = true
end
map = Mapvar::Map.open(name)
total = map.atomic(:total, 0)
rounds = 0
until ended
  mine = "#{me}.#{rounds % 50}"
  map[mine] = rounds
  raise "#{mine} is not what was set" unless map[mine] == rounds

  map.delete("#{me}.#{(rounds + 25) % 50}") if (rounds % 3).zero?
  total.add
  rounds += 1
end
puts rounds
