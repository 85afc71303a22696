# frozen_string_literal: true

module Mapvar
  # The version of the gem, and of the library that it needs.
  VERSION = "0.1.0"
end
