//! What a section is made of and how it may be used.

use crate::name::Name;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What a view may do with the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only. `FILE_MAP_READ`, `PROT_READ`.
    Read,
    /// Read and write; others see the writes. `FILE_MAP_WRITE`, `PROT_READ | PROT_WRITE`.
    #[default]
    ReadWrite,
    /// Read and write on pages of its own: nobody else sees the writes, and they are lost with the
    /// view. `FILE_MAP_COPY`, `MAP_PRIVATE`.
    CopyOnWrite,
}

/// The most that views of a section may do; the `PAGE_` constants of Windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protection {
    /// `PAGE_READONLY`: views read, or write on their own copy.
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
    /// Whether views of the section may write for others to see.
    pub fn writable(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ExecuteReadWrite)
    }

    /// Whether views of the section may run code.
    pub fn executable(self) -> bool {
        matches!(self, Self::ExecuteRead | Self::ExecuteReadWrite | Self::ExecuteWriteCopy)
    }
}

/// The `SEC_` flags of Windows. Where another system has the same thing it is used; where it has
/// not, [`crate::ErrorKind::Unsupported`] says so. `docs/PLATFORM.md` has the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SectionFlags(u32);

impl SectionFlags {
    /// `SEC_COMMIT`: memory is there from the start. The default.
    pub const COMMIT: Self = Self(1);
    /// `SEC_RESERVE`: address space only; memory comes with the first touch (Unix) or with the
    /// first view of its range (Windows, where it has no effect on a file).
    pub const RESERVE: Self = Self(2);
    /// `SEC_IMAGE`: the file is an executable image, mapped as the loader would. Windows only.
    pub const IMAGE: Self = Self(4);
    /// `SEC_NOCACHE`: uncached pages. Windows only.
    pub const NO_CACHE: Self = Self(8);
    /// `SEC_LARGE_PAGES`: large pages; takes a privilege on Windows, huge pages set aside on Linux.
    pub const LARGE_PAGES: Self = Self(16);
    /// `SEC_WRITECOMBINE`: write-combined pages. Windows only.
    pub const WRITE_COMBINE: Self = Self(32);

    /// No flags.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether all of `other` stand in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for SectionFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How to make or find a [`Section`](crate::Section); from [`Section::options`](crate::Section::options).
///
/// Without [`file`](Self::file) and [`name`](Self::name) the section is anonymous: memory that
/// only this process and those that inherit its handle can reach.
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

impl SectionOptions {
    pub(crate) fn new() -> Self {
        Self {
            file: None,
            name: None,
            size: None,
            max_size: None,
            protection: Protection::default(),
            flags: SectionFlags::empty(),
            inherit: false,
            allow_network: false,
            timeout: Duration::from_secs(5),
        }
    }

    /// Backed by this file. A new file is readable and writable by its owner only.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().into());
        self
    }

    /// Known by this name to other processes. With [`file`](Self::file) as well it is a named
    /// section over the file, which only Windows has.
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }

    /// Bytes. Needed to create; when opening it is the least size that will do. A file that is
    /// opened for writing and is smaller is not extended by opening.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// How far a section without a file may [`grow`](crate::Section::grow), in bytes. Windows must be told
    /// when it is made: it sets aside that much of nothing but numbers, and
    /// [`Section::size`](crate::Section::size) tells it. Others grow a section that was made without, too. A file grows
    /// as far as its disk.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// The most that views may do. [`Protection::ReadWrite`] unless set. A read-only protection
    /// opens a file for reading only.
    pub fn protection(mut self, protection: Protection) -> Self {
        self.protection = protection;
        self
    }

    /// The `SEC_` flags.
    pub fn flags(mut self, flags: SectionFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Whether child processes inherit the handle. They do not unless this is set.
    pub fn inherit(mut self, inherit: bool) -> Self {
        self.inherit = inherit;
        self
    }

    /// Allows a file on a network drive, where views on different machines do not see each other's
    /// writes. Refused unless set.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
        self
    }

    /// How long to wait for another process that is just making or removing the object. 5 s unless
    /// set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the user calls the object, for messages.
    #[allow(clippy::unnecessary_debug_formatting, reason = "a path in quotes, escaped")]
    pub(crate) fn describe(&self) -> String {
        match (&self.file, &self.name) {
            (Some(file), _) => format!("file \"{}\"", file.display()),
            (None, Some(name)) => format!("section {:?}", name.as_str()),
            (None, None) => "anonymous section".into(),
        }
    }
}
