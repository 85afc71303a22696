# Ruby's side of the harness `marshal`: makes dumps from a seed, loads mapvar's dumps, and edits
# dumps as the harness does.
# A request is a letter and counted byte strings; a response is one counted byte string.
require 'set'

Pair = Struct.new(:left, :right)
Keyed = Struct.new(:a, :b, :c, keyword_init: true)
class Thing; attr_accessor :one, :two; end
class Text < String; end
class List < Array; end
class Table < Hash; end
class Pattern < Regexp; end
module Mark; end
module Sign; end
# Objects dumped by _dump: a String without instance variables, and one with.
class Plain
  def initialize(text) = @text = text
  def _dump(_level) = @text.b
  def self._load(text) = new(text)
end
class Rich
  attr_reader :text
  def initialize(text) = @text = text
  def _dump(_level) = @text
  def self._load(text) = new(text)
end
# An object dumped by marshal_dump.
class Wrapped
  def initialize(inner) = @inner = inner
  # It returns no object of its own class, which Ruby would refuse.
  def marshal_dump = [@inner]
  def marshal_load(inner)
    @inner = inner[0]
  end
end

class Maker
  ENCODINGS = %w[Shift_JIS EUC-JP UTF-16LE ISO-8859-1 Windows-1252]

  def initialize(seed)
    @random = Random.new(seed)
    @pool = []
  end

  def below(count) = @random.rand(count)

  def keep(object)
    @pool << object
    object
  end

  def word = Array.new(1 + below(6)) { (97 + below(26)).chr }.join

  def text
    case below(9)
    when 0 then word.b + "\xff".b
    when 1 then word.force_encoding('US-ASCII')
    when 2 then word.encode(ENCODINGS[below(ENCODINGS.size)])
    when 3 then word + 'é€'
    when 4 then Text.new(word)
    when 5 then word.tap { |it| it.instance_variable_set(:@note, value(1)) }
    when 6 then word.extend(Mark)
    when 7 then ''
    else word * (1 + below(40))
    end
  end

  def symbol
    case below(5)
    when 0 then (word + 'ü').to_sym
    when 1 then (word + "\u3042").encode('Shift_JIS').to_sym
    else word.to_sym
    end
  end

  def number
    case below(6)
    when 0 then below(300) - 150
    when 1 then below(1 << 32) - (1 << 31)
    when 2 then below(1 << 63) - (1 << 62)
    when 3 then below(1 << 65) - (1 << 64)
    when 4 then (1 << 30) - 2 + below(4)
    else below(1 << 200) - (1 << 199)
    end
  end

  def float
    case below(6)
    when 0 then [Float::INFINITY, -Float::INFINITY, Float::NAN, 0.0, -0.0, 1e-310, Float::MAX, Float::MIN][below(8)]
    when 1 then below(1000) / 8.0
    else [below(1 << 64)].pack('Q').unpack1('d')
    end
  end

  # Containers enter the pool before they are filled, so that they may contain themselves.
  def value(depth)
    return @pool[below(@pool.size)] if !@pool.empty? && below(8).zero?
    case below(depth.positive? ? 26 : 9)
    when 0 then [nil, true, false][below(3)]
    when 1, 2 then number
    when 3 then keep(float)
    when 4, 5 then keep(text)
    when 6, 7 then symbol
    when 8 then [String, Comparable, Kernel, Pair, Mark][below(5)]
    when 9..12
      list = keep(below(6).zero? ? List.new : [])
      below(6).times { list << value(depth - 1) }
      list.instance_variable_set(:@note, value(depth - 1)) if below(10).zero?
      list.extend(Mark).extend(Sign) if below(12).zero?
      list
    when 13..16
      table = keep(below(6).zero? ? Table.new : {})
      table.compare_by_identity if table.instance_of?(Hash) && below(12).zero?
      table.default = value(depth - 1) if below(6).zero?
      below(5).times do
        key = [-> { symbol }, -> { word }, -> { number }][below(3)].call
        table[key] = value(depth - 1)
      end
      table
    when 17
      thing = keep(Thing.new)
      thing.one = value(depth - 1)
      thing.two = value(depth - 1) if below(2).zero?
      thing.extend(Mark) if below(5).zero?
      thing
    when 18
      pair = keep(Pair.new)
      pair.left = value(depth - 1)
      pair.right = value(depth - 1)
      pair
    when 19 then keep(Keyed.new(a: value(depth - 1), b: 1, c: value(depth - 1)))
    when 20 then keep(below(2).zero? ? Plain.new(word) : Rich.new(text))
    when 21 then keep(Wrapped.new(value(depth - 1)))
    when 22 then keep([/#{word}/, /é#{word}/i, Pattern.new(word), Regexp.new(word.b, Regexp::FIXEDENCODING)][below(4)])
    when 23 then keep([(1..5), ('a'...'c'), Rational(below(99), 7), Complex(1, below(9)), 1.0..2.5][below(5)])
    when 24 then keep(Time.at(below(1 << 31), below(1_000_000_000), :nsec, in: ['UTC', '+02:00', '-03:30'][below(3)]))
    else keep(below(2).zero? ? Set.new([number, symbol]) : RuntimeError.new(word))
    end
  end

  def table
    all = keep({})
    (1 + below(6)).times { |at| all["#{word}#{at}"] = value(4) }
    all
  end
end

def read_counted = $stdin.read($stdin.read(4).unpack1('N'))

$stdin.binmode
$stdout.binmode
while (letter = $stdin.read(1))
  reply =
    begin
      case letter
      # A new table as it was made; loading it would split what it shares.
      when 'G' then Marshal.dump(Maker.new(read_counted.unpack1('Q>')).table)
      # A dump, loaded and dumped again.
      when 'R' then Marshal.dump(Marshal.load(read_counted))
      # A table without one name, and with another.
      when 'E'
        table, gone, name, value = Array.new(4) { read_counted }
        all = Marshal.load(table)
        all.delete(gone.force_encoding('UTF-8'))
        all[name.force_encoding('UTF-8')] = Marshal.load(value)
        Marshal.dump(all)
      # One value alone.
      when 'V'
        table, name = Array.new(2) { read_counted }
        Marshal.dump(Marshal.load(table)[name.force_encoding('UTF-8')])
      end
    rescue StandardError, SystemStackError => e
      "#{e.class}: #{e.message}".b
    end
  $stdout.write([reply.bytesize].pack('N'), reply)
  $stdout.flush
end
