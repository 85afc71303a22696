//! Facts that a map reports about itself, in every layout.

use std::time::SystemTime;

/// The layout of a map's variables in memory.
///
/// ```
/// # #[cfg(feature = "gem")] {
/// # let name = format!("doc-format.{}", std::process::id());
/// use mapvar::{Format, Map};
///
/// let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// map.set("foo", "hello")?;
/// // An existing map is recognized.
/// let opened = Map::open(&name)?;
/// assert_eq!(opened.format(), Format::Marshal);
/// assert_eq!(opened.get::<String>("foo")?, "hello");
/// # }
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// mapvar's own layout: lock-free reads, growth, transactions, durable flushes.
    #[default]
    Store,
    /// The layout of Ruby's gem win32-mmap: one marshalled Hash behind a lock.
    ///
    /// It shares variables with programs that use the gem. Each operation copies the whole Hash
    /// under that lock, and the map has a fixed size. A program that uses the gem can erase
    /// variables that this map has set (`gem::OnClobber`). A program that is killed while it writes
    /// can leave a damaged Hash; operations then fail with [`Corrupt`](crate::ErrorKind::Corrupt)
    /// until [`Map::clear`](crate::Map::clear). The cargo feature `gem` is needed.
    Marshal,
}

/// The sizes, the layout and the origin of a map; from [`Map::stat`](crate::Map::stat).
///
/// ```
/// # let name = format!("doc-stat.{}", std::process::id());
/// let map = mapvar::Map::options().name(&name).size(2000).create()?;
/// map.set("foo", "hello")?;
/// let stat = map.stat()?;
/// assert_eq!((stat.size, stat.variables, stat.file), (2000, 1, false));
/// assert!(stat.used > 0 && stat.used + stat.free <= stat.region);
/// assert!((0.0..=1.0).contains(&stat.fragmentation()));
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The layout of the variables in memory.
    pub layout: Format,
    /// The version of the format; 408 for a [`Format::Marshal`] map, whose version is 4.8.
    pub format: u32,
    /// Bytes of values for which the map was created; see
    /// [`MapOptions::size`](crate::MapOptions::size).
    pub size: u64,
    /// Bytes of shared memory that the map takes: the length of its file.
    pub region: u64,
    /// Bytes of disk or memory that the system has allocated for the map, as far as it tells;
    /// otherwise `region`. A sparse or compressed file takes fewer bytes than its length. Windows
    /// does not tell of a map without a file.
    pub allocated: u64,
    /// Bytes allocated to variables, including their names and spare space for new values.
    pub used: u64,
    /// Bytes that are free for variables before the map has to grow.
    pub free: u64,
    /// The longest contiguous part of `free` that can take one large value, in bytes.
    pub largest_free: u64,
    /// Bytes to which `region` may grow; `None` = the disk is the limit.
    pub max_size: Option<u64>,
    /// Bytes that are neither used nor free: header, tables, index, unusable remainders.
    pub overhead: u64,
    /// The number of variables.
    pub variables: u64,
    /// Whether the map is in a file.
    pub file: bool,
    /// Whether the disk failed at a flush. Every later flush fails, in every process, since the
    /// system may have dropped what it could not write. [`MapOptions::salvage`] saves the variables
    /// into another file.
    ///
    /// [`MapOptions::salvage`]: crate::MapOptions::salvage
    pub flush_failed: bool,
    /// When the map was created; the start of 1970 for a [`Format::Marshal`] map, which does not
    /// record it.
    pub created: SystemTime,
    /// The id of the process that created the map; the system may have given the id to another
    /// process since. 0 for a [`Format::Marshal`] map.
    pub creator: u32,
}

impl Stat {
    /// Returns how fragmented the free space is.
    ///
    /// 0.0 means one piece. Near 1.0 means many small pieces, which have space for small values
    /// only.
    #[allow(clippy::cast_precision_loss, reason = "a ratio, for the eye")]
    pub fn fragmentation(&self) -> f64 {
        if self.free == 0 { 0.0 } else { 1.0 - self.largest_free as f64 / self.free as f64 }
    }
}

/// The result of the recovery that opening a map ran; from [`Map::recovery`](crate::Map::recovery).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("test.map");
/// let map = mapvar::Map::options().file(&path).open_or_create()?;
/// if map.recovery().is_some_and(|recovery| recovery.damaged) {
///     println!("the disk lost data that a flush had written");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The number of variables that were recovered.
    pub variables: u64,
    /// The number of variables of the last complete flush that are lost, or that have the value of
    /// an earlier flush. It is 0 unless the disk lost data that it had acknowledged, or the file is a
    /// torn copy.
    pub lost: u64,
    /// Whether such data is missing.
    pub damaged: bool,
    /// The number of variables with changes that were in the file but in no complete flush: the
    /// recovery took them back. After a power cut it counts only what had reached the file.
    pub rolled_back: u64,
    /// Whether the file is a torn copy: it was copied while it was in use, and lacks variables of
    /// its last complete flush.
    pub torn: bool,
}

impl Recovery {
    /// Returns whether anything is missing or older than it was.
    pub fn lost_anything(&self) -> bool {
        self.damaged || self.lost > 0 || self.rolled_back > 0
    }
}

/// What opening a file for writing may take back; for [`MapOptions::recover`].
///
/// Opening for reading never changes the file, whatever this says. [`Never`](Self::Never) counts
/// for it too: the copy in memory that a reader gets otherwise shows no later change.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("test.map");
/// use mapvar::{Map, Recover};
///
/// let map = Map::options().file(&path).recover(Recover::AcceptLoss).open_or_create()?;
/// # assert_eq!(map.recovery(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`MapOptions::recover`]: crate::MapOptions::recover
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recover {
    /// A file that has to be recovered is refused with
    /// [`NeedsRecovery`](crate::ErrorKind::NeedsRecovery).
    Never,
    /// After a restart of the machine, what no flush had stored. A copy is refused with
    /// [`NeedsRecovery`](crate::ErrorKind::NeedsRecovery) if it is torn, or if it was made since
    /// the machine was started and has changes that no flush contains.
    #[default]
    AfterRestart,
    /// Whatever the last complete flush does not contain, of copies too.
    AcceptLoss,
}
