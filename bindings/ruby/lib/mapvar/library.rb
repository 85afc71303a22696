# frozen_string_literal: true

require "ffi"
require_relative "error"

module Mapvar
  # The library's C interface, include/mapvar.h.
  #
  # Handles are numbers as wide as a pointer, which the library looks up; a stale handle causes no harm.
  # @api private
  module Library
    extend FFI::Library

    # Where to look for the library: at MAPVAR_LIB if it is set; else beside this file, then where the system looks.
    def self.candidates(env: ENV, folder: File.join(__dir__, "native"), platform: FFI::Platform)
      chosen = env["MAPVAR_LIB"]
      return [chosen] if chosen && !chosen.empty?

      names = if platform.windows? then ["mapvar.dll"]
              elsif platform.mac? then ["libmapvar.dylib"]
              else ["libmapvar.so.0", "libmapvar.so"]
              end
      beside = names.map { |name| File.join(folder, name) }.select { |path| File.file?(path) }
      beside + names
    end

    begin
      ffi_lib candidates
    rescue LoadError => e
      raise LoadError, "mapvar's library cannot be loaded: #{e.message.strip}; install it, or set MAPVAR_LIB " \
                       "to its path"
    end

    typedef :size_t, :handle
    typedef :pointer, :out

    # A name or other text: its address and its length in bytes.
    TEXT = %i[buffer_in size_t].freeze
    # A buffer, its capacity, and the location of the length.
    BUFFER = %i[pointer size_t out].freeze

    # Declares a function that may wait: other Ruby threads run meanwhile.
    def self.waits(name, *arguments)
      attach_function name, arguments, :int32, blocking: true
    end

    # Declares a function that does not wait.
    def self.quick(name, *arguments, returns: :int32)
      attach_function name, arguments, returns
    end
    private_class_method :waits, :quick

    quick :mapvar_last_error
    quick :mapvar_last_error_message, returns: :string
    quick :mapvar_last_error_operation, returns: :string
    quick :mapvar_last_error_object, returns: :string
    quick :mapvar_last_error_holder, returns: :uint32
    quick :mapvar_last_error_holder_program, returns: :string
    quick :mapvar_last_error_os_code
    quick :mapvar_error_name, :int32, returns: :string
    quick :mapvar_library_version, returns: :string

    quick :mapvar_options_new, :out
    quick :mapvar_options_free, :handle
    quick :mapvar_options_name, :handle, *TEXT
    quick :mapvar_options_file, :handle, *TEXT
    quick :mapvar_options_scope, :handle, :uint32
    quick :mapvar_options_size, :handle, :uint64
    quick :mapvar_options_max_size, :handle, :uint64
    quick :mapvar_options_timeout, :handle, :uint64
    quick :mapvar_options_wait, :handle, :uint64
    quick :mapvar_options_recovery_timeout, :handle, :uint64
    quick :mapvar_options_read_only, :handle, :int32
    quick :mapvar_options_recover, :handle, :uint32
    quick :mapvar_options_take_over, :handle, :int32
    quick :mapvar_options_allow_network, :handle, :int32
    quick :mapvar_options_format, :handle, :uint32
    quick :mapvar_options_on_clobber, :handle, :uint32
    quick :mapvar_options_protection, :handle, :uint32
    quick :mapvar_options_flags, :handle, :uint32
    quick :mapvar_options_inherit, :handle, :int32
    quick :mapvar_options_access, :handle, :uint32
    quick :mapvar_options_execute, :handle, :int32
    quick :mapvar_options_base_address, :handle, :size_t
    waits :mapvar_options_create, :handle, :out
    waits :mapvar_options_open, :handle, :out
    waits :mapvar_options_open_or_create, :handle, :out
    waits :mapvar_options_unlock, :handle, :uint32, :out

    waits :mapvar_map_close, :handle
    quick :mapvar_map_was_created, :handle, :out
    quick :mapvar_map_size, :handle, :out
    quick :mapvar_map_address, :handle, :out
    quick :mapvar_map_format, :handle, :out
    quick :mapvar_map_recovery, :handle, :uint32, :out
    waits :mapvar_map_copy_to, :handle, :handle, :out, :out
    waits :mapvar_map_set_value, :handle, *TEXT, :handle
    waits :mapvar_map_set_if_changed, :handle, *TEXT, :handle, :out
    waits :mapvar_map_get_field, :handle, *TEXT, *TEXT, :out
    waits :mapvar_map_set_field, :handle, *TEXT, *TEXT, :handle
    waits :mapvar_map_set_ephemeral, :handle, *TEXT, :handle
    waits :mapvar_map_owner, :handle, *TEXT, :out
    waits :mapvar_map_participants, :handle, :out
    waits :mapvar_map_get_value, :handle, *TEXT, :out
    waits :mapvar_map_get_marshal, :handle, *TEXT, *BUFFER
    waits :mapvar_map_contains, :handle, *TEXT, :out
    waits :mapvar_map_remove, :handle, *TEXT, :out
    waits :mapvar_map_clear, :handle, :out
    waits :mapvar_map_count, :handle, :out
    waits :mapvar_map_flush, :handle
    waits :mapvar_map_stat, :handle, :out
    waits :mapvar_map_check, :handle, :out
    waits :mapvar_map_version, :handle, *TEXT, :out
    waits :mapvar_map_compare_and_set, :handle, *TEXT, :pointer, :handle, :out
    waits :mapvar_map_snapshot, :handle, :pointer, :pointer, :size_t, :out
    waits :mapvar_map_iter_prefix, :handle, *TEXT, :out
    waits :mapvar_map_names, :handle, *TEXT, :int32, :out
    waits :mapvar_map_read_string, :handle, :pointer, :size_t
    waits :mapvar_map_write_string, :handle, *TEXT
    waits :mapvar_map_clobbered, :handle, :out
    quick :mapvar_map_lock_stat, :handle, :out

    quick :mapvar_value_opaque, :uint32, *TEXT, :out
    quick :mapvar_value_pod, :uint32, *TEXT, :out
    quick :mapvar_value_from_marshal, *TEXT, :out
    quick :mapvar_value_to_marshal, :handle, *BUFFER
    quick :mapvar_value_kind, :handle, :out
    quick :mapvar_value_as_bytes, :handle, :out, :out
    quick :mapvar_value_type_id, :handle, :out
    quick :mapvar_value_count, :handle, :out
    quick :mapvar_value_item, :handle, :size_t, :out
    quick :mapvar_value_key, :handle, :size_t, :out
    quick :mapvar_value_display, :handle, *BUFFER
    quick :mapvar_value_free, :handle
    quick :mapvar_marshal_classes, *TEXT, *BUFFER

    quick :mapvar_snapshot_get, :handle, *TEXT, :out
    quick :mapvar_snapshot_free, :handle

    quick :mapvar_transaction_begin, :handle, :out
    waits :mapvar_transaction_get, :handle, *TEXT, :out
    waits :mapvar_transaction_set, :handle, *TEXT, :handle
    waits :mapvar_transaction_set_ephemeral, :handle, *TEXT, :handle
    waits :mapvar_transaction_remove, :handle, *TEXT
    waits :mapvar_transaction_commit, :handle
    waits :mapvar_transaction_restart, :handle
    quick :mapvar_transaction_free, :handle

    # The types of atomics, and FFI's names for them.
    ATOMICS = { i64: :int64, u64: :uint64, f64: :double, bool: :int32 }.freeze

    quick :mapvar_atomic_free, :handle
    ATOMICS.each do |type, native|
      waits :"mapvar_map_atomic_#{type}", :handle, *TEXT, :out
      waits :"mapvar_map_atomic_#{type}_or", :handle, *TEXT, native, :out
      quick :"mapvar_atomic_load_#{type}", :handle, :out
      quick :"mapvar_atomic_swap_#{type}", :handle, native, :out
      quick :"mapvar_atomic_compare_exchange_#{type}", :handle, native, native, :out, :out
    end
    %i[i64 u64].each do |type|
      %i[add sub max min and or].each do |operation|
        quick :"mapvar_atomic_#{operation}_#{type}", :handle, ATOMICS[type], :out
      end
    end

    waits :mapvar_iter_next, :handle, :out
    quick :mapvar_iter_retry, :handle
    quick :mapvar_iter_free, :handle
    waits :mapvar_names_next, :handle, *BUFFER
    quick :mapvar_names_retry, :handle
    quick :mapvar_names_free, :handle
    quick :mapvar_entry_name, :handle, :out, :out
    quick :mapvar_entry_value, :handle, :out
    quick :mapvar_entry_free, :handle

    waits :mapvar_map_watch, :handle, *TEXT, :out
    waits :mapvar_map_watch_any, :handle, :pointer, :pointer, :size_t, :out
    waits :mapvar_map_watch_prefix, :handle, *TEXT, :out
    waits :mapvar_watch_next, :handle, :uint64, :out
    quick :mapvar_watch_free, :handle
    quick :mapvar_change_name, :handle, :out, :out
    quick :mapvar_change_value, :handle, :out
    quick :mapvar_change_version, :handle, :out
    quick :mapvar_change_skipped, :handle, :out
    quick :mapvar_change_free, :handle

    quick :mapvar_map_lock, :handle, *TEXT, :out
    waits :mapvar_lock_queue, :handle, :int32, :out
    waits :mapvar_ticket_wait, :handle, :uint64, :out
    waits :mapvar_ticket_free, :handle
    waits :mapvar_lock_try, :handle, :int32, :out
    waits :mapvar_lock_holder, :handle, :out
    waits :mapvar_lock_force_unlock, :handle, :out
    waits :mapvar_lock_remove, :handle, :out
    quick :mapvar_lock_free, :handle
    quick :mapvar_held_abandoned, :handle, :out
    waits :mapvar_held_release, :handle
    waits :mapvar_held_try_release, :handle
    waits :mapvar_held_give_back, :handle

    quick :mapvar_stat_get, :handle, :uint32, :out
    quick :mapvar_stat_free, :handle
    quick :mapvar_check_count, :handle, :out
    quick :mapvar_check_finding, :handle, :size_t, :out, :out, :out, :out, :out, :out
    quick :mapvar_check_free, :handle
    quick :mapvar_clobbered_count, :handle, :out, :out
    quick :mapvar_clobbered_name, :handle, :size_t, :out, :out
    quick :mapvar_clobbered_free, :handle
    quick :mapvar_lock_stat_get, :handle, :uint32, :out
    quick :mapvar_lock_stat_free, :handle

    # Codes that this gem checks for.
    OK = 0
    NOT_FOUND = NotFound::CODE
    TOO_LARGE = TooLarge::CODE
    TIMED_OUT = TimedOut::CODE
    CONTENDED = Contended::CODE
    CONFLICT = Conflict::CODE
    CLOSED = Closed::CODE
    UNSUPPORTED = Unsupported::CODE

    # The longest time in seconds that the library waits per call. Ctrl-C and Thread#kill take effect between calls.
    SLICE = 0.1

    class << self
      # Raises the error of a code.
      def check(code)
        raise error(code) unless code == OK
      end

      # The error of this thread's last failure.
      def error(code)
        kind = Error::BY_CODE.fetch(code, Error)
        # A signal handler or finalizer may have failed at a different call in between.
        return kind.new(mapvar_error_name(code)) unless mapvar_last_error == code

        kind.new(text(mapvar_last_error_message), operation: text(mapvar_last_error_operation),
                                                  object: text(mapvar_last_error_object), holder: holder,
                                                  os_code: mapvar_last_error_os_code.nonzero?)
      end

      # Repeats a call that times out after one slice, or that other writers kept from finishing within it, until the
      # timeout in seconds has passed. Returns the code of the last call.
      def patiently(timeout)
        began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        loop do
          code = yield
          return code unless [TIMED_OUT, CONTENDED].include?(code)
          return code if Process.clock_gettime(Process::CLOCK_MONOTONIC) - began >= timeout
        end
      end

      # Returns the handle that a call writes, nil if it writes none. Frees the handle if an interrupt comes in
      # between.
      def handle(free)
        out = FFI::MemoryPointer.new(:size_t)
        check(yield(out))
        taken = handle_at(out)
      ensure
        left = taken ? 0 : out&.read(:size_t)
        public_send(free, left) if left&.nonzero?
      end

      # Yields the handle that a call writes, and frees it afterwards. The handle stays where the call wrote it, so that
      # no interrupt finds it in between.
      def with(free, make)
        out = FFI::MemoryPointer.new(:size_t)
        check(make.call(out))
        yield handle_at(out)
      ensure
        left = out ? out.read(:size_t) : 0
        public_send(free, left) if left.nonzero?
      end

      # Returns the bytes that a call writes to a buffer, which grows as needed. Returns the code instead if `except`
      # includes it.
      def bytes(except: nil)
        Scratch.use do |scratch|
          loop do
            scratch.out.write(:size_t, 0)
            code = yield(scratch.bytes, scratch.capacity, scratch.out)
            next scratch.grow if code == TOO_LARGE && scratch.length > scratch.capacity
            return code if except&.include?(code)

            check(code)
            return scratch.read
          end
        end
      end

      # Returns the number that a call writes.
      def number(type)
        out = FFI::MemoryPointer.new(type)
        check(yield(out))
        out.read(type)
      end

      # Returns the text whose address and length a call has written.
      def text_at(pointer, length)
        text(pointer.read_pointer.read_bytes(length.read(:size_t)))
      end

      private

      def handle_at(out)
        handle = out.read(:size_t)
        handle unless handle.zero?
      end

      def text(bytes)
        bytes.force_encoding(Encoding::UTF_8)
      end

      def holder
        pid = mapvar_last_error_holder
        Error::Holder.new(pid, text(mapvar_last_error_holder_program)) unless pid.zero?
      end
    end

    # A result buffer for one call at a time: a signal handler that calls meanwhile gets another buffer.
    class Scratch
      # Larger buffers are not kept.
      KEPT = 64 << 10
      private_constant :KEPT

      attr_reader :bytes, :capacity, :out

      def self.use
        pool = Ractor.current[:mapvar_scratch] ||= []
        scratch = pool.pop || new
        yield scratch
      ensure
        pool.push(scratch) if scratch && scratch.capacity <= KEPT && pool.length < 16
      end

      def initialize
        @out = FFI::MemoryPointer.new(:size_t)
        resize(4096)
      end

      # The length that the last call reported.
      def length
        @out.read(:size_t)
      end

      # Adds spare space: the value may grow between two calls.
      def grow
        resize(length + (length / 4) + 64)
      end

      def read
        @bytes.read_bytes(length)
      end

      private

      def resize(capacity)
        @bytes = FFI::MemoryPointer.new(:char, capacity)
        @capacity = capacity
      end
    end

    unless mapvar_library_version == VERSION
      raise LoadError, "mapvar's library is of version #{mapvar_library_version}, and the gem of #{VERSION}; " \
                       "install the same of both"
    end
  end
  private_constant :Library
end
