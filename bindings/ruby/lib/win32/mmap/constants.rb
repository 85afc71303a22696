# frozen_string_literal: true

module Win32
  class MMap
    # The Windows constants that options take, available on every system.
    module Constants
      # @!group Protections, for the option `protection`

      # Views can read.
      PAGE_READONLY = 0x02
      # Views can read and write; the default.
      PAGE_READWRITE = 0x04
      # Views can read, or write to a private copy.
      PAGE_WRITECOPY = 0x08
      # Views can read and execute code.
      PAGE_EXECUTE_READ = 0x20
      # Views can read, write and execute code.
      PAGE_EXECUTE_READWRITE = 0x40
      # Views can read, write to a private copy and execute code.
      PAGE_EXECUTE_WRITECOPY = 0x80

      # @!group Kinds of memory, to be added to a protection

      # The file is an executable image. Windows only.
      SEC_IMAGE = 0x0100_0000
      # Reserves address space only; memory is committed later.
      SEC_RESERVE = 0x0400_0000
      # Memory is committed from the start; the default.
      SEC_COMMIT = 0x0800_0000
      # Uncached pages. Windows only.
      SEC_NOCACHE = 0x1000_0000
      # Write-combined pages. Windows only.
      SEC_WRITECOMBINE = 0x4000_0000
      # Large pages. The gem win32-mmap only documents it.
      SEC_LARGE_PAGES = 0x8000_0000

      # @!group Accesses, for the option `access`

      # Read, and write to private pages.
      FILE_MAP_COPY = 0x01
      # Read and write; the default.
      FILE_MAP_WRITE = 0x02
      # Read.
      FILE_MAP_READ = 0x04
      # Execute code, added to another access. The gem win32-mmap lacks it.
      FILE_MAP_EXECUTE = 0x20
      # Read and write.
      FILE_MAP_ALL_ACCESS = 0x000F_001F
    end
  end
end
