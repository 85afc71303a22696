# frozen_string_literal: true

module Mapvar
  # A variable's change, as a {Watch} saw it: the newest value when it was asked.
  class Change
    # @return [String] the variable
    attr_reader :name
    # @return [Object, nil] its value, nil where it was removed; as {Map#each} has it, where it may not be loaded
    attr_reader :value
    # @return [Array(Integer, Integer)] which value it is, as {Map#version} tells it
    attr_reader :version
    # @return [Integer] changes of this variable since the last one that the watch told, and before this one
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

  # Waits for variables of a map to change; from {Map#watch}. It begins with its making: whatever changes after that
  # is told, whether somebody waits at that moment or not. Of several changes of one variable since the last look the
  # newest is told, with the number of those that were skipped.
  #
  #   watch = map.watch(:temperature)
  #   change = watch.wait(5)
  #   change&.value #=> 21.5
  #
  # A wait lets other threads run, and ends at Ctrl-C. A thread that wants a watch to itself makes its own.
  class Watch
    include Enumerable
    include Uncopied

    class << self
      # Must not hold the object that it is for.
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
      # Changes that came while their wait was interrupted: for the next one.
      @left = Thread::Queue.new
      ObjectSpace.define_finalizer(self, Watch.finalizer(@owned, @left))
    end

    # Waits for the next change.
    #
    # @param timeout [Numeric, nil] seconds; nil: for as long as it takes
    # @return [Change, nil] nil where none came in time
    # @raise [Closed, Error]
    def wait(timeout = nil)
      left = timeout.nil? ? Float::INFINITY : Opening.seconds(timeout)
      ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + left
      loop do
        left = ends - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        found = look(left.clamp(0, Library::SLICE))
        return found if found
        return nil unless left.positive?
      end
    end

    # The next change, if there is one already.
    #
    # @return [Change, nil]
    def try_wait
      look(0)
    end

    # Yields each change, without end.
    #
    # @return [Enumerator] without a block
    def each
      return enum_for(:each) unless block_given?

      loop { yield wait }
    end

    # Ends it; what waits by it in another thread raises {Closed}. The map stays open.
    def close
      @owned.free { |it| Library.mapvar_watch_free(it) }
      Library.mapvar_change_free(@left.pop) until @left.empty?
      ObjectSpace.undefine_finalizer(self) unless frozen?
      nil
    end

    # @return [Boolean]
    def closed?
      @owned.freed?
    end

    def inspect
      "#<#{self.class} of #{@map.inspect}#{" closed" if closed?}>"
    end
    alias to_s inspect

    private

    def look(seconds)
      handle = @owned.handle
      out = FFI::MemoryPointer.new(:size_t)
      begin
        out.write(:size_t, @left.pop(true))
      rescue ThreadError
        Library.check(Library.mapvar_watch_next(handle, (seconds * 1000).ceil, out))
      end
      change = out.read(:size_t)
      return nil if change.zero?

      built = told(change)
      out.write(:size_t, 0)
      Library.mapvar_change_free(change)
      built
    ensure
      # An exception of another thread's, or Ctrl-C, came in between: the watch has moved on, and has it no more.
      left = out&.read(:size_t)
      @left.push(left) if left&.nonzero?
    end

    def told(change)
      name = [FFI::MemoryPointer.new(:pointer), FFI::MemoryPointer.new(:size_t)]
      Library.check(Library.mapvar_change_name(change, *name))
      version = FFI::MemoryPointer.new(:uint64, 2)
      Library.check(Library.mapvar_change_version(change, version))
      skipped = Library.number(:uint64) { |out| Library.mapvar_change_skipped(change, out) }
      value = Library.handle(:mapvar_value_free) { |out| Library.mapvar_change_value(change, out) }
      Change.new(Library.text_at(*name), value && Values.of(value, @permitted, lenient: true), value.nil?,
                 version.read_array_of_uint64(2).freeze, skipped)
    ensure
      Library.mapvar_value_free(value) if value
    end
  end
end
