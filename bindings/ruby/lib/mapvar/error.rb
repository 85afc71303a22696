# frozen_string_literal: true

module Mapvar
  # What went wrong, of one of the classes below; its message names the operation, the object and the
  # remedy.
  #
  # It is a SystemCallError, so that `rescue SystemCallError` and `rescue Errno::ENOENT`, written for the
  # gem win32-mmap, meet it; `rescue Mapvar::NotFound` meets nothing but its own.
  class Error < SystemCallError
    # The number of the class in the C interface; nil where it has none.
    CODE = nil
    # As SystemCallError wants it.
    Errno = ::Errno::EIO::Errno

    # A process that was in the way: its number, and its program's name where the system tells it.
    Holder = Struct.new(:pid, :program)

    # @return [String, nil] what was being done: "set variable"
    attr_reader :operation
    # @return [String, nil] what it was done to: `"foo" of map "alpha"`
    attr_reader :object
    # @return [Holder, nil] the process that was in the way, of {TimedOut} and where the system tells it
    attr_reader :holder
    # @return [Integer, nil] the operating system's own number of the error, where there is one
    attr_reader :os_code

    # @api private
    def initialize(text = nil, operation: nil, object: nil, holder: nil, os_code: nil)
      super(text)
      @text = text || self.class.name
      @operation = operation
      @object = object
      @holder = holder
      @os_code = os_code
    end

    # @return [String] the message, without the words that SystemCallError puts before it
    def to_s
      @text
    end

    # @return [Integer, nil] the number of the class in the C interface
    def code
      self.class::CODE
    end

    # SystemCallError compares numbers of errors: two classes that share one would meet each other's.
    # @api private
    def self.===(other)
      Module.instance_method(:===).bind_call(self, other)
    end
  end

  # No object, map or variable of this name.
  class NotFound < Error
    CODE = 1
    Errno = ::Errno::ENOENT::Errno
  end

  # There is one already, and it was to be made anew.
  class AlreadyExists < Error
    CODE = 2
    Errno = ::Errno::EEXIST::Errno
  end

  # The variable holds another kind of value.
  class WrongKind < Error
    CODE = 3
    Errno = ::Errno::EINVAL::Errno
  end

  # The number does not fit the type asked for, or the range does not lie within.
  class OutOfRange < Error
    CODE = 4
    Errno = ::Errno::ERANGE::Errno
  end

  # The map has reached its largest size.
  class Full < Error
    CODE = 5
    Errno = ::Errno::ENOSPC::Errno
  end

  # The operating system has no more room.
  class NoSpace < Error
    CODE = 6
    Errno = ::Errno::ENOSPC::Errno
  end

  # The value or range is larger than can be held here.
  class TooLarge < Error
    CODE = 7
    Errno = ::Errno::EFBIG::Errno
  end

  # The name breaks the rules for names.
  class InvalidName < Error
    CODE = 8
    Errno = ::Errno::EINVAL::Errno
  end

  # An argument makes no sense; the message says which.
  class InvalidArgument < Error
    CODE = 9
    Errno = ::Errno::EINVAL::Errno
  end

  # The operating system denies the access.
  class PermissionDenied < Error
    CODE = 10
    Errno = ::Errno::EACCES::Errno
  end

  # The object belongs to another user, so nothing in it is trusted.
  class ForeignOwner < Error
    CODE = 11
    Errno = ::Errno::EPERM::Errno
  end

  # Another kind of object bears the name.
  class NameTaken < Error
    CODE = 12
    Errno = ::Errno::EEXIST::Errno
  end

  # The name was removed while in use.
  class NameRemoved < Error
    CODE = 13
    Errno = ::Errno::ENOENT::Errno
  end

  # The section or file holds no map; or raw bytes, and variables were asked for.
  class NotAMap < Error
    CODE = 14
    Errno = ::Errno::EINVAL::Errno
  end

  # The map is of a version that this library does not know.
  class Version < Error
    CODE = 15
    Errno = ::Errno::EINVAL::Errno
  end

  # The content contradicts itself.
  class Corrupt < Error
    CODE = 16
    Errno = ::Errno::EIO::Errno
  end

  # The object is shorter than its header says.
  class Truncated < Error
    CODE = 17
    Errno = ::Errno::EIO::Errno
  end

  # The map must be recovered first, and this handle may not do it.
  class NeedsRecovery < Error
    CODE = 18
    Errno = ::Errno::EIO::Errno
  end

  # The time allowed has passed; {Error#holder} may say who was in the way.
  class TimedOut < Error
    CODE = 19
    Errno = ::Errno::ETIMEDOUT::Errno
  end

  # Others kept changing what was to be read or written.
  class Contended < Error
    CODE = 20
    Errno = ::Errno::EAGAIN::Errno
  end

  # A transaction, or a set that expects a version, met other writers.
  class Conflict < Error
    CODE = 21
    Errno = ::Errno::EAGAIN::Errno
  end

  # The variable was removed.
  class Removed < Error
    CODE = 22
    Errno = ::Errno::ENOENT::Errno
  end

  # The map was opened for reading only.
  class ReadOnly < Error
    CODE = 23
    Errno = ::Errno::EROFS::Errno
  end

  # The map is closed, or was opened by the process that this one was forked from.
  class Closed < Error
    CODE = 24
    Errno = ::Errno::EBADF::Errno
  end

  # A signal ended the wait.
  class Interrupted < Error
    CODE = 25
    Errno = ::Errno::EINTR::Errno
  end

  # This system or layout cannot do it; the message says what to use instead.
  class Unsupported < Error
    CODE = 26
    Errno = ::Errno::ENOSYS::Errno
  end

  # Another error of the operating system; {Error#os_code} has its number.
  class Io < Error
    CODE = 27
    Errno = ::Errno::EIO::Errno
  end

  # A fault of the library itself, stopped at its border: please report it.
  class Panicked < Error
    CODE = 255
    Errno = ::Errno::EIO::Errno
  end

  # A value holds objects whose loading would run code of classes that were not permitted.
  class DisallowedClass < Error
    Errno = ::Errno::EPERM::Errno

    # @return [Array<String>] the classes
    attr_reader :classes

    # @api private
    def initialize(text = nil, classes: [])
      super(text)
      @classes = classes
    end
  end

  class Error
    # The class of each number of the C interface.
    # @return [Hash{Integer => Class}]
    BY_CODE = Mapvar.constants.map { |name| Mapvar.const_get(name) }
                    .select { |it| it.is_a?(Class) && it < self && it::CODE }
                    .to_h { |it| [it::CODE, it] }.freeze
  end
end
