# frozen_string_literal: true

module Mapvar
  # Named variables in memory that processes share: by a name, or by a file.
  #
  #   map = Mapvar::Map.open_or_create("alpha")
  #   map[:foo] = "hello"
  #   map[:foo]     #=> "hello", here and in every other process that opens it
  #   map.close
  #
  # Names are Strings or Symbols, 1 to 1,023 bytes of UTF-8. Every operation on one variable is atomic, for threads
  # and for processes. Reading takes no lock, and a killed process harms no other. A call that has to wait lets other
  # threads run, ends at Ctrl-C, and raises {TimedOut} after {#timeout}.
  #
  # A value is nil, true, false, an Integer, Float, String, Array or Hash, which every other language reads too. Or it
  # is any other object that Marshal can dump, which only Ruby reads. Loading such an object runs code of its class,
  # and any process that can write to the map chooses the class. So only Symbol, Time, Rational, Complex, Range and
  # Regexp are loaded, and the classes that `permitted` names; all other objects raise {DisallowedClass}.
  #
  # Any number of threads may use one map. In the child of a `fork`, calls on a parent's map raise {Closed}; the child
  # opens its own. A map belongs to the Ractor that opened it; Ractors other than the main one need Ruby 3.3 and
  # ffi 1.16.
  class Map
    include Enumerable
    include Uncopied

    class << self
      # Opens an existing map.
      #
      # @param name [String, Symbol, nil] 1 to 120 of `A-Z a-z 0-9 . _ -`: a map without a file, which lives until its
      #   last user is gone
      # @param options [Hash] as {.create}
      # @option options [Numeric] :wait seconds to wait for a map that does not exist yet, `Float::INFINITY` for as long
      #   as it takes; by default it does not wait
      # @yield [map] which is closed at the end of the block
      # @return [Map, Object] the map, or the block's result
      # @raise [NotFound, NotAMap, PermissionDenied, Error]
      def open(name = nil, **options, &block)
        obtain(:open, name, options, &block)
      end

      # Creates a map, which must not exist.
      #
      # @param name (see .open)
      # @option options [String, #to_path] :file instead of the name: a map in this file
      # @option options [Integer] :size bytes of values that it is made for; 64 KiB by default. A new map takes 64 KiB and
      #   grows; the size raises its limit
      # @option options [Integer] :max_size bytes that it may grow to; by default 1 GiB for a name and no limit for a
      #   file
      # @option options [:local, :global] :scope whether other sessions see the name, as the map of a service needs
      # @option options [Numeric] :timeout seconds that a call may wait; 5 by default, 1 with format: :marshal
      # @option options [Boolean] :read_only opens read-only
      # @option options [Array<Class, String>, :all] :permitted classes whose objects may be loaded
      # @option options [:after_restart, :never, :accept_loss] :recover what opening a file for writing may take back:
      #   after a restart of the machine what no flush had stored (the default); nothing, so that a file which has to be
      #   recovered raises {NeedsRecovery}; or whatever the last complete flush does not contain, of copies too
      # @option options [Boolean] :take_over asserts that no process uses the file by another mount, which may share no
      #   locks with this one
      # @option options [Boolean] :allow_network allows a file on a network drive or on a file system of a program
      #   (FUSE), where processes may not see each other's changes or locks
      # @option options [:mapvar, :marshal, nil] :format how the variables are laid out in memory: the store; the
      #   layout of the gem win32-mmap; nil (only to open): the layout of the existing map
      # @option options [:accept, :reassert, :error] :on_clobber what to do when a program with the gem win32-mmap
      #   erases variables of this map (format: :marshal)
      # @yield [map] which is closed at the end of the block
      # @return [Map, Object] the map, or the block's result
      # @raise [AlreadyExists, InvalidName, NoSpace, Error]
      def create(name = nil, **options, &block)
        obtain(:create, name, options, &block)
      end

      # Opens a map, or creates it if it does not exist; {#created?} reports which. If many processes call this at
      # once, one creates the map, and all open the same one.
      #
      # @param name (see .open)
      # @param options [Hash] as {.create}
      # @yield [map] which is closed at the end of the block
      # @return [Map, Object] the map, or the block's result
      def open_or_create(name = nil, **options, &block)
        obtain(:open_or_create, name, options, &block)
      end

      # Frees the lock of a map in the gem's layout whose owner is gone; maps do so by themselves if they can detect
      # it.
      #
      # @param name (see .open)
      # @param file (see .create)
      # @param whose [:abandoned, :any] with :any also if a living program may own it, as the gem does forever after
      #   an exception
      # @return [Boolean] whether it was held
      def unlock(name = nil, file: nil, scope: nil, whose: :abandoned)
        Opening.new(name: name, file: file, scope: scope, format: :marshal).unlock(whose)
      end

      # @api private
      def opening(**options)
        Opening.new(**options)
      end

      # @api private
      def over(how, opening, permitted, &block)
        map = new(how, opening, permitted)
        return map unless block

        map.__send__(:closing, &block)
      end

      private :new

      private

      def obtain(how, name, options, &block)
        permitted = options.delete(:permitted) || []
        over(how, Opening.new(name: name, **options), permitted, &block)
      end
    end

    # @return [String, nil] its name
    attr_reader :name
    # @return [String, nil] the path of its file
    attr_reader :file
    # @return [Numeric] seconds that a call may wait
    attr_reader :timeout

    # @api private
    def initialize(how, opening, permitted)
      @name = opening.name
      @file = opening.file
      @timeout = opening.timeout
      @permitted = Values.permitted(permitted)
      @owned = Owned.new(:mapvar_map_close, opening.open(how))
      ObjectSpace.define_finalizer(self, Owned.finalizer(@owned))
      @marshal = Library.number(:uint32) { |out| Library.mapvar_map_format(handle, out) } == 1
    end

    # @param seconds [Numeric] that a call may wait
    def timeout=(seconds)
      @timeout = Opening.seconds(seconds)
    end

    # --- Variables ------------------------------------------------------------------------------------------------

    # A variable's value; nil if there is no such variable ({#fetch} distinguishes that from a variable that holds
    # nil).
    #
    # @param name [String, Symbol]
    # @return [Object, nil]
    # @raise [DisallowedClass, TimedOut, Closed, Error]
    def [](name)
      fetch(name, nil)
    end

    # A variable's value.
    #
    # @param name [String, Symbol]
    # @param default [Object] the result if there is no such variable
    # @yield [name] if there is no such variable; the block's result is returned
    # @return [Object]
    # @raise [KeyError] if there is no such variable, no default and no block
    # @raise [DisallowedClass, TimedOut, Closed, Error]
    def fetch(name, default = (no_default = true))
      text = Opening.utf8(name)
      found = marshalled(text)
      return Values.load(found, @permitted) unless found.is_a?(Integer)
      return odd(text) if found == Library::UNSUPPORTED
      return yield(name) if block_given?
      return default unless no_default

      raise KeyError.new("no variable #{text.inspect} in #{inspect}", receiver: self, key: name)
    end

    # Follows a variable's value into its Arrays, Hashes and Structs; nil where a step is missing.
    #
    #   map.dig(:job, "input", 0)
    #
    # @param name [String, Symbol]
    # @param keys [Array<Object>] as of Hash#dig
    # @return [Object, nil]
    def dig(name, *keys)
      value = self[name]
      keys.empty? || value.nil? ? value : value.dig(*keys)
    end

    # The values of several variables, each read by itself; {#snapshot} reads them as they were at one instant.
    #
    # @param names [Array<String, Symbol>]
    # @return [Array<Object, nil>] nil for a variable that does not exist
    def values_at(*names)
      names.map { |name| self[name] }
    end

    # Sets a variable, and creates it if needed. Once this has returned, every process that reads the variable gets
    # this value or a later one, whatever happens to this process.
    #
    # @param name [String, Symbol]
    # @param value [Object]
    # @return [Object] the value
    # @raise [TypeError] if Marshal cannot dump the value; nothing is changed
    # @raise [Full, TooLarge, TimedOut, ReadOnly, Closed, Error]
    def []=(name, value)
      text = Opening.utf8(name)
      with_value(value) do |it|
        wait { Library.mapvar_map_set_value(handle, text, text.bytesize, it) }
      end
    end
    alias store []=

    # Sets a variable unless it holds that value already: then a watch reports nothing new, and the revision stays.
    # Another writer may set the variable between the comparison and the return. In the gem's layout, and of objects that
    # only Ruby reads, the bytes that Marshal writes are compared.
    #
    # @param name [String, Symbol]
    # @param value [Object]
    # @return [Boolean] whether it was set
    # @raise (see #[]=)
    def set_if_changed(name, value)
      text = Opening.utf8(name)
      if @marshal
        return false if marshalled(text) == Marshal.dump(value)

        self[name] = value
        return true
      end
      Values.with(value) do |it|
        number(:int32) { |out| Library.mapvar_map_set_if_changed(handle, text, text.bytesize, it, out) } == 1
      end
    end

    # Returns one field of a variable that is a plain struct of a program in Rust or another language; {#[]} returns
    # such a variable as a Hash.
    #
    # @param name [String, Symbol]
    # @param path [String, Symbol] names of fields, and indices of elements, as in "wheels.2.speed"
    # @return [Integer, Float, true, false, Array, Hash]
    # @raise [NotFound] if there is no such variable or field
    # @raise [WrongKind] if the variable is no struct
    def field(name, path)
      text, path = Opening.utf8(name), Opening.utf8(path)
      make = lambda do |out|
        Library.patiently(@timeout) do
          Library.mapvar_map_get_field(handle, text, text.bytesize, path, path.bytesize, out)
        end
      end
      Library.with(:mapvar_value_free, make) { |value| Values.of(value, @permitted) }
    end

    # Sets one field of a variable that is a plain struct. The other fields stay as they are, also if other programs
    # set them at the same time.
    #
    # @param name (see #field)
    # @param path (see #field)
    # @param value [Integer, Float, true, false, Array, Hash]
    # @return [Object] the value
    # @raise [NotFound, WrongKind, OutOfRange, Conflict, Error] the variable then keeps its value
    def set_field(name, path, value)
      text, path = Opening.utf8(name), Opening.utf8(path)
      Values.with(value) do |it|
        wait { Library.mapvar_map_set_field(handle, text, text.bytesize, path, path.bytesize, it) }
      end
      value
    end

    # Whether there is a variable of this name.
    def key?(name)
      text = Opening.utf8(name)
      number(:int32) { |out| Library.mapvar_map_contains(handle, text, text.bytesize, out) } == 1
    end
    alias has_key? key?
    alias include? key?
    alias member? key?

    # Removes a variable.
    #
    # @return [Boolean] whether there was one
    def delete(name)
      text = Opening.utf8(name)
      number(:int32) { |out| Library.mapvar_map_remove(handle, text, text.bytesize, out) } == 1
    end

    # Removes all variables that it finds; other processes may create new ones meanwhile.
    #
    # @return [Integer] how many
    def clear
      number(:uint64) { |out| Library.mapvar_map_clear(handle, out) }
    end

    # Sets a variable to the block's result for its value, atomically: if the variable was set meanwhile, the block
    # runs again.
    #
    # @param name [String, Symbol]
    # @param initial [Object] the block's argument if there is no such variable
    # @yield [value]
    # @return [Object] the new value
    def update(name, initial = nil)
      loop do
        revision = revision(name)
        value = yield fetch(name, initial)
        return value if compare_and_set(name, revision, value)
      end
    end

    # Identifies a variable's present value, for {#compare_and_set}.
    #
    # @return [Revision, nil] nil if there is no such variable
    # @raise [WrongKind] for an {Atomic}, which has none
    def revision(name)
      text = Opening.utf8(name)
      out = FFI::MemoryPointer.new(:uint64, 2)
      wait { Library.mapvar_map_version(handle, text, text.bytesize, out) }
      variable, number = out.read_array_of_uint64(2)
      Revision.new(variable, number) unless variable.zero? && number.zero?
    end

    # Sets a variable if it still has this revision; with nil, if it does not exist.
    #
    # @return [Boolean] whether it was set
    def compare_and_set(name, revision, value)
      text = Opening.utf8(name)
      expected = FFI::MemoryPointer.new(:uint64, 2)
      expected.write_array_of_uint64(revision.to_a) if revision
      with_value(value) do |it|
        code = Library.patiently(@timeout) do
          Library.mapvar_map_compare_and_set(handle, text, text.bytesize, expected, it, nil)
        end
        return false if code == Library::CONFLICT

        Library.check(code)
      end
      true
    end

    # Sets an ephemeral variable: it exists as long as this process has the map open. It vanishes when the map is
    # closed (or garbage-collected), or the process ends in any way; watches report that. Any other write makes the
    # variable permanent.
    #
    #   map.set_ephemeral("worker.7", "busy")
    #
    # @param name [String, Symbol]
    # @param value [Object]
    # @return [Object] the value
    # @raise [Unsupported] for a map in the gem's layout, which has no record of processes
    # @raise (see #[]=)
    def set_ephemeral(name, value)
      text = Opening.utf8(name)
      with_value(value) do |it|
        wait { Library.mapvar_map_set_ephemeral(handle, text, text.bytesize, it) }
      end
      value
    end

    # The owner process of an ephemeral variable ({#set_ephemeral}).
    #
    # @param name [String, Symbol]
    # @return [Integer, nil] nil if the variable is permanent or does not exist
    # @raise [Unsupported] for a map in the gem's layout
    def owner(name)
      text = Opening.utf8(name)
      number(:uint32) { |out| Library.mapvar_map_owner(handle, text, text.bytesize, out) }.nonzero?
    end

    # --- All variables ------------------------------------------------------------------------------------------

    # The names and values of all variables, or of those whose names begin with a prefix, in no particular order. Other
    # processes may set, create and remove variables meanwhile; a variable that exists throughout appears once. An object
    # that is not permitted, or that Ruby cannot build, appears as an {Opaque}.
    #
    #   map.each(prefix: "car/") { |name, value| puts "#{name} is #{value}" }
    #
    # @param prefix [String, Symbol, nil] the values of other variables are not read
    # @yield [name, value]
    # @return [self, Enumerator]
    def each(prefix: nil)
      return enum_for(:each, prefix: prefix) { count unless prefix } unless block_given?

      walk(prefix) do |entry|
        value = Values.leniently(@permitted) { |out| Library.mapvar_entry_value(entry, out) }
        yield [entry_name(entry), value]
      end
      self
    end
    alias each_pair each

    # The names of all variables, or of those that begin with a prefix, in no particular order. No value is read.
    #
    # @param prefix [String, Symbol, nil]
    # @yield [name]
    # @return [self, Enumerator]
    def each_key(prefix: nil)
      return enum_for(:each_key, prefix: prefix) { count unless prefix } unless block_given?

      walk_names(prefix) { |name| yield name }
      self
    end

    # @param prefix (see #each_key)
    # @return [Array<String>] the names of all variables, or of those that begin with the prefix, sorted; no value is read
    def keys(prefix: nil)
      each_key(prefix: prefix).to_a.sort
    end

    # How many variables there are; with an argument or block, as Enumerable#count.
    def count(*item, &block)
      return super if block || !item.empty?

      number(:uint64) { |out| Library.mapvar_map_count(handle, out) }
    end
    alias size count
    alias length count

    # @return [Boolean] whether there are no variables
    def empty?
      count.zero?
    end

    # Several variables as they were at one instant. An object that is not permitted, or that Ruby cannot build,
    # appears as an {Opaque}.
    #
    # @param names [Array<String, Symbol>]
    # @return [Hash{String => Object}] of those that exist
    def snapshot(*names)
      names = names.flatten.map { |name| Opening.utf8(name) }
      texts = names.map { |name| FFI::MemoryPointer.new(:char, name.bytesize + 1).put_bytes(0, name) }
      list = FFI::MemoryPointer.new(:pointer, [names.length, 1].max).write_array_of_pointer(texts)
      lengths = FFI::MemoryPointer.new(:size_t, [names.length, 1].max)
      names.each_with_index { |name, index| lengths.put(:size_t, index * lengths.type_size, name.bytesize) }
      make = lambda do |out|
        Library.patiently(@timeout) { Library.mapvar_map_snapshot(handle, list, lengths, names.length, out) }
      end
      Library.with(:mapvar_snapshot_free, make) do |snapshot|
        names.each_with_object({}) { |name, found| taken(snapshot, name, found) }
      end
    end

    # Reads and writes many variables as one. The block gets a {Transaction}. After the block, all that it set is
    # published at once, if nothing that it read has changed meanwhile. Otherwise the block runs again, up to 16
    # times. An exception in the block leaves everything unchanged.
    #
    # @yield [transaction]
    # @return [Object] the block's result
    # @raise [Conflict] if other writers interfered 16 times
    # @raise [Unsupported] for a map in the gem's layout
    def transaction
      make = ->(out) { Library.mapvar_transaction_begin(handle, out) }
      Library.with(:mapvar_transaction_free, make) do |it|
        loop do
          begin
            result = yield Transaction.new(it, self, @permitted)
            Library.check(Library.patiently(@timeout) { Library.mapvar_transaction_commit(it) })
            return result
          rescue Conflict
            Library.check(Library.mapvar_transaction_restart(it))
          end
        end
      end
    end

    # A number or boolean whose operations take no lock.
    #
    # @param name [String, Symbol]
    # @param initial [Integer, Float, Boolean, nil] creates it with this value if it does not exist; nil: it must
    #   exist
    # @param type [:i64, :u64, :f64, :bool, nil] by default the type of the initial value; :i64 without one
    # @return [Atomic]
    # @raise [NotFound, WrongKind, Unsupported]
    def atomic(name, initial = nil, type: nil)
      Atomic.__send__(:new, self, Opening.utf8(name), initial, type)
    end

    # Waits for changes of variables, which need not exist yet: of named variables, of those with a prefix, or of all.
    #
    #   map.watch(:foo) { |watch| watch.wait(5) }
    #
    # @param names [Array<String, Symbol>] all variables, if there are no names and no prefix
    # @param prefix [String, nil]
    # @yield [watch] which is closed at the end of the block
    # @return [Watch, Object] the watch, or the block's result
    # @raise [Unsupported] for a map in the gem's layout, which counts no changes
    def watch(*names, prefix: nil)
      raise ArgumentError, "either names or a prefix, not both" if prefix && !names.empty?

      watch = Watch.__send__(:new, self, @permitted, names.empty? ? watcher_of(prefix || "") : watcher(names.flatten))
      return watch unless block_given?

      begin
        yield watch
      ensure
        watch.close
      end
    end

    # Waits until the block returns something other than nil and false for the values of variables, and returns that. The
    # block is called once all of them exist, and after each change. Other threads run meanwhile, and Ctrl-C ends it.
    #
    #   map.wait_until(:speed, timeout: 5) { |speed| speed > 100 } #=> true, or nil after 5 s
    #   map.wait_until(:door, :speed) { |door, speed| door == "closed" && speed.zero? }
    #
    # @param names [Array<String, Symbol>]
    # @param timeout [Numeric, nil] seconds; nil: without a limit
    # @param default [Object] the value of a variable that does not exist: with it the block is called without waiting
    #   for the variables to exist
    # @yield [*values]
    # @return [Object, nil] the block's result; nil if the time is up
    # @raise [Unsupported] for a map in the gem's layout, which counts no changes
    # @raise [DisallowedClass, Closed, Error]
    def wait_until(*names, timeout: nil, default: ABSENT)
      raise ArgumentError, "names and a block are needed" if names.empty? || !block_given?

      ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (timeout ? Opening.seconds(timeout) : Float::INFINITY)
      # The watch begins before the first look, so a change after it is not missed.
      watch(*names) do |watch|
        last = false
        loop do
          values = names.flatten.map { |name| fetch(name, default) }
          found = yield(*values) unless values.any? { |value| ABSENT.equal?(value) }
          return found if found

          return nil if last

          left = ends - Process.clock_gettime(Process::CLOCK_MONOTONIC)
          # Beside a writer that writes without a pause there always is another change.
          last = !left.positive?
          return nil unless watch.wait([left, 0].max)
        end
      end
    end

    # Stands for the value of a variable that does not exist.
    ABSENT = Object.new.freeze
    private_constant :ABSENT

    # A named lock, which need not have been used before.
    #
    # @param name [String, Symbol]
    # @return [Lock]
    # @raise [InvalidName, Unsupported]
    def lock(name)
      text = Opening.utf8(name)
      Lock.__send__(:new, self, text.dup.freeze, ->(out) { Library.mapvar_map_lock(handle, text, text.bytesize, out) })
    end

    # The living processes that have the map open for writing, as the system reports them.
    #
    # @return [Array<Hash>] of each `:pid`, `:program` (or nil), `:since` (a Time, or nil), `:this` (whether it is
    #   this handle), `:holds` and `:waits_for` (locks), `:owns` (its ephemeral variables), `:watches` (the variable
    #   whose change it waits for; true for several, nil for none)
    # @raise [Unsupported] for a map in the gem's layout
    def participants
      make = ->(out) { Library.patiently(@timeout) { Library.mapvar_map_participants(handle, out) } }
      all = Library.with(:mapvar_value_free, make) { |value| Values.of(value, @permitted) }
      all.map do |one|
        one = one.transform_keys(&:to_sym)
        one.merge(since: one[:since] && Time.at(one[:since]))
      end
    end

    # --- The map --------------------------------------------------------------------------------------------------

    # Makes all that was set before survive a power cut, and waits until the device has confirmed it. Does nothing
    # without a file.
    #
    # @return [self]
    def flush
      wait { Library.mapvar_map_flush(handle) }
      self
    end

    # Closes the map, and with it the atomics, locks, watches and enumerators that were made from it: calls on them
    # raise {Closed}. Only a lock that a thread holds keeps the map open, until it is released. A map in a file is
    # flushed. Closing twice does nothing.
    #
    # @raise [TimedOut] with the process whose flush it has waited for; the map is still open then
    def close
      # The library's own close waits for one slice; after a timeout it has closed nothing. It flushes what is not
      # flushed; this does so each time.
      code = closed? ? Library::OK : Library.patiently(@timeout) { Library.mapvar_map_flush(handle) }
      Library.check(code) if code == Library::TIMED_OUT
      @owned.free(keep: Library::TIMED_OUT) { |it| Library.patiently(@timeout) { Library.mapvar_map_close(it) } }
      ObjectSpace.undefine_finalizer(self) unless frozen?
      nil
    end

    # @return [Boolean]
    def closed?
      @owned.freed?
    end

    # @return [Boolean] whether opening this handle created the map
    def created?
      number(:int32) { |out| Library.mapvar_map_was_created(handle, out) } == 1
    end

    # @return [:mapvar, :marshal] how the variables are laid out in memory
    def format
      @marshal ? :marshal : :mapvar
    end

    # @return [Integer] bytes of values that the map was created for
    def bytesize
      number(:uint64) { |out| Library.mapvar_map_size(handle, out) }
    end

    # The figures of {#stat}.
    STAT = %i[format size region used free largest_free max_size overhead variables file created creator
              flush_failed allocated].freeze
    private_constant :STAT

    # Figures of this moment: bytes (`size` for which the map was created, `region`, `used`, `free`, `largest_free`,
    # `overhead`, `max_size` or nil, and what the system has `allocated` of disk or memory), `variables`, `format` by its number, whether it is in a `file`, when it was
    # `created`, the process that was its `creator`, and whether the disk failed at a flush (`flush_failed`), after
    # which every flush fails.
    #
    # @return [Hash{Symbol => Object}]
    def stat
      make = ->(out) { Library.patiently(@timeout) { Library.mapvar_map_stat(handle, out) } }
      Library.with(:mapvar_stat_free, make) do |stat|
        found = STAT.each_with_index.to_h do |key, index|
          [key, Library.number(:uint64) { |out| Library.mapvar_stat_get(stat, index + 1, out) }]
        end
        found.merge(file: found[:file] == 1, flush_failed: found[:flush_failed] == 1,
                    max_size: found[:max_size].nonzero?,
                    created: found[:created].nonzero?&.then { |it| Time.at(it) })
      end
    end

    # The figures of {#recovery}, behind the number of `happened`.
    RECOVERY = %i[variables lost rolled_back damaged torn].freeze
    private_constant :RECOVERY

    # What opening this handle recovered: after a restart of the machine, or from a copy of a file.
    #
    # @return [Hash{Symbol => Object}, nil] nil if nothing had to be recovered. Otherwise how many `variables` there were
    #   afterwards; how many of the last complete flush were `lost` or are old; how many had changed after it, and were
    #   taken back (`rolled_back`); whether the disk lost what it had acknowledged (`damaged`); and whether the file is
    #   a `torn` copy
    def recovery
      figure = ->(which) { number(:uint64) { |out| Library.mapvar_map_recovery(handle, which, out) } }
      return if figure.call(0).zero?

      found = RECOVERY.each.with_index(1).to_h { |key, which| [key, figure.call(which)] }
      found.merge(damaged: found[:damaged] == 1, torn: found[:torn] == 1)
    end

    # Copies every variable into another map, while other processes go on using this one. A map in a file is flushed
    # then. This is the way to copy a file in use, which a copy of the file itself may tear. Ephemeral variables are
    # not copied. A variable whose value cannot be read is left out: the others are copied, and then its error is raised.
    #
    # @param into [Map]
    # @return [Integer] how many variables were copied
    # @raise [InvalidArgument, Unsupported, Error]
    def copy_to(into)
      target = into.handle
      number(:uint64) do |out|
        Library.patiently(@timeout) { Library.mapvar_map_copy_to(handle, target, out, nil) }
      end
    end

    # Checks every part of the map. Other processes may go on using it.
    #
    # @return [Array<Hash{Symbol => Object}>] the findings: the byte offset `at`, whether it is a `fault` or a note,
    #   the variable's `name` or nil, and the description `what`
    def check
      make = ->(out) { Library.patiently(@timeout) { Library.mapvar_map_check(handle, out) } }
      Library.with(:mapvar_check_free, make) do |check|
        count = Library.number(:uint64) { |out| Library.mapvar_check_count(check, out) }
        Array.new(count) { |index| finding(check, index) }
      end
    end

    # The variables of this map that programs with the gem win32-mmap have erased, each reported once (format:
    # :marshal, on_clobber: :reassert or :error).
    #
    # @return [Array<String>] names
    def clobbered
      Library.with(:mapvar_clobbered_free, ->(out) { Library.mapvar_map_clobbered(handle, out) }) do |it|
        count = Library.number(:size_t) { |out| Library.mapvar_clobbered_count(it, nil, out) }
        Array.new(count) do |index|
          named { |text, length| Library.mapvar_clobbered_name(it, index, text, length) }
        end
      end
    end

    # The figures of {#lock_stat}.
    LOCK_STAT = %i[taken recovered broken median p99 longest].freeze
    private_constant :LOCK_STAT

    # Statistics of the lock of a map in the gem's layout: how often it was `taken`, `recovered` from a dead owner and
    # `broken` by other processes; and how long it was held, in nanoseconds (`median`, `p99`, `longest`).
    #
    # @return [Hash{Symbol => Integer}, nil] nil for a store, which has no such lock
    def lock_stat
      stat = Library.handle(:mapvar_lock_stat_free) { |out| Library.mapvar_map_lock_stat(handle, out) } or return
      LOCK_STAT.each_with_index.to_h do |key, index|
        [key, Library.number(:uint64) { |out| Library.mapvar_lock_stat_get(stat, index + 1, out) }]
      end
    ensure
      Library.mapvar_lock_stat_free(stat) if stat
    end

    # The first bytes of a map in the gem's layout, variables or not.
    #
    # @param length [Integer] how many
    # @return [String] binary
    # @raise [TooLarge, Unsupported]
    def read_string(length = bytesize)
      raise ArgumentError, "#{length.inspect} bytes; give a number from 0 on" unless length.is_a?(Integer) && length >= 0
      # Refuses the length before a buffer of that size is allocated.
      raise TooLarge, "#{length} bytes are more than any map has" if length > 1 << 47

      buffer = FFI::MemoryPointer.new(:char, [length, 1].max)
      wait { Library.mapvar_map_read_string(handle, buffer, length) }
      buffer.read_bytes(length)
    end

    # Writes bytes to the start of a map in the gem's layout, over its variables.
    #
    # @param content [String]
    # @return [Integer] how many bytes it wrote
    # @raise [TooLarge, ReadOnly, Unsupported]
    def write_string(content)
      bytes = String(content).b
      wait { Library.mapvar_map_write_string(handle, bytes, bytes.bytesize) }
      bytes.bytesize
    end

    # @return [Integer] where the memory of a map in the gem's layout begins in this process
    # @raise [Unsupported] for a store, whose memory is not contiguous
    def address
      Library.number(:size_t) { |out| Library.mapvar_map_address(handle, out) }
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{(@file || @name).inspect}#{" (closed)" if closed?}>"
    end
    alias to_s inspect

    private

    def handle
      @owned.handle
    end
    protected :handle

    def wait(&block)
      Library.check(Library.patiently(@timeout, &block))
    end

    def number(type, &block)
      Library.number(type) { |out| Library.patiently(@timeout) { block.call(out) } }
    end

    def with_value(value, &block)
      @marshal ? Values.verbatim(value, &block) : Values.with(value, &block)
    end

    # A variable's Marshal bytes, or the code if there are none.
    def marshalled(text)
      Library.bytes(except: [Library::NOT_FOUND, Library::UNSUPPORTED]) do |*buffer|
        Library.patiently(@timeout) { Library.mapvar_map_get_marshal(handle, text, text.bytesize, *buffer) }
      end
    end

    # Reads a value whose parts Marshal cannot represent.
    def odd(text)
      make = lambda do |out|
        Library.patiently(@timeout) { Library.mapvar_map_get_value(handle, text, text.bytesize, out) }
      end
      Library.with(:mapvar_value_free, make) { |value| Values.of(value, @permitted) }
    end

    # Returns a lambda that creates a watch of the variables with a prefix.
    def watcher_of(prefix)
      text = Opening.utf8(prefix)
      ->(out) { Library.patiently(@timeout) { Library.mapvar_map_watch_prefix(handle, text, text.bytesize, out) } }
    end

    # Returns a lambda that creates a watch of these variables.
    def watcher(names)
      texts = names.map { |name| Opening.utf8(name) }
      places = texts.map { |text| FFI::MemoryPointer.new(:char, [text.bytesize, 1].max).put_bytes(0, text) }
      list = FFI::MemoryPointer.new(:pointer, texts.size).write_array_of_pointer(places)
      lengths = FFI::MemoryPointer.new(:size_t, texts.size)
      texts.each_with_index { |text, at| lengths.put(:size_t, at * FFI.type_size(:size_t), text.bytesize) }
      lambda do |out|
        code = Library.patiently(@timeout) { Library.mapvar_map_watch_any(handle, list, lengths, texts.size, out) }
        # The pointers must stay alive until here.
        places.clear
        code
      end
    end

    # Yields the handle of each entry.
    def walk(prefix)
      text = Opening.utf8(prefix || "")
      make = ->(out) { Library.mapvar_map_iter_prefix(handle, text, text.bytesize, out) }
      walking(:mapvar_iter_free, make) do |iter|
        loop do
          entry = Library.handle(:mapvar_entry_free) do |out|
            following(:mapvar_iter_retry, iter) { |it| Library.mapvar_iter_next(it, out) }
          end
          break unless entry

          begin
            yield entry
          ensure
            Library.mapvar_entry_free(entry)
          end
        end
      end
    end

    def walk_names(prefix)
      text = Opening.utf8(prefix || "")
      make = ->(out) { Library.mapvar_map_names(handle, text, text.bytesize, 0, out) }
      walking(:mapvar_names_free, make) do |names|
        loop do
          name = Library.bytes do |*buffer|
            following(:mapvar_names_retry, names) { |it| Library.mapvar_names_next(it, *buffer) }
          end
          break if name.empty?

          yield name.force_encoding(Encoding::UTF_8).freeze
        end
      end
    end

    # Yields an owned walk, and frees it. The finalizer frees the walk of an abandoned Enumerator.
    def walking(free, make)
      owned = Owned.new(free, Library.handle(free) { |out| Library.patiently(@timeout) { make.call(out) } })
      ObjectSpace.define_finalizer(guard = Object.new, Owned.finalizer(owned))
      yield owned
    ensure
      owned&.release
      ObjectSpace.undefine_finalizer(guard) if guard
    end

    # Returns the code of the walk's next step. After a variable that could not be read the walk goes on with the next
    # one, unless it is told to try again.
    def following(again, owned)
      Library.patiently(@timeout) do
        yield(owned.handle).tap { |code| Library.public_send(again, owned.handle) unless code == Library::OK }
      end
    end

    def entry_name(entry)
      named { |text, length| Library.mapvar_entry_name(entry, text, length) }
    end

    # Reads a text that the library lends.
    def named
      text = FFI::MemoryPointer.new(:pointer)
      length = FFI::MemoryPointer.new(:size_t)
      Library.check(yield(text, length))
      Library.text_at(text, length).freeze
    end

    def taken(snapshot, name, found)
      absent = false
      value = Values.leniently(@permitted) do |out|
        code = Library.mapvar_snapshot_get(snapshot, name, name.bytesize, out)
        absent = code == Library::NOT_FOUND
        absent ? Library::OK : code
      end
      found[name] = value unless absent
    end

    def finding(check, index)
      at = FFI::MemoryPointer.new(:uint64)
      fault = FFI::MemoryPointer.new(:int32)
      name, what = Array.new(2) { FFI::MemoryPointer.new(:pointer) }
      name_length, what_length = Array.new(2) { FFI::MemoryPointer.new(:size_t) }
      Library.check(Library.mapvar_check_finding(check, index, at, fault, name, name_length, what, what_length))
      { at: at.read(:uint64), fault: fault.read(:int32) == 1,
        name: (Library.text_at(name, name_length) unless name.read_pointer.null?),
        what: Library.text_at(what, what_length) }
    end

    def closing
      yield self
    ensure
      close
    end
  end

  # A handle of the library that is freed once: at the end of its use, or when it is garbage-collected.
  # @api private
  class Owned
    def initialize(free, handle)
      @free = free
      @handle = handle
    end

    # @raise [Closed] once it is freed
    def handle
      @handle or raise Closed, "it is closed; open it once more"
    end

    def freed?
      @handle.nil?
    end

    # Frees the handle; does nothing if it is freed already, or the map with it.
    def release
      free { |it| Library.public_send(@free, it).then { |code| code == Library::CLOSED ? Library::OK : code } }
    end

    # Frees the handle with the block, which returns a code; does nothing if it is freed already. With the code `keep`
    # it is not freed.
    def free(keep: nil)
      handle = @handle
      @handle = nil
      return unless handle

      code = yield(handle)
      @handle = handle if code == keep
      Library.check(code)
    end

    # The finalizer must not refer to its object, or the object would never be collected.
    def self.finalizer(owned)
      ->(_id) { owned.finish }
    end

    # Called by a finalizer, where no caller could receive an error.
    def finish
      handle = @handle
      @handle = nil
      Library.public_send(@free, handle) if handle
    end
  end
  private_constant :Owned
end
