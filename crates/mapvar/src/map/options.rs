//! Options that say which map to create or open, and how.

#[cfg(feature = "gem")]
use crate::gem::options::GemOptions;
use crate::report::{Format, Recover};
use mapvar_os::Scope;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The suffix that a named map's section has behind the map's name.
pub(crate) const SUFFIX: &str = ".map";

/// Whether the map is to be created or opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Create,
    Open,
    Either,
}

/// Options to create or open a [`Map`](crate::Map); from [`Map::options`](crate::Map::options).
///
/// Exactly one of [`name`](Self::name) and [`file`](Self::file) is required. Every other option has
/// a default.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("test.map");
/// use mapvar::{ErrorKind, Map};
/// use std::time::Duration;
///
/// let map = Map::options()
///     .file(&path)
///     .size(100_000)
///     .max_size(16 << 20)
///     .timeout(Duration::from_secs(1))
///     .open_or_create()?;
/// map.set("foo", "hello")?;
///
/// let reader = Map::options().file(&path).read_only(true).open()?;
/// assert_eq!(reader.get::<String>("foo")?, "hello");
/// assert_eq!(reader.set("foo", "bye").unwrap_err().kind(), ErrorKind::ReadOnly);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[must_use = "options do nothing until `create`, `open` or `open_or_create`"]
pub struct MapOptions {
    pub(crate) name: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) scope: Scope,
    pub(crate) format: Option<Format>,
    pub(crate) size: u64,
    pub(crate) sized: bool,
    pub(crate) max_size: Option<u64>,
    pub(crate) timeout: Duration,
    pub(crate) timed: bool,
    pub(crate) wait: Duration,
    pub(crate) recovery_timeout: Option<Duration>,
    pub(crate) read_only: bool,
    pub(crate) allow_network: bool,
    pub(crate) recover: Recover,
    pub(crate) take_over: bool,
    #[cfg(feature = "gem")]
    pub(crate) gem: GemOptions,
}

/// As [`Map::options`](crate::Map::options) returns them.
impl Default for MapOptions {
    fn default() -> Self {
        Self {
            name: None,
            file: None,
            scope: Scope::Local,
            format: None,
            size: 64 << 10,
            sized: false,
            max_size: None,
            timeout: Duration::from_secs(5),
            timed: false,
            wait: Duration::ZERO,
            recovery_timeout: None,
            read_only: false,
            allow_network: false,
            recover: Recover::default(),
            take_over: false,
            #[cfg(feature = "gem")]
            gem: GemOptions::default(),
        }
    }
}

impl MapOptions {
    /// Names a map without a file: 1 to 120 characters of `A-Z a-z 0-9 . _ -`.
    ///
    /// The map exists until the last process that uses it has closed it or ended, on every system.
    /// On Linux, if that process was killed, or has ended without closing it, the memory stays
    /// allocated until a process opens the name or creates any map by name, or the machine restarts.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Names the file that the map is in. The file exists until it is deleted.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().into());
        self
    }

    /// Sets the scope of the name; [`Scope::Local`] by default.
    ///
    /// A local name is visible to one session on Windows, and to all sessions of one user on Unix.
    /// A map that a service shares with users' sessions on Windows needs [`Scope::Global`]. The
    /// scope does not change permissions: other users have no access in either scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the layout of the variables in memory.
    ///
    /// By default a new map is of [`Format::Store`], and the layout of an existing map is
    /// recognized. A file is recognized by its first bytes. For a name, a [`Format::Store`] map is
    /// tried first, and then the gem's section of that name, which is recognized if it contains a
    /// Hash. A section of the gem that contains zeros or raw bytes is opened only if this option is
    /// set.
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Changes the settings for a map of [`Format::Marshal`].
    ///
    /// ```
    /// # let name = format!("doc-gem-options.{}", std::process::id());
    /// use mapvar::{Format, Map, gem::OnClobber};
    ///
    /// let map = Map::options()
    ///     .name(&name)
    ///     .format(Format::Marshal)
    ///     .gem(|gem| gem.on_clobber(OnClobber::Reassert))
    ///     .create()?;
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    #[cfg(feature = "gem")]
    pub fn gem(mut self, change: impl FnOnce(GemOptions) -> GemOptions) -> Self {
        self.gem = change(self.gem);
        self
    }

    /// Sets how many bytes of values a new map is created for; 64 KiB by default.
    ///
    /// It allocates nothing: a new map takes 64 KiB of memory or disk, and grows when it is full, up
    /// to [`max_size`](Self::max_size). The size raises that limit to what the values need, and for
    /// a file without a limit the address space that is reserved. The option is ignored for an
    /// existing map.
    ///
    /// The map takes more memory or disk than the values have: each variable has space for two
    /// values, and in a file for four. A number takes 192 bytes, and 320 in a file; a text of 100
    /// bytes takes 384, and 640 in a file. The values need eight times the size, or for sizes above
    /// 1 MiB 4 MiB and four times the size. A map that may grow no further holds less than `size`
    /// bytes of numbers: a quarter, and a fifth in a file. [`Map::stat`](crate::Map::stat) reports
    /// how many bytes are used and free.
    ///
    /// For a [`Format::Marshal`] map it is the exact size of the section in bytes; the marshalled
    /// Hash must fit, and the section does not grow. An opener on Windows sees the size rounded up
    /// to a page, but the gem reads only the size that it asked for. So set the same size when you
    /// open a named map: the map then writes no more. A file is used in its full length. Opening
    /// fails with [`TooLarge`](crate::ErrorKind::TooLarge) if the section is shorter; only
    /// [`open_or_create`](Self::open_or_create) lengthens a shorter file (on Windows to a multiple
    /// of 64 KiB).
    pub fn size(mut self, bytes: u64) -> Self {
        (self.size, self.sized) = (bytes, true);
        self
    }

    /// Sets to how many bytes of memory or disk a new map may grow.
    ///
    /// The limit is part of the map and holds for every opener. It is raised to what
    /// [`size`](Self::size) needs. By default a named map may grow to 1 GiB, and a map in a file
    /// has no limit. A full map grows while all its users continue; beyond the limit, operations
    /// fail with [`Full`](crate::ErrorKind::Full).
    ///
    /// If an existing file has no limit, the option sets how many bytes of address space this
    /// process reserves for the map. By default that is 64 GiB, or four times the length of the map
    /// or what its [`size`](Self::size) needs if that is more; it is less from the 64th map of a process on, and in 32-bit programs. Beyond it this process gets [`Full`](crate::ErrorKind::Full) and has to
    /// open the map again. For any other existing map the option is ignored.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Sets how long an operation waits for another process that writes, and opening for a map that
    /// another process is creating; 5 s by default, and 1 s for a [`Format::Marshal`] map. A named
    /// [`Lock`](crate::lock::Lock) is waited for as long as its own calls say.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        (self.timeout, self.timed) = (timeout, true);
        self
    }

    /// Sets how long [`open`](Self::open), [`check`](Self::check), [`salvage`](Self::salvage) and
    /// `unlock` wait for a map that does not exist yet; not at all by default.
    ///
    /// The system reports no new names, so it looks every 20 ms.
    ///
    /// ```
    /// # let name = format!("doc-wait.{}", std::process::id());
    /// use mapvar::Map;
    /// use std::time::Duration;
    ///
    /// # let made = name.clone();
    /// # let server = std::thread::spawn(move || Map::options().name(&made).create());
    /// let map = Map::options().name(&name).wait(Duration::from_secs(5)).open()?;
    /// # server.join().unwrap()?;
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    pub fn wait(mut self, at_most: Duration) -> Self {
        self.wait = at_most;
        self
    }

    /// Sets how long the recovery of a file may take when it is opened, after a restart of the
    /// machine or as a copy; by default 5 s, or the [`timeout`](Self::timeout) if that is longer.
    ///
    /// A recovery reads all data of the file, so a map of many gigabytes needs more time. If the
    /// time is up, give or take one value, opening fails with
    /// [`TimedOut`](crate::ErrorKind::TimedOut). Nothing is lost, and the next opening begins anew.
    /// Other openers wait meanwhile, each for its own `timeout`.
    ///
    /// It is also how long a check may take ([`check`](Self::check),
    /// [`Map::check`](crate::Map::check)); by default a
    /// minute, or the `timeout` if that is longer.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.recovery_timeout = Some(timeout);
        self
    }

    /// Opens the map for reading only: the handle has no right to write, and writes nothing; not by
    /// default.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets what opening a file for writing may take back; see [`Recover`].
    pub fn recover(mut self, recover: Recover) -> Self {
        self.recover = recover;
        self
    }

    /// Asserts that no process uses the file by another mount; not by default.
    ///
    /// Two mounts of one file may not share locks: an overlay and its upper layer, or the views of
    /// two containers. A process that opens the file by the second one would believe that it is
    /// alone, and destroy what the users of the first one write. So a file that another mount used
    /// since the machine was started is refused with
    /// [`Unsupported`](crate::ErrorKind::Unsupported), while the processes that the map names may
    /// still run. Processes of another pid namespace may always, since nothing shows their end.
    pub fn take_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
        self
    }

    /// Allows a file on a network drive or on a file system of a program (FUSE, 9p); by default it
    /// is refused with [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// Processes on different machines do not see each other's changes there. A file system of a
    /// program may show a local folder a second time, without its locks.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
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
