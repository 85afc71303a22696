# frozen_string_literal: true

module Mapvar
  # A named lock of a map, across its processes and threads, for sections that use several variables, files or
  # devices. From {Map#lock}.
  #
  #   map.lock(:jobs).synchronize do |recovered|
  #     warn "process #{recovered} ended while it held the lock" if recovered
  #   end
  #
  # Acquisition is in order of arrival; sharers own it together. A lock is never taken from an owner that is merely
  # stopped; a dead owner is replaced, and the next owner learns of it. A wait lets other threads run, and ends at
  # Ctrl-C.
  class Lock
    include Uncopied

    # @return [String]
    attr_reader :name

    class << self
      private :new
    end

    # @api private
    def initialize(map, name, make)
      @map = map
      @name = name
      @owned = Owned.new(:mapvar_lock_free, Library.handle(:mapvar_lock_free, &make))
      ObjectSpace.define_finalizer(self, Owned.finalizer(@owned))
    end

    # Runs the block while this thread owns the lock.
    #
    # @param shared [Boolean] together with others that share it
    # @param timeout [Numeric, nil] seconds to wait for it; by default the map's {Map#timeout}
    # @yield [recovered] the process that ended while it owned the lock, or from which the lock was taken by force:
    #   the protected data may be half-changed. Usually nil: the lock was released
    # @return [Object] the block's result
    # @raise [TimedOut] with its holder
    # @raise [InvalidArgument] if this thread has it already
    def synchronize(shared: false, timeout: nil, &block)
      timeout = timeout.nil? ? @map.timeout : Opening.seconds(timeout)
      owning(->(out) { Library.check(take(shared ? 1 : 0, timeout, out)) }, &block)
    end

    # Does the same as {#synchronize} if the lock can be acquired at once; otherwise returns nil without running the
    # block.
    #
    # @yield [recovered]
    # @return [Object, nil]
    def try_synchronize(shared: false, &block)
      owning(->(out) { Library.check(patiently { Library.mapvar_lock_try(@owned.handle, shared ? 1 : 0, out) }) }, &block)
    end

    # @return [Integer, nil] the process that owns it, or the first of several
    def holder
      Library.number(:uint32) { |out| patiently { Library.mapvar_lock_holder(@owned.handle, out) } }.nonzero?
    end

    # Takes the lock from all its owners, living or dead. Use it when you know that an owner hangs.
    #
    # @return [Integer] how many owners there were
    def force_unlock
      Library.number(:size_t) { |out| patiently { Library.mapvar_lock_force_unlock(@owned.handle, out) } }
    end

    # Removes the lock from the map if it is free. A lock takes some 600 bytes of the map from its first use until it is
    # removed; the next use creates it again.
    #
    # @return [Boolean] whether the map has no such lock any more; false if it is owned or waited for
    def remove
      Library.number(:int32) { |out| patiently { Library.mapvar_lock_remove(@owned.handle, out) } } == 1
    end

    def inspect
      "#<#{self.class} #{name} of #{@map.inspect}>"
    end
    alias to_s inspect

    private

    # A process that is stopped within the queue of the lock makes each of these wait.
    def patiently(&call)
      Library.patiently(@map.timeout, &call)
    end

    # Runs the block with the lock that `acquire` takes, if it takes one. An interrupt before the block has the process
    # that died gives the lock back with that notice, for the next owner. The handle stays where the library wrote it, so
    # that no interrupt finds it in between.
    def owning(acquire)
      out = FFI::MemoryPointer.new(:size_t)
      seen = false
      acquire.call(out)
      held = out.read(:size_t)
      return nil if held.zero?

      recovered = Library.number(:uint32) { |number| Library.mapvar_held_abandoned(held, number) }
      seen = true
      result = yield(recovered.nonzero?)
      Library.check(patiently { Library.mapvar_held_try_release(held) })
      result
    ensure
      left = out ? out.read(:size_t) : 0
      # Does nothing more for a lock that is released.
      seen ? Library.mapvar_held_release(left) : Library.mapvar_held_give_back(left)
    end

    # Waits in slices, and keeps the place in the queue between them. Returns the code of the last wait.
    def take(shared, timeout, out)
      queue = ->(out) { patiently { Library.mapvar_lock_queue(@owned.handle, shared, out) } }
      Library.with(:mapvar_ticket_free, queue) do |ticket|
        began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        Library.patiently(timeout) do
          left = timeout - (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began)
          Library.mapvar_ticket_wait(ticket, (left.clamp(0, Library::SLICE) * 1000).ceil, out)
        end
      end
    end
  end
end
