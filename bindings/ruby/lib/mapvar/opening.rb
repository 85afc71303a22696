# frozen_string_literal: true

module Mapvar
  # Converts options for the library, and opens a map.
  # @api private
  class Opening
    FORMATS = { mapvar: 0, marshal: 1 }.freeze
    SCOPES = { local: 0, global: 1 }.freeze
    RECOVER = { never: 0, after_restart: 1, accept_loss: 2 }.freeze
    CLOBBER = { accept: 0, reassert: 1, error: 2 }.freeze
    UNLOCK = { abandoned: 0, any: 1 }.freeze
    # The default timeouts, in seconds.
    TIMEOUTS = { mapvar: 5.0, marshal: 1.0 }.freeze

    attr_reader :name, :file, :format, :timeout

    # An option that is nil is not set.
    def initialize(name: nil, file: nil, scope: nil, format: :mapvar, size: nil, max_size: nil, timeout: nil,
                   wait: nil, read_only: nil, recover: nil, take_over: nil, allow_network: nil, on_clobber: nil, section: {})
      @name = name && Opening.utf8(name)
      @file = file && Opening.utf8(File.path(file))
      @format = format
      @timeout = Opening.seconds(timeout || TIMEOUTS.fetch(format, 5.0))
      @wait = Opening.seconds(wait || 0)
      @settings = {
        scope: scope && pick(:scope, SCOPES, scope),
        format: format && pick(:format, FORMATS, format),
        size: size && count(:size, size),
        max_size: max_size && count(:max_size, max_size),
        timeout: ([@timeout, Library::SLICE].min * 1000).ceil,
        wait: ([@wait, Library::SLICE].min * 1000).ceil,
        # Not in slices: each would begin anew. A year is for ever.
        recovery_timeout: ([@timeout, 31_536_000].min * 1000).ceil,
        read_only: (1 if read_only),
        recover: recover && pick(:recover, RECOVER, recover),
        take_over: (1 if take_over),
        allow_network: (1 if allow_network),
        on_clobber: on_clobber && pick(:on_clobber, CLOBBER, on_clobber),
        **section
      }.compact
    end

    # @param how [:create, :open, :open_or_create]
    # @return [Integer] the map's handle
    def open(how)
      options do |options|
        function = :"mapvar_options_#{how}"
        Library.handle(:mapvar_map_close) do |out|
          waiting(how) { Library.patiently(@timeout) { Library.public_send(function, options, out) } }
        end
      end
    end

    # @return [Boolean] whether the lock of a gem's map was held
    def unlock(whose)
      whose = pick(:whose, UNLOCK, whose)
      options do |options|
        Library.number(:int32) { |out| Library.mapvar_options_unlock(options, whose, out) } == 1
      end
    end

    # Returns a copy in UTF-8: other threads may change the caller's String.
    def self.utf8(text)
      given = text.is_a?(Symbol) ? text.name : text
      text = String.try_convert(given) or raise TypeError, "a String or Symbol is needed, and no #{given.class}"
      text.encode(Encoding::UTF_8)
    rescue EncodingError => e
      raise ArgumentError, "#{text.inspect} cannot be written in UTF-8: #{e.message}"
    end

    # @return [Float, Integer]
    def self.seconds(value)
      return value if value.is_a?(Numeric) && value.real? && value >= 0

      raise ArgumentError, "a timeout of #{value.inspect}; give seconds from 0 on, Float::INFINITY to wait for ever"
    end

    private

    # Repeats an opening that did not find the map within one slice, until the time to wait for it is up.
    def waiting(how)
      return yield unless how == :open

      ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + @wait
      loop do
        code = yield
        return code unless code == Library::NOT_FOUND && Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends
      end
    end

    def options
      Library.with(:mapvar_options_free, ->(out) { Library.mapvar_options_new(out) }) do |options|
        Library.check(Library.mapvar_options_name(options, @name, @name.bytesize)) if @name
        Library.check(Library.mapvar_options_file(options, @file, @file.bytesize)) if @file
        @settings.each { |key, value| Library.check(Library.public_send(:"mapvar_options_#{key}", options, value)) }
        yield options
      end
    end

    def pick(option, table, key)
      table.fetch(key.to_sym) do
        raise ArgumentError, "#{option}: #{key.inspect} is none; one of #{table.keys.map(&:inspect).join(", ")}"
      end
    end

    def count(option, value)
      return value if value.is_a?(Integer) && (0...1 << 64).cover?(value)

      raise ArgumentError, "#{option}: #{value.inspect}; give a number of bytes"
    end
  end
  private_constant :Opening
end
