# frozen_string_literal: true

require_relative "../mapvar"
require_relative "mmap/constants"
require "securerandom"

# The namespace of the gem win32-mmap.
module Win32
  # Memory mapped I/O, as the gem win32-mmap has it: a map backed by a file or by a named piece of memory, its raw
  # bytes, and variables that are set and read like attributes. On every system.
  #
  #   map1 = MMap.new(:file => "C:\\test.map", :size => 1024)
  #   map1.foo = 'hello'
  #   map1.bar = 77
  #   map1.close
  #
  #   map2 = MMap.new(:file => "C:\\test.map")
  #   p map2.foo # => "hello"
  #   p map2.bar # => 77
  #   map2.close
  #
  # The layout is the gem's, so both can be used side by side: one marshalled Hash, behind the gem's lock. With
  # `:format => :mapvar` it is the store of {Mapvar::Map}, which every language reads, which grows, and which no
  # killed process harms.
  #
  # The README lists what is different from the gem on purpose, and why.
  class MMap
    include Constants
    include Mapvar.const_get(:Uncopied)

    # The version of this library.
    VERSION = Mapvar::VERSION

    # The options, and what each is unless given.
    OPTIONS = {
      "file" => nil, "name" => nil, "size" => 0, "protection" => PAGE_READWRITE, "access" => nil,
      "inherit" => false, "base_address" => 0, "autolock" => true, "timeout" => 1000, "open" => false,
      "format" => :marshal, "scope" => nil, "on_clobber" => nil, "permitted" => []
    }.freeze
    private_constant :OPTIONS

    # What Ruby asks objects for by itself; a variable of such a name would turn the map into something else.
    CONVERSIONS = %w[to_a to_ary to_hash to_int to_io to_open to_path to_proc to_r to_regexp to_str to_sym].freeze
    # The variable of a store that `write_string` writes.
    RAW = "win32-mmap.raw"
    private_constant :CONVERSIONS, :RAW

    # Opens the section of a name.
    #
    # @param name [String]
    # @param opts [Hash] as {#initialize}; it stays as it is
    # @yield [address] the map is closed at the end of the block
    # @return [MMap]
    def self.open(name, opts = {}, &block)
      new({ **opts, name: name, open: true }, &block)
    end

    # @return [String, nil] the path of the backing file
    attr_reader :file
    # @return [String, nil] the name of the section
    attr_reader :name
    # @return [Integer] bytes that raw content and marshalled variables may take
    attr_reader :size
    # @return [Integer] PAGE_… and SEC_…
    attr_reader :protection
    # @return [Integer] FILE_MAP_…
    attr_reader :access
    # @return [Integer] where the map was asked to be; 0 = anywhere
    attr_reader :base_address
    # @return [Integer] milliseconds to wait for the lock, or for whoever is writing
    attr_reader :timeout

    # Creates a map, or opens the one that is there.
    #
    # The keys of options are Strings or Symbols, in any case.
    #
    # @param opts [Hash]
    # @option opts [String] :file (nil) path of the backing file, created if absent; nil: backed by the page file
    # @option opts [String] :name (nil) name of the section, for other processes to open; `Global\` or `Local\`
    #   before it says for whom. nil, without a file: for this process alone
    # @option opts [Integer] :size (0) bytes; of a file that is longer, all. 0: what is there is opened, nothing made
    # @option opts [Integer] :protection (PAGE_READWRITE) PAGE_…, with SEC_…
    # @option opts [Integer] :access (FILE_MAP_WRITE) FILE_MAP_…
    # @option opts [Boolean] :inherit (false) whether child processes inherit the handle
    # @option opts [Integer] :base_address (0) where to map
    # @option opts [Boolean] :autolock (true) kept and told; each read and write is locked in any case
    # @option opts [Integer] :timeout (1000) milliseconds to wait for the lock; then Mapvar::TimedOut
    # @option opts [Boolean] :open (false) opens the section of a name, and never makes one
    # @option opts [Symbol] :format (:marshal) the gem's layout; :mapvar for the store
    # @option opts [Symbol] :on_clobber (:accept) as for Mapvar::Map.create
    # @option opts [Array<Class, String>, :all] :permitted ([]) classes whose objects may be loaded
    # @yield [address] the map is closed at the end of the block
    # @raise [ArgumentError] for an unknown key, or a value that makes no sense
    # @raise [Mapvar::Error]
    def initialize(opts = {})
      options = OPTIONS.merge(normalized(opts))
      adopt(options)
      @map = Mapvar::Map.over(how(options), opening(options), options["permitted"])
      @size = @map.bytesize
      return unless block_given?

      begin
        yield(@store ? nil : address)
      ensure
        close
      end
    end

    # @return [Integer] where the map begins in this process
    # @raise [Mapvar::Unsupported] of a store
    def address
      @map.address
    end

    # @return [Boolean] the option `autolock`
    def autolock?
      @autolock
    end

    # Kept and told; each read and write is locked in any case.
    attr_writer :autolock

    # @return [Boolean] the option `inherit`
    def inherit?
      @inherit
    end

    # @param milliseconds [Integer] to wait for the lock, from now on
    def timeout=(milliseconds)
      @map.timeout = milliseconds!(milliseconds) / 1000.0
      @timeout = milliseconds
    end

    # The first bytes of the map, variables or not. In a store they are an area of their own.
    #
    # @param length [Integer] how many
    # @return [String] binary
    # @raise [Mapvar::TooLarge] for more than there are
    def read_string(length = @size)
      return @map.read_string(length) unless @store

      count!(length)
      @map.fetch(RAW, "").byteslice(0, length).b.ljust(length, "\0")
    end

    # Writes bytes to the start of the map, without a terminator: over the variables. In a store they have an area
    # of their own.
    #
    # @param content [String]
    # @return [Integer] how many bytes it were
    # @raise [Mapvar::TooLarge] for more than there is room for, with nothing written
    def write_string(content)
      return @map.write_string(content) unless @store

      bytes = String(content).b
      count!(bytes.bytesize)
      @map.update(RAW, "") { |old| bytes + (old.byteslice(bytes.bytesize..) || "").b }
      bytes.bytesize
    end

    # Makes what was written survive a power cut: all of it, whatever the number of bytes asked for.
    #
    # @param length [Integer] bytes that must be among it; 0 = all
    # @raise [Mapvar::Error] where the system fails
    def flush(length = 0)
      count!(length)
      @map.flush
      nil
    end

    # Closes the map. Closed twice is closed; all else raises {Mapvar::Closed} then.
    def close
      @map.close
    end

    # @return [Boolean]
    def closed?
      @map.closed?
    end

    # A variable's value; nil where there is none ({#key?} tells). Also of a name that is a method's.
    #
    # @param name [String, Symbol]
    def [](name)
      @map[name]
    end

    # Sets a variable. Also of a name that is a method's.
    #
    # @param name [String, Symbol]
    # @param value [Object]
    def []=(name, value)
      @map[name] = value
    end

    # Whether there is a variable of this name.
    def key?(name)
      @map.key?(name)
    end

    # @return [Array<String>] the names of all variables, sorted
    def keys
      @map.keys - [RAW]
    end

    # Removes a variable.
    #
    # @return [Boolean] whether there was one
    def delete(name)
      @map.delete(name)
    end

    # @return [Mapvar::Map] all of them: update, each, snapshot, and of a store transaction, atomic
    def variables
      @map
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{(@file || @name || "unnamed").inspect}, #{@size} bytes#{" (closed)" if closed?}>"
    end
    alias to_s inspect

    # `map.foo = value` sets a variable, `map.foo` reads it. Names of methods are none of variables; `map[:size]`
    # reaches those. What Ruby itself asks for (`to_ary`), `foo?`, `foo!` and operators are no variables either.
    def method_missing(method, *arguments, &block)
      name = method.name
      if block.nil? && arguments.length == 1 && (setter = variable(name.delete_suffix("="))) && name.end_with?("=")
        refuse(setter) if reserved?(setter)
        return self[setter] = arguments.first
      end
      return self[name] if block.nil? && arguments.empty? && variable(name)

      super
    end

    # A setter of every variable's name; a reader of those that there are.
    def respond_to_missing?(method, include_private = false)
      name = method.name
      setter = variable(name.delete_suffix("=")) if name.end_with?("=")
      return true if setter && !reserved?(setter)

      (variable(name) && key?(name)) || super
    rescue Mapvar::Error
      super
    end

    private

    def variable(name)
      name if name.match?(/\A[[:alpha:]_][[:alnum:]_]*\z/) && !CONVERSIONS.include?(name)
    end

    # Of `inherit` there is only `inherit?`, and the gem had a writer.
    def reserved?(name)
      name == "inherit" || self.class.method_defined?(name)
    end

    def refuse(name)
      raise ArgumentError, "#{name.inspect} is a method of #{self.class}, and fixed once the map is open; the variable " \
                           "of this name is map[#{name.inspect}]"
    end

    def normalized(opts)
      hash = Hash.try_convert(opts) or raise TypeError, "options are a Hash, and no #{opts.class}"
      hash.to_h do |key, value|
        name = key.to_s.downcase
        raise ArgumentError, "Invalid key '#{key}'" unless OPTIONS.key?(name)

        [name, value]
      end
    end

    def adopt(options)
      @store = options["format"] == :mapvar
      unless @store || options["format"] == :marshal
        raise ArgumentError, "format: #{options["format"].inspect}; give :marshal or :mapvar"
      end
      @file = options["file"]&.then { |it| File.path(it).encode(Encoding::UTF_8) }
      @name = options["name"]&.then { |it| String(it).encode(Encoding::UTF_8) }
      @protection = options["protection"]
      @base_address = options["base_address"]
      @autolock = options["autolock"]
      @inherit = options["inherit"] ? true : false
      @timeout = milliseconds!(options["timeout"])
      @access = options["access"] || (readable_only? ? FILE_MAP_READ : FILE_MAP_WRITE)
      number!("size", options["size"])
      number!("base_address", @base_address)
    end

    # Without a size nothing can be made.
    def how(options)
      options["open"] || options["size"].zero? ? :open : :open_or_create
    end

    def opening(options)
      raise ArgumentError, "both a file and a name; give one: processes share a file by its path" if @file && @name
      raise ArgumentError, "open: a name is needed" if options["open"] && @name.nil?
      raise ArgumentError, "size: without a name and a file it is needed" unless @file || @name || options["size"].positive?

      scope, name = scoped(options["scope"])
      Mapvar::Map.opening(
        file: @file, name: name, scope: scope, size: options["size"].nonzero?, timeout: @timeout / 1000.0,
        format: options["format"], on_clobber: options["on_clobber"], section: section,
        **(@store ? { read_only: reading? } : {})
      )
    end

    # The gem takes a prefix of Windows in the name.
    def scoped(scope)
      return [scope, nil] if @file
      return [scope, "unnamed-#{Process.pid}-#{SecureRandom.hex(8)}"] if @name.nil?

      case @name
      when /\AGlobal\\(.*)/m then [:global, Regexp.last_match(1)]
      when /\ALocal\\(.*)/m then [:local, Regexp.last_match(1)]
      else [scope, @name]
      end
    end

    PROTECTIONS = {
      PAGE_READONLY => 0, PAGE_READWRITE => 1, PAGE_WRITECOPY => 2, PAGE_EXECUTE_READ => 3,
      PAGE_EXECUTE_READWRITE => 4, PAGE_EXECUTE_WRITECOPY => 5
    }.freeze
    FLAGS = {
      SEC_COMMIT => 1, SEC_RESERVE => 2, SEC_IMAGE => 4, SEC_NOCACHE => 8, SEC_LARGE_PAGES => 16,
      SEC_WRITECOMBINE => 32
    }.freeze
    private_constant :PROTECTIONS, :FLAGS

    def readable_only?
      number!("protection", @protection)
      ![PAGE_READWRITE, PAGE_EXECUTE_READWRITE].include?(@protection & 0xff)
    end

    def reading?
      @access & FILE_MAP_WRITE == 0
    end

    # The options of the system's section, as the library has them.
    def section
      number!("access", @access)
      protection = PROTECTIONS.fetch(@protection & 0xff) { refuse_option("protection", @protection) }
      flags = FLAGS.sum { |flag, number| @protection & flag == 0 ? 0 : number }
      unknown = @protection & ~0xff & ~FLAGS.keys.sum
      refuse_option("protection", unknown) unless unknown.zero?
      return plain(protection, flags) if @store

      { protection: protection, flags: flags.nonzero?, inherit: (1 if @inherit), access: native_access,
        execute: (1 if @access & FILE_MAP_EXECUTE != 0 && @access != FILE_MAP_ALL_ACCESS),
        base_address: @base_address.nonzero? }
    end

    def native_access
      return 2 if @access & FILE_MAP_WRITE != 0
      return 3 if @access & FILE_MAP_COPY != 0
      return 1 if @access & FILE_MAP_READ != 0

      refuse_option("access", @access)
    end

    # A store is no one section: what only that has is refused.
    def plain(protection, flags)
      odd = { protection: protection > 1, "SEC_… flags": flags > 1, inherit: @inherit,
              base_address: @base_address.nonzero?, access: @access & FILE_MAP_COPY != 0 && reading? }
      odd = odd.select { |_, it| it }.keys
      return {} if odd.empty?

      raise Mapvar::Unsupported, "#{odd.join(", ")}: only of a map with :format => :marshal; leave it out"
    end

    def refuse_option(option, number)
      raise ArgumentError, format("%<option>s: 0x%<number>x is none of its constants", option: option, number: number)
    end

    def number!(option, value)
      return value if value.is_a?(Integer) && value >= 0

      raise ArgumentError, "#{option}: #{value.inspect}; give a number from 0 on"
    end

    def milliseconds!(value)
      return value if value.is_a?(Numeric) && value.real? && value >= 0

      raise ArgumentError, "timeout: #{value.inspect}; give milliseconds from 0 on"
    end

    # Of raw bytes of a store, and of flush.
    def count!(length)
      number!("length", length)
      return if length <= @size

      raise Mapvar::TooLarge, "#{length} bytes of #{inspect}; give no more than its size"
    end
  end
end
