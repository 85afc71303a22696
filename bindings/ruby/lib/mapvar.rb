# frozen_string_literal: true

# Live variables in memory that processes share, by a name or by a file.
#
#   Mapvar::Map.open_or_create("alpha") do |map|
#     map[:foo] = "hello"
#     map[:foo] #=> "hello", in every process that opens "alpha"
#   end
#
# {Mapvar::Map} is the store; {Win32::MMap} is the class of the gem win32-mmap, with its layout.
module Mapvar
end

require_relative "mapvar/version"
require_relative "mapvar/error"
require_relative "mapvar/library"
require_relative "mapvar/uncopied"
require_relative "mapvar/opening"
require_relative "mapvar/values"
require_relative "mapvar/map"
require_relative "mapvar/transaction"
require_relative "mapvar/atomic"
require_relative "mapvar/watch"
require_relative "mapvar/lock"
