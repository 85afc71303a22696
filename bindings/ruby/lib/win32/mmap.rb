# frozen_string_literal: true

require_relative "../mapvar"
require_relative "mmap/constants"
require "securerandom"

# The namespace of the gem win32-mmap.
module Win32
  # Memory-mapped I/O as the gem win32-mmap provides it: a map backed by a file or by a named piece of memory, its raw
  # bytes, and variables that are set and read like attributes.
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
  # The layout is the gem's, so both can be used side by side: one marshalled Hash, protected by the gem's lock. With
  # `:format => :mapvar` it is the store of {Mapvar::Map}: every language reads it, it grows, and a killed process
  # harms no other.
  #
  # The README lists the deliberate differences from the gem, and the reasons.
  class MMap
    include Constants
    include Mapvar.const_get(:Uncopied)

    # The version of this library.
    VERSION = Mapvar::VERSION

    # The options and their defaults.
    OPTIONS = {
      "file" => nil, "name" => nil, "size" => 0, "protection" => PAGE_READWRITE, "access" => nil,
      "inherit" => false, "base_address" => 0, "autolock" => true, "timeout" => 1000, "open" => false,
      "format" => :marshal, "scope" => nil, "on_clobber" => nil, "permitted" => []
    }.freeze
    private_constant :OPTIONS

    # Conversions that Ruby itself calls. A variable of such a name would make Ruby treat the map as a String, Array
    # and so on.
    CONVERSIONS = %w[to_a to_ary to_hash to_int to_io to_open to_path to_proc to_r to_regexp to_str to_sym].freeze
    # The variable of a store that `write_string` writes.
    RAW = "win32-mmap.raw"
    private_constant :CONVERSIONS, :RAW

    # Opens the section with this name.
    #
    # @param name [String]
    # @param opts [Hash] as {#initialize}; it is not modified
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
    # @return [Integer] the requested address; 0 = anywhere
    attr_reader :base_address
    # @return [Integer] milliseconds to wait for the lock, or for another writer; -1: without a limit
    attr_reader :timeout

    # Creates a map, or opens an existing one.
    #
    # The keys of options are Strings or Symbols, in any case.
    #
    # @param opts [Hash]
    # @option opts [String] :file (nil) path of the backing file, created if absent; nil: backed by the page file
    # @option opts [String] :name (nil) name of the section, for other processes to open; a prefix `Global\` or
    #   `Local\` selects the scope. nil, without a file: for this process alone
    # @option opts [Integer] :size (0) bytes; a longer file is mapped whole. 0: opens an existing map and creates
    #   nothing
    # @option opts [Integer] :protection (PAGE_READWRITE) PAGE_…, with SEC_…
    # @option opts [Integer] :access (FILE_MAP_WRITE) FILE_MAP_…
    # @option opts [Boolean] :inherit (false) whether child processes inherit the handle
    # @option opts [Integer] :base_address (0) where to map
    # @option opts [Boolean] :autolock (true) stored and reported, without effect: each read and write is locked in
    #   any case
    # @option opts [Integer] :timeout (1000) milliseconds to wait for the lock; then Mapvar::TimedOut. -1: without a
    #   limit, as with the gem
    # @option opts [Boolean] :open (false) opens the section of a name, and never creates one
    # @option opts [Symbol] :format (:marshal) the gem's layout; :mapvar for the store
    # @option opts [Symbol] :on_clobber (:accept) as for Mapvar::Map.create
    # @option opts [Array<Class, String>, :all] :permitted ([]) classes whose objects may be loaded
    # @yield [address] the map is closed at the end of the block
    # @raise [ArgumentError] for an unknown key, or an invalid value
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
    # @raise [Mapvar::Unsupported] for a store
    def address
      @map.address
    end

    # @return [Boolean] the option `autolock`
    def autolock?
      @autolock
    end

    # Stored and reported, without effect: each read and write is locked in any case.
    attr_writer :autolock

    # @return [Boolean] the option `inherit`
    def inherit?
      @inherit
    end

    # @!method access=(value)
    # @!method base_address=(value)
    # @!method file=(value)
    # @!method inherit=(value)
    # @!method name=(value)
    # @!method protection=(value)
    # @!method size=(value)
    #   The gem has these writers. They cannot take effect once the map is open.
    #   @raise [ArgumentError]
    %w[access base_address file inherit name protection size].each do |option|
      define_method(:"#{option}=") { |_value| refuse(option) }
    end

    # @param milliseconds [Integer] to wait for the lock, from now on; -1: without a limit
    def timeout=(milliseconds)
      @map.timeout = seconds(milliseconds)
      @timeout = milliseconds
    end

    # The first bytes of the map, variables or not. In a store they are a separate area.
    #
    # @param length [Integer] how many
    # @return [String] binary
    # @raise [Mapvar::TooLarge] if the map has fewer bytes
    def read_string(length = @size)
      return @map.read_string(length) unless @store

      count!(length)
      @map.fetch(RAW, "").byteslice(0, length).b.ljust(length, "\0")
    end

    # Writes bytes to the start of the map, without a terminator, over the variables. In a store they have a separate
    # area.
    #
    # @param content [String]
    # @return [Integer] how many bytes it wrote
    # @raise [Mapvar::TooLarge] if they do not fit; nothing is written
    def write_string(content)
      return @map.write_string(content) unless @store

      bytes = String(content).b
      count!(bytes.bytesize)
      @map.update(RAW, "") { |old| bytes + (old.byteslice(bytes.bytesize..) || "").b }
      bytes.bytesize
    end

    # Makes everything that was written survive a power cut, whatever number of bytes is given.
    #
    # @param length [Integer] bytes that must be included; 0 = all
    # @raise [Mapvar::Error] if the system fails
    def flush(length = 0)
      count!(length)
      @map.flush
      nil
    end

    # Closes the map. Closing twice does nothing; all other calls on a closed map raise {Mapvar::Closed}.
    def close
      @map.close
    end

    # @return [Boolean]
    def closed?
      @map.closed?
    end

    # A variable's value; nil if there is no such variable ({#key?} distinguishes). Also works for names that are
    # methods.
    #
    # @param name [String, Symbol]
    def [](name)
      @map[name]
    end

    # Sets a variable. Also works for names that are methods.
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

    # @return [Mapvar::Map] the map, with all other methods: update, each, snapshot; for a store also transaction,
    #   atomic
    def variables
      @map
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{(@file || @name || "unnamed").inspect}, #{@size} bytes#{" (closed)" if closed?}>"
    end
    alias to_s inspect

    # `map.foo = value` sets a variable, `map.foo` reads it. The names of methods are not available this way: use
    # `map[:size]`. Conversions that Ruby itself calls (`to_ary`), `foo?`, `foo!` and operators are not variables
    # either.
    def method_missing(method, *arguments, &block)
      name = method.name
      if block.nil? && arguments.length == 1 && (setter = variable(name.delete_suffix("="))) && name.end_with?("=")
        refuse(setter) if reserved?(setter)
        return self[setter] = arguments.first
      end
      return self[name] if block.nil? && arguments.empty? && variable(name)

      super
    end

    # True for the setter of every variable name, and for the reader of each existing variable.
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

    # `inherit` is reserved although only `inherit?` exists: the gem had a writer.
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

    # Without a size it cannot create anything.
    def how(options)
      options["open"] || options["size"].zero? ? :open : :open_or_create
    end

    def opening(options)
      raise ArgumentError, "both a file and a name; give one: processes share a file by its path" if @file && @name
      raise ArgumentError, "open: a name is needed" if options["open"] && @name.nil?
      raise ArgumentError, "size: without a name and a file it is needed" unless @file || @name || options["size"].positive?

      scope, name = scoped(options["scope"])
      Mapvar::Map.opening(
        file: @file, name: name, scope: scope, size: options["size"].nonzero?, timeout: seconds(@timeout),
        format: options["format"], on_clobber: options["on_clobber"], section: section,
        **(@store ? { read_only: reading? } : {})
      )
    end

    # Accepts the prefixes of Windows in the name, as the gem does.
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

    # The section's options in the library's numbers.
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

    # Refuses options that only a single section supports, which a store is not.
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

    # The system's number for a wait without a limit.
    INFINITE = -1
    private_constant :INFINITE

    def milliseconds!(value)
      return value if value.is_a?(Numeric) && value.real? && (value >= 0 || value == INFINITE)

      raise ArgumentError, "timeout: #{value.inspect}; give milliseconds from 0 on, or -1 to wait for ever"
    end

    def seconds(milliseconds)
      milliseconds!(milliseconds) == INFINITE ? Float::INFINITY : milliseconds / 1000.0
    end

    # Checks the length for raw bytes of a store, and for flush.
    def count!(length)
      number!("length", length)
      return if length <= @size

      raise Mapvar::TooLarge, "#{length} bytes of #{inspect}; give no more than its size"
    end
  end
end
