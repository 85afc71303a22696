//! Facts that a map reports about itself, in every layout, and the settings for the gem's layout.

use std::time::{Duration, SystemTime};

/// The layout of a map's variables in memory.
///
/// ```
/// # let name = format!("doc-format.{}", std::process::id());
/// use mapvar::{Format, Map};
///
/// let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// map.set("foo", "hello")?;
/// // An existing map is recognized.
/// let opened = Map::open(&name)?;
/// assert_eq!(opened.format(), Format::Marshal);
/// assert_eq!(opened.get::<String>("foo")?, "hello");
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
    /// variables that this map has set ([`OnClobber`]). A program that is killed while it writes
    /// can leave a damaged Hash; operations then fail with [`Corrupt`](crate::ErrorKind::Corrupt)
    /// until [`Map::clear`](crate::Map::clear).
    Marshal,
}

/// The reaction of a [`Format::Marshal`] map when another program erases its variables.
///
/// An object of Ruby's gem writes all variables that *it* has set, and no others. So each of its
/// writes erases the variables that other programs have created meanwhile.
///
/// ```
/// # let name = format!("doc-clobber.{}", std::process::id());
/// use mapvar::{Format, Map, OnClobber};
///
/// let options = Map::options().name(&name).format(Format::Marshal);
/// let map = options.clone().on_clobber(OnClobber::Reassert).create()?;
/// map.set("foo", "hello")?;
///
/// // Another program erases it, and the next write of this map restores it.
/// let other = options.open()?;
/// other.remove("foo")?;
/// map.set("bar", 77)?;
/// assert_eq!(other.get::<String>("foo")?, "hello");
/// assert_eq!(map.clobbered()?.names, ["foo"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnClobber {
    /// The map does nothing, and does not detect erased variables.
    #[default]
    Accept,
    /// The next write of this map restores them, and [`Map::clobbered`](crate::Map::clobbered)
    /// reports them. A variable that another process removes on purpose is restored too: only the
    /// map that has set it can remove it for good.
    Reassert,
    /// The next operation on variables does nothing and fails once with
    /// [`ErrorKind::TakenAway`](crate::ErrorKind::TakenAway) and their names.
    /// [`Map::clobbered`](crate::Map::clobbered) reports them as well.
    Error,
}

/// The variables of a map that another program has erased; from
/// [`Map::clobbered`](crate::Map::clobbered).
///
/// ```
/// # let name = format!("doc-clobbered-type.{}", std::process::id());
/// use mapvar::{Format, Map, OnClobber};
///
/// let options = Map::options().name(&name).format(Format::Marshal);
/// let map = options.on_clobber(OnClobber::Reassert).create()?;
/// map.set("foo", "hello")?;
/// let clobbered = map.clobbered()?;
/// assert_eq!(clobbered.count, 0, "erased: {:?}", clobbered.names);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clobbered {
    /// How many erasures were detected since the map was opened.
    pub count: u64,
    /// The names that were erased since the last call, in the order of detection; the last 1,024.
    pub names: Vec<String>,
}

/// The outcome of [`MapOptions::unlock`](crate::MapOptions::unlock).
///
/// ```
/// # let name = format!("doc-unlocked.{}", std::process::id());
/// # use mapvar::{Format, Map, Unlocked};
/// # let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// match Map::options().name(&name).unlock(false)? {
///     Unlocked::Freed => println!("freed the lock of a dead process"),
///     _ => println!("the lock was free"),
/// }
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlocked {
    /// The lock was free already.
    WasFree,
    /// The lock is free now: its owner was dead, or the unlock was forced.
    Freed,
}

/// Statistics of the lock of a [`Format::Marshal`] map, for one handle and its clones; from
/// [`Map::lock_stat`](crate::Map::lock_stat).
///
/// ```
/// # let name = format!("doc-lock-stat.{}", std::process::id());
/// use mapvar::{Format, Map};
///
/// let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// map.set("foo", "hello")?;
/// let stat = map.lock_stat()?.expect("a Format::Marshal map has a lock");
/// assert!(stat.taken > 0 && stat.median <= stat.longest);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStat {
    /// How often this handle has acquired and released the lock.
    pub taken: u64,
    /// How often the previous owner was found dead.
    pub recovered: u64,
    /// How often another program released the lock while this handle held it, as the gem's `close`
    /// does. On Windows only.
    pub broken: u64,
    /// The median of the times for which the lock was held.
    pub median: Duration,
    /// The 99th percentile of those times.
    pub p99: Duration,
    /// The longest of those times.
    pub longest: Duration,
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
