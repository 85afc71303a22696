# frozen_string_literal: true

require_relative "helper"
begin
  require "rbs"
rescue LoadError
  # The test reports it.
end

# The signatures in sig/ are well formed, and cover each public method.
class SignaturesTest < Case
  SIGNATURES = File.expand_path("../sig", __dir__)
  # Methods of Ruby's own classes, and methods for internal use.
  INHERITED = %i[initialize_copy language bytes language= bytes= inspect [] members keyword_init? new ===].freeze
  INTERNAL = %i[opening over initialize respond_to_missing? method_missing].freeze

  def builder
    omit("no rbs here") unless defined?(RBS)
    omit("it reads the signatures of all of Ruby") if ENV["MAPVAR_GC_STRESS"]
    loader = RBS::EnvironmentLoader.new
    loader.add(library: "pathname")
    loader.add(path: Pathname(SIGNATURES))
    RBS::DefinitionBuilder.new(env: RBS::Environment.from_loader(loader).resolve_type_names)
  end

  def own(definition, type)
    definition.methods.select { |_, it| it.defs.any? { |one| one.implemented_in == type } }.keys
  end

  def test_every_public_method_has_one
    builder = self.builder
    errors = Mapvar::Error::BY_CODE.values
    [Map, Mapvar::Atomic, Mapvar::Transaction, MMap, Mapvar::Error, Mapvar::DisallowedClass, Mapvar::Opaque,
     Mapvar::Pod, Mapvar::Revision, *errors].each do |it|
      *outer, last = it.name.split("::")
      type = RBS::TypeName.new(name: last.to_sym, namespace: RBS::Namespace.parse("::#{outer.join("::")}::"))
      ignored = INHERITED + INTERNAL + it.members.flat_map { |one| [one, :"#{one}="] } if it.respond_to?(:members)
      ignored ||= INHERITED + INTERNAL
      instance = own(builder.build_instance(type), type)
      assert_equal((it.public_instance_methods(false) - ignored).sort, (instance - ignored).sort, it.name)
      singleton = own(builder.build_singleton(type), type)
      assert_equal((it.singleton_methods(false) - ignored).sort, (singleton - ignored).sort, it.name)
    end
  end
end
