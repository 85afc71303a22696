//! Options of a section: its object, its size, and the permitted uses.

use crate::name::Name;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The access of a view to the memory.
///
/// ```
/// use mapvar_os::{Access, ErrorKind, Section};
///
/// let section = Section::options().size(4096).create()?;
/// let view = section.view().access(Access::Read).map()?;
/// assert_eq!(view.write_at(0, b"x").unwrap_err().kind(), ErrorKind::ReadOnly);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only. `FILE_MAP_READ`, `PROT_READ`.
    Read,
    /// Read and write; other processes see the writes. `FILE_MAP_WRITE`, `PROT_READ | PROT_WRITE`.
    #[default]
    ReadWrite,
    /// Read and write on private pages: no other view sees the writes, and they are lost when the
    /// view is dropped. `FILE_MAP_COPY`, `MAP_PRIVATE`.
    CopyOnWrite,
}

/// The maximum access of all views of a section; the `PAGE_` constants of Windows.
///
/// ```
/// use mapvar_os::Protection;
///
/// assert!(Protection::default().writable());
/// assert!(Protection::ExecuteRead.executable());
/// assert!(!Protection::ExecuteRead.writable());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protection {
    /// `PAGE_READONLY`: views read, or write on private copies of the pages.
    ReadOnly,
    /// `PAGE_READWRITE`.
    #[default]
    ReadWrite,
    /// `PAGE_WRITECOPY`: the same rights as `ReadOnly`.
    WriteCopy,
    /// `PAGE_EXECUTE_READ`.
    ExecuteRead,
    /// `PAGE_EXECUTE_READWRITE`.
    ExecuteReadWrite,
    /// `PAGE_EXECUTE_WRITECOPY`.
    ExecuteWriteCopy,
}

impl Protection {
    /// Returns whether views of the section may write to the shared memory.
    #[doc(hidden)]
    pub fn writable(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ExecuteReadWrite)
    }

    /// Returns whether code in views of the section may be executed.
    #[doc(hidden)]
    pub fn executable(self) -> bool {
        matches!(self, Self::ExecuteRead | Self::ExecuteReadWrite | Self::ExecuteWriteCopy)
    }
}

/// The `SEC_` flags of Windows, and their equivalents on other systems.
///
/// A flag without an equivalent fails with [`crate::ErrorKind::Unsupported`]. `docs/PLATFORM.md`
/// has the table.
///
/// ```
/// use mapvar_os::SectionFlags;
///
/// let flags = SectionFlags::COMMIT | SectionFlags::LARGE_PAGES;
/// assert!(flags.contains(SectionFlags::LARGE_PAGES));
/// assert!(!flags.contains(SectionFlags::RESERVE));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SectionFlags(u32);

impl SectionFlags {
    /// `SEC_COMMIT`: memory is allocated at creation. The default.
    pub const COMMIT: Self = Self(1);
    /// `SEC_RESERVE`: only address space is reserved at creation.
    ///
    /// Memory is allocated at the first access of a page (Unix), or when the first view of its
    /// range is mapped (Windows, where the flag has no effect on a file).
    pub const RESERVE: Self = Self(2);
    /// `SEC_IMAGE`: the file is an executable image, mapped as the loader maps it. Windows only.
    pub const IMAGE: Self = Self(4);
    /// `SEC_NOCACHE`: uncached pages. Windows only.
    pub const NO_CACHE: Self = Self(8);
    /// `SEC_LARGE_PAGES`: large pages. Needs a privilege on Windows, and preallocated huge pages
    /// (`vm.nr_hugepages`) on Linux.
    pub const LARGE_PAGES: Self = Self(16);
    /// `SEC_WRITECOMBINE`: write-combined pages. Windows only.
    pub const WRITE_COMBINE: Self = Self(32);

    /// Returns whether the set contains all flags of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for SectionFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Options to create or open a [`Section`](crate::Section).
///
/// [`Section::options`](crate::Section::options) returns the defaults. Without
/// [`file`](Self::file) and [`name`](Self::name) the section is anonymous. Only this process and
/// processes that inherit its handle can access an anonymous section.
///
/// ```
/// use mapvar_os::{ErrorKind, Section};
///
/// let section = Section::options().size(4096).create()?;
/// section.view().map()?.write_at(0, b"hello")?;
///
/// // A section cannot be created without a size.
/// assert_eq!(Section::options().create().unwrap_err().kind(), ErrorKind::InvalidArgument);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `create`, `open` or `open_or_create`"]
pub struct SectionOptions {
    pub(crate) file: Option<PathBuf>,
    pub(crate) name: Option<Name>,
    pub(crate) size: Option<u64>,
    pub(crate) max_size: Option<u64>,
    pub(crate) protection: Protection,
    pub(crate) flags: SectionFlags,
    pub(crate) inherit: bool,
    pub(crate) allow_network: bool,
    pub(crate) timeout: Duration,
}

/// As [`Section::options`](crate::Section::options) returns them.
impl Default for SectionOptions {
    fn default() -> Self {
        Self {
            file: None,
            name: None,
            size: None,
            max_size: None,
            protection: Protection::default(),
            flags: SectionFlags::default(),
            inherit: false,
            allow_network: false,
            timeout: Duration::from_secs(5),
        }
    }
}

impl SectionOptions {
    /// Sets the file that backs the section. A new file is readable and writable by its owner only.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().into());
        self
    }

    /// Sets the name by which other processes open the section.
    ///
    /// Together with [`file`](Self::file) it creates a named section over the file, which only
    /// Windows supports.
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the size in bytes.
    ///
    /// [`create`](Self::create) needs it. [`open`](Self::open) takes it as the minimum size: it
    /// fails for a smaller section, and does not extend a smaller file.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets the maximum size in bytes to which a section without a file may
    /// [`grow`](crate::Section::grow).
    ///
    /// Windows needs it at creation: it reserves that size without committing memory, and
    /// [`Section::size`](crate::Section::size) then returns it. Other systems also grow a section
    /// that was created without it. A file grows until its disk is full.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Sets the maximum access of all views. The default is [`Protection::ReadWrite`].
    ///
    /// A protection that is not [`writable`](Protection::writable) opens a file for reading only.
    pub fn protection(mut self, protection: Protection) -> Self {
        self.protection = protection;
        self
    }

    /// Sets the `SEC_` flags. The default is the empty set.
    pub fn flags(mut self, flags: SectionFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets whether child processes inherit the handle. The default is false.
    pub fn inherit(mut self, inherit: bool) -> Self {
        self.inherit = inherit;
        self
    }

    /// Sets whether the file may be on a network drive or on a file system of a program (FUSE, 9p).
    /// The default is false.
    ///
    /// Views on different machines do not see each other's writes.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
        self
    }

    /// Sets how long to wait for another process that is creating, growing or removing the object.
    /// The default is 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the user's designation of the object, for messages.
    #[allow(clippy::unnecessary_debug_formatting, reason = "a path in quotes, escaped")]
    pub(crate) fn describe(&self) -> String {
        match (&self.file, &self.name) {
            (Some(file), _) => format!("file \"{}\"", file.display()),
            (None, Some(name)) => format!("section {:?}", name.as_str()),
            (None, None) => "anonymous section".into(),
        }
    }
}
