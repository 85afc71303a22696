//! Options of a map: what it is called and how it is made.

use crate::report::{Format, OnClobber};
use mapvar_os::{Access, Protection, Scope, SectionFlags};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What a map of a name is called among the system's objects, behind the name.
pub(crate) const SUFFIX: &str = ".map";

/// Options to make or open a [`Map`](crate::Map); from [`Map::options`](crate::Map::options). One
/// of [`name`](Self::name) and [`file`](Self::file) is needed.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[must_use = "options do nothing until `create`, `open` or `open_or_create`"]
pub struct MapOptions {
    pub(crate) name: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) scope: Scope,
    pub(crate) format: Option<Format>,
    pub(crate) on_clobber: OnClobber,
    pub(crate) size: u64,
    pub(crate) sized: bool,
    pub(crate) max_size: Option<u64>,
    pub(crate) timeout: Duration,
    pub(crate) timed: bool,
    pub(crate) read_only: bool,
    pub(crate) allow_network: bool,
    pub(crate) one_piece: OnePiece,
}

/// What only a gem's map has, which is one section and one view: their settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OnePiece {
    pub(crate) protection: Option<Protection>,
    pub(crate) flags: SectionFlags,
    pub(crate) inherit: bool,
    pub(crate) access: Option<Access>,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

impl MapOptions {
    pub(crate) fn new() -> Self {
        Self {
            name: None,
            file: None,
            scope: Scope::Local,
            format: None,
            on_clobber: OnClobber::Accept,
            size: 64 << 10,
            sized: false,
            max_size: None,
            timeout: Duration::from_secs(5),
            timed: false,
            read_only: false,
            allow_network: false,
            one_piece: OnePiece::default(),
        }
    }

    /// A map without a file, known by this name: 1 to 120 of `A-Z a-z 0-9 . _ -`. It lives until
    /// its last user is gone, on every system.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A map in this file.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().into());
        self
    }

    /// Who can see the name: [`Scope::Local`], this session, unless set. A service's maps need
    /// [`Scope::Global`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// How the variables lie in the memory. A new map is of [`Format::Store`] unless set. A map
    /// that is there is recognised: a file by its first bytes; under a name our own object comes
    /// first, and if there is none, the gem's section of exactly that name, as far as a Hash lies
    /// in it (one of zeros, or with raw bytes, is opened where the format is set).
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// What to do when a gem erases variables of this map ([`Format::Marshal`]).
    pub fn on_clobber(mut self, on_clobber: OnClobber) -> Self {
        self.on_clobber = on_clobber;
        self
    }

    /// Bytes of values that a new map has room for; 64 KiB unless set. The region is larger: 32 KiB
    /// for header and index, and eight times the size (four times above 1 MiB), because each
    /// variable has four slots of its class: a number takes 320 bytes, a text 576 or more. So it
    /// holds less than `size` bytes of small values (numbers: a fifth of it, texts of 100 bytes: a
    /// third) and more of those near a class's end; [`Map::stat`](crate::Map::stat) shows what is
    /// used and free. Ignored for a map that is there.
    ///
    /// Of a [`Format::Marshal`] exactly the bytes of the section, in which the marshalled Hash must
    /// fit. Who opens one sees it rounded up to a page, on Windows, and the gem that made it reads
    /// no more than it asked for: set the size that the creator did, and no more is written (of a
    /// file all of it is used). More than the section has is
    /// [`TooLarge`](crate::ErrorKind::TooLarge); but a file that is shorter is lengthened (on
    /// Windows to a multiple of 64 KiB) by [`open_or_create`](Self::open_or_create).
    pub fn size(mut self, bytes: u64) -> Self {
        (self.size, self.sized) = (bytes, true);
        self
    }

    /// Bytes that a new map may grow to, with everything in it; for ever, whoever opens it. It is
    /// made no smaller than [`size`](Self::size) takes. Unless set: 1 GiB for a map with a name, no
    /// limit for one in a file. Until then a map that is full becomes longer, under all who use it.
    ///
    /// For a map that is there, or for a file without limit, it says how much address space is set
    /// aside: beyond that this process gets [`Full`](crate::ErrorKind::Full), and opens it anew. 64
    /// GiB unless set, or four times what it has, where that is more.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// How long operations wait for a lock, and opening for a map that is just being made; 5 s
    /// unless set, and 1 s for a [`Format::Marshal`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        (self.timeout, self.timed) = (timeout, true);
        self
    }

    /// Opens for reading alone: takes only the right to read, and writes nothing, ever.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Allows a file on a network drive, where processes on different machines do not see each
    /// other's changes. Refused unless set.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
        self
    }

    /// The protection of a [`Format::Marshal`]'s section: [`Protection::ReadWrite`] unless set, or
    /// `ReadOnly` with [`read_only`](Self::read_only). One that cannot be written to opens for
    /// reading alone, unless [`access`](Self::access) is [`Access::CopyOnWrite`]. A store answers
    /// [`Unsupported`](crate::ErrorKind::Unsupported) to this and the five below.
    pub fn protection(mut self, protection: Protection) -> Self {
        self.one_piece.protection = Some(protection);
        self
    }

    /// The `SEC_` flags of a [`Format::Marshal`]'s section; see
    /// [`SectionOptions::flags`](crate::SectionOptions::flags).
    pub fn flags(mut self, flags: SectionFlags) -> Self {
        self.one_piece.flags = flags;
        self
    }

    /// Whether child processes inherit the handle of a [`Format::Marshal`]'s section; see
    /// [`SectionOptions::inherit`](crate::SectionOptions::inherit).
    pub fn inherit(mut self, inherit: bool) -> Self {
        self.one_piece.inherit = inherit;
        self
    }

    /// What this process does with a [`Format::Marshal`]'s memory. With [`Access::CopyOnWrite`]
    /// what it sets is seen by nobody else, and lost when it closes the map.
    pub fn access(mut self, access: Access) -> Self {
        self.one_piece.access = Some(access);
        self
    }

    /// Whether code in a [`Format::Marshal`]'s memory may be run by this process; the
    /// [`protection`](Self::protection) must allow it.
    pub fn execute(mut self, execute: bool) -> Self {
        self.one_piece.execute = execute;
        self
    }

    /// Where a [`Format::Marshal`]'s memory is mapped: a multiple of the system's granularity (64
    /// KiB on Windows, a page elsewhere), there or nowhere; 0, the default, is anywhere.
    pub fn base_address(mut self, address: usize) -> Self {
        self.one_piece.base_address = address;
        self
    }

    pub(crate) fn object(&self) -> String {
        match (&self.file, &self.name) {
            (Some(file), _) => format!("map file \"{}\"", file.display()),
            (None, Some(name)) => format!("map {name:?}"),
            (None, None) => "map".into(),
        }
    }
}
