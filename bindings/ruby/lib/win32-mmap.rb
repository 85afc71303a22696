# frozen_string_literal: true

require_relative "win32/mmap"
