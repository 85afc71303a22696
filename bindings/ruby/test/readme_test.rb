# frozen_string_literal: true

require_relative "helper"

# The Ruby blocks of the gem's README and of the project's README, run as they stand.
class ReadmeTest < Case
  not_under_stress

  # The blocks about waiting use a map that the text before them opened.
  PREAMBLE = <<~'RUBY'
    map = Mapvar::Map.open_or_create(ARGV.fetch(0))
    returned = lambda do |line, value, comment|
      comment.start_with?(value.inspect) or raise "`#{line}` returned #{value.inspect}, not #{comment}"
    end
  RUBY

  ["../README.md", "../../../README.md"].each do |page|
    text = File.read(File.expand_path(page, __dir__), encoding: "UTF-8")
    text.scan(/^```ruby\n(.*?)^```/m).flatten.each_with_index do |block, number|
      define_method("test_block_#{number}_of_#{page.count("/") > 2 ? "the_project" : "the_gem"}") { run_block(block) }
    end
  end

  private

  def run_block(block)
    name = unique("readme")
    # Blocks of both pages name the same map, and a file at the top of a drive.
    code = block.gsub('"alpha"', name.dump).gsub('"C:\\\\test.map"', '"test.map"')
    # Nothing changes, and the test need not wait long to see that.
    code = code.gsub("watch.wait(5)", "watch.wait(0.1)").gsub("timeout: 5", "timeout: 0.1")
    # `expression #=> value, remark`: the value is compared.
    code = code.gsub(/^(\s*)(\S.*?)\s+#=> (.*)$/) { "#{$1}returned.(#{$2.dump}, (#{$2}), #{$3.dump})" }
    # `p expression # => value`: so is what it prints.
    printed = block.scan(/^p .*# => (.*)$/).flatten.map { |value| "#{value}\n" }.join
    folder do |path|
      found = output("Dir.chdir(#{path.dump})\n#{PREAMBLE}#{code}\nmap.close", name)
      assert_equal(printed, found)
    end
  end
end
