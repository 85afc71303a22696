# frozen_string_literal: true

module Mapvar
  # A named lock of a map, for sections of more than one variable, of files, of devices; across all processes of the
  # map, and threads. From {Map#lock}.
  #
  #   map.lock(:jobs).synchronize do |recovered|
  #     warn "process #{recovered} ended in the midst of it" if recovered
  #   end
  #
  # Who comes first has it first; those who share it have it together. A holder that is stopped is never robbed; one
  # that died is replaced, and the next is told. A wait lets other threads run, and ends at Ctrl-C.
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

    # Runs the block while this thread has the lock.
    #
    # @param shared [Boolean] together with others that share it
    # @param timeout [Numeric, nil] seconds to wait for it; the map's {Map#timeout} unless given
    # @yield [recovered] the process that ended with the lock, or had it taken away: what it protects may be
    #   half-changed; nil, the usual case, where it was given back
    # @return [Object] what the block answers
    # @raise [TimedOut] with its holder
    # @raise [Error] InvalidArgument where this thread has it already
    def synchronize(shared: false, timeout: nil)
      held = take(shared ? 1 : 0, timeout.nil? ? @map.timeout : Opening.seconds(timeout))
      recovered = Library.number(:uint32) { |out| Library.mapvar_held_recovered(held, out) }
      answer = yield(recovered.nonzero?)
      given, held = held, nil
      Library.check(Library.mapvar_held_release(given))
      answer
    ensure
      Library.mapvar_held_release(held) if held
    end

    # As {#synchronize}, if the lock is to be had at once; nil, and the block is not run, where it is not.
    #
    # @yield [recovered]
    # @return [Object, nil]
    def try_synchronize(shared: false)
      held = Library.handle(:mapvar_held_release) do |out|
        Library.mapvar_lock_try(@owned.handle, shared ? 1 : 0, out)
      end
      return nil unless held

      recovered = Library.number(:uint32) { |out| Library.mapvar_held_recovered(held, out) }
      yield(recovered.nonzero?)
    ensure
      Library.mapvar_held_release(held) if held
    end

    # @return [Integer, nil] the process that has it, or the first of them
    def holder
      Library.number(:uint32) { |out| Library.mapvar_lock_holder(@owned.handle, out) }.nonzero?
    end

    # Takes it away from whoever has it, living or not: for a person who knows that the holder hangs.
    #
    # @return [Integer] how many had it
    def force_unlock
      Library.number(:size_t) { |out| Library.mapvar_lock_force_unlock(@owned.handle, out) }
    end

    def inspect
      "#<#{self.class} #{name} of #{@map.inspect}>"
    end
    alias to_s inspect

    private

    # In slices, with the place in the queue kept between them.
    def take(shared, timeout)
      Library.with(:mapvar_place_free, ->(out) { Library.mapvar_lock_queue(@owned.handle, shared, out) }) do |place|
        began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        Library.handle(:mapvar_held_release) do |out|
          Library.patiently(timeout) do
            left = timeout - (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began)
            Library.mapvar_place_wait(place, (left.clamp(0, Library::SLICE) * 1000).ceil, out)
          end
        end
      end
    end
  end
end
