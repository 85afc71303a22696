# frozen_string_literal: true

module Mapvar
  # A variable's change as a {Watch} reported it, with the newest value at that moment.
  class Change
    # @return [String] the variable
    attr_reader :name
    # @return [Object, nil] its value, nil if it was removed; an {Opaque}, as in {Map#each}, if it may not be loaded
    attr_reader :value
    # @return [Array(Integer, Integer)] the version of the value
    attr_reader :version
    # @return [Integer] how many changes of this variable were skipped between the change reported last and this one
    attr_reader :skipped

    # @api private
    def initialize(name, value, removed, version, skipped)
      @name = name
      @value = value
      @removed = removed
      @version = version
      @skipped = skipped
      freeze
    end

    # Whether the variable was removed.
    def removed?
      @removed
    end

    def inspect
      "#<#{self.class} #{name} #{removed? ? "removed" : value.inspect}>"
    end
    alias to_s inspect
  end

  # Waits for variables of a map to change; from {Map#watch}. It reports every change after its creation, also one
  # that came while no thread waited. Of several changes of one variable since the last call, it reports the newest,
  # with the number of those that were skipped.
  #
  #   watch = map.watch(:temperature)
  #   change = watch.wait(5)
  #   change&.value #=> 21.5
  #
  # A wait lets other threads run, and ends at Ctrl-C. A thread that needs a watch for itself creates its own.
  class Watch
    include Enumerable
    include Uncopied

    class << self
      # The finalizer must not refer to its object, or the object would never be collected.
      # @api private
      def finalizer(owned, left)
        lambda do |_id|
          owned.finish
          Library.mapvar_change_free(left.pop) until left.empty?
        end
      end

      private :new
    end

    # @api private
    def initialize(map, permitted, make)
      @map = map
      @permitted = permitted
      @owned = Owned.new(:mapvar_watch_free, Library.handle(:mapvar_watch_free, &make))
      # Changes whose wait was interrupted; the next wait returns them.
      @left = Thread::Queue.new
      ObjectSpace.define_finalizer(self, Watch.finalizer(@owned, @left))
    end

    # Waits for the next change.
    #
    # @param timeout [Numeric, nil] seconds; nil: without a limit
    # @return [Change, nil] nil if no change came in time
    # @raise [Closed, Error]
    def wait(timeout = nil)
      left = timeout.nil? ? Float::INFINITY : Opening.seconds(timeout)
      ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + left
      loop do
        left = ends - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        found = poll(left.clamp(0, Library::SLICE))
        return found if found
        return nil unless left.positive?
      end
    end

    # The next change, if there already is one.
    #
    # @return [Change, nil]
    def try_wait
      poll(0)
    end

    # Yields each change, endlessly.
    #
    # @return [Enumerator] without a block
    def each
      return enum_for(:each) unless block_given?

      loop { yield wait }
    end

    # Closes the watch; {Closed} is raised in a thread that waits on it. The map stays open.
    def close
      @owned.release
      Library.mapvar_change_free(@left.pop) until @left.empty?
      ObjectSpace.undefine_finalizer(self) unless frozen?
      nil
    end

    # @return [Boolean]
    def closed?
      @owned.freed? || @map.closed?
    end

    def inspect
      "#<#{self.class} of #{@map.inspect}#{" closed" if closed?}>"
    end
    alias to_s inspect

    private

    def poll(seconds)
      handle = @owned.handle
      out = FFI::MemoryPointer.new(:size_t)
      begin
        out.write(:size_t, @left.pop(true))
      rescue ThreadError
        Library.check(Library.mapvar_watch_next(handle, (seconds * 1000).ceil, out))
      end
      change = out.read(:size_t)
      return nil if change.zero?

      built = failure = nil
      # Until the end of the block, errors that other threads raise here wait: what is rescued is the change's own.
      Thread.handle_interrupt(StandardError => :never) do
        built = build(change)
      rescue StandardError => failure
        nil
      end
      out.write(:size_t, 0)
      Library.mapvar_change_free(change)
      failure ? raise(failure) : built
    ensure
      # If Ctrl-C or an exception from another thread interrupted the call, the watch has moved past this change and
      # would not report it again. A change that cannot be built is not put back: it would fail each later wait.
      left = out&.read(:size_t)
      @left.push(left) if left&.nonzero?
    end

    def build(change)
      name = [FFI::MemoryPointer.new(:pointer), FFI::MemoryPointer.new(:size_t)]
      Library.check(Library.mapvar_change_name(change, *name))
      version = FFI::MemoryPointer.new(:uint64, 2)
      Library.check(Library.mapvar_change_version(change, version))
      skipped = Library.number(:uint64) { |out| Library.mapvar_change_skipped(change, out) }
      removed = false
      value = Values.leniently(@permitted) do |out|
        code = Library.mapvar_change_value(change, out)
        removed = code == Library::OK && out.read(:size_t).zero?
        code
      end
      Change.new(Library.text_at(*name), value, removed, version.read_array_of_uint64(2).freeze, skipped)
    end
  end
end
