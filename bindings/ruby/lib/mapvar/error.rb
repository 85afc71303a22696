# frozen_string_literal: true

module Mapvar
  # The base of the error classes below; its message names the operation, the object and the remedy.
  #
  # It is a SystemCallError, so that `rescue SystemCallError` and `rescue Errno::ENOENT`, written for the gem
  # win32-mmap, match it. `rescue Mapvar::NotFound` matches only that class.
  class Error < SystemCallError
    # The number of the class in the C interface; nil where it has none.
    CODE = nil
    # The errno, as SystemCallError requires it.
    # @private
    Errno = ::Errno::EIO::Errno

    # The process that a call waited for: its number, and its program's name if the system reports it.
    Holder = Struct.new(:pid, :program)

    # @return [String, nil] the operation that failed: "set variable"
    attr_reader :operation
    # @return [String, nil] the object of the operation: `"foo" of map "alpha"`
    attr_reader :object
    # @return [Holder, nil] the process that the call waited for; of {TimedOut}, if the system reports it
    attr_reader :holder
    # @return [Integer, nil] the operating system's number of the error, if there is one
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

    # @return [String] the message, without the prefix that SystemCallError adds
    def to_s
      @text
    end

    # @return [Integer, nil] the number of the class in the C interface
    def code
      self.class::CODE
    end

    # SystemCallError compares errno values: two classes with the same errno would match each other's errors.
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

  # The object exists already, and was to be created.
  class AlreadyExists < Error
    CODE = 2
    Errno = ::Errno::EEXIST::Errno
  end

  # The variable holds another kind of value.
  class WrongKind < Error
    CODE = 3
    Errno = ::Errno::EINVAL::Errno
  end

  # The number does not fit the requested type, or the range is not within bounds.
  class OutOfRange < Error
    CODE = 4
    Errno = ::Errno::ERANGE::Errno
  end

  # The map has reached its largest size.
  class Full < Error
    CODE = 5
    Errno = ::Errno::ENOSPC::Errno
  end

  # The operating system has no more space.
  class NoSpace < Error
    CODE = 6
    Errno = ::Errno::ENOSPC::Errno
  end

  # The value or range is too large.
  class TooLarge < Error
    CODE = 7
    Errno = ::Errno::EFBIG::Errno
  end

  # The name breaks the rules for names.
  class InvalidName < Error
    CODE = 8
    Errno = ::Errno::EINVAL::Errno
  end

  # An argument is invalid; the message names it.
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

  # An object of another kind has the name.
  class NameTaken < Error
    CODE = 12
    Errno = ::Errno::EEXIST::Errno
  end

  # The name was removed while in use.
  class NameRemoved < Error
    CODE = 13
    Errno = ::Errno::ENOENT::Errno
  end

  # The section or file holds no map; or it holds raw bytes where a call needs variables.
  class NotAMap < Error
    CODE = 14
    Errno = ::Errno::EINVAL::Errno
  end

  # The map has a version that this library does not support.
  class Version < Error
    CODE = 15
    Errno = ::Errno::EINVAL::Errno
  end

  # The content is inconsistent.
  class Corrupt < Error
    CODE = 16
    Errno = ::Errno::EIO::Errno
  end

  # The object is shorter than its header says.
  class Truncated < Error
    CODE = 17
    Errno = ::Errno::EIO::Errno
  end

  # The map must be recovered first, and this handle cannot do it.
  class NeedsRecovery < Error
    CODE = 18
    Errno = ::Errno::EIO::Errno
  end

  # The timeout has passed; {Error#holder} may name the process that the call waited for.
  class TimedOut < Error
    CODE = 19
    Errno = ::Errno::ETIMEDOUT::Errno
  end

  # Other writers kept changing the data to be read or written.
  class Contended < Error
    CODE = 20
    Errno = ::Errno::EAGAIN::Errno
  end

  # A transaction, or a conditional set, conflicted with other writers.
  class Conflict < Error
    CODE = 21
    Errno = ::Errno::EAGAIN::Errno
  end

  # Another program took a lock away by force, or erased what this program had set.
  class TakenAway < Error
    CODE = 22
    Errno = ::Errno::EPERM::Errno
  end

  # The map was opened read-only.
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

  # This system or layout does not support it; the message says what to use instead.
  class Unsupported < Error
    CODE = 26
    Errno = ::Errno::ENOSYS::Errno
  end

  # Another error of the operating system; {Error#os_code} has its number.
  class Io < Error
    CODE = 27
    Errno = ::Errno::EIO::Errno
  end

  # A bug of the library itself, stopped at its border: please report it.
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
    # @private
    BY_CODE = Mapvar.constants.map { |name| Mapvar.const_get(name) }
                    .select { |it| it.is_a?(Class) && it < self && it::CODE }
                    .to_h { |it| [it::CODE, it] }.freeze
  end
end
