# frozen_string_literal: true

require_relative "lib/mapvar/version"

Gem::Specification.new do |spec|
  spec.name = "mapvar"
  spec.version = Mapvar::VERSION
  spec.summary = "Live variables in memory that processes share, by a name or by a file"
  spec.description = "Named variables in shared memory, for Windows and Linux: reads take no lock, and a killed " \
                     "process harms no other. Provides win32/mmap too, in the layout of the gem win32-mmap."
  spec.authors = ["mapvar contributors"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.add_runtime_dependency "ffi", ">= 1.15", "< 2"

  # With the library and the licenses that `rake native` put here, the gem is for one platform.
  native = Dir.chdir(__dir__) { Dir["lib/mapvar/native/*"] }
  spec.platform = ENV.fetch("MAPVAR_GEM_PLATFORM", Gem::Platform.local.to_s) unless native.empty?
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "sig/*.rbs", "sig/manifest.yaml"] } + native + ["README.md"]
end
