//! What a map says about itself, whatever its layout.

use std::time::{Duration, SystemTime};

/// How the variables of a map lie in the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A region of our own: lock-free reads, growth, transactions, durable flushes.
    #[default]
    Store,
    /// The layout of Ruby's gem win32-mmap: one marshalled Hash behind a semaphore, to share
    /// variables with programs that still use the gem. Everything is read and written whole under
    /// that lock; what the gem's peers do to each other they do to us ([`OnClobber`]).
    Marshal,
}

/// What to do when a gem erases variables that this map has set. A gem's object writes all variables
/// that *it* has set, and no others: each of its writes erases what others have made meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnClobber {
    /// Nothing.
    #[default]
    Accept,
    /// Each is put back by this map's next write, and reported by
    /// [`Map::clobbered`](crate::Map::clobbered). A variable that another process removes on purpose
    /// looks the same, and comes back too: only who has set it can remove it for good.
    Reassert,
    /// The next operation on variables does nothing and answers [`ErrorKind::Removed`](crate::ErrorKind::Removed), once, with
    /// their names; reported as well.
    Error,
}

/// What [`Map::clobbered`](crate::Map::clobbered) answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clobbered {
    /// How often a variable of this map was seen to be erased, since it was opened.
    pub count: u64,
    /// Which, since the last call, in the order in which it was seen; the last 1,024 of them.
    pub names: Vec<String>,
}

/// What [`Map::unlock`](crate::MapOptions::unlock) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlocked {
    /// Nobody held the lock.
    WasFree,
    /// Its holder was gone, or it was forced: it is free now.
    Freed,
}

/// How the lock of a gem's map went, for this handle and its clones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStat {
    /// How often it was taken.
    pub taken: u64,
    /// How often its last holder was found to be gone.
    pub recovered: u64,
    /// How often somebody else gave it back while it was held here, as a gem's `close` does.
    pub broken: u64,
    /// Half of the times for which it was held were no longer than this.
    pub median: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// All of them.
    pub longest: Duration,
}

/// What [`Map::stat`](crate::Map::stat) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// How the variables lie in the memory.
    pub layout: Format,
    /// Version of the region's format; of a gem's map 408, for 4.8.
    pub format: u32,
    /// Bytes of values that the map was made for.
    pub size: u64,
    /// Bytes of the region.
    pub region: u64,
    /// Bytes taken by variables, with their names and the spare slots of their values.
    pub used: u64,
    /// Bytes free for more of them, before the map has to grow.
    pub free: u64,
    /// The longest piece of those that is not cut up: room for a large value.
    pub largest_free: u64,
    /// Bytes that the region may grow to; `None` = as far as the disk goes.
    pub max_size: Option<u64>,
    /// Bytes that are neither: header, tables, index, ends of chunks.
    pub overhead: u64,
    /// Variables.
    pub variables: u64,
    /// Whether the map lives in a file.
    pub file: bool,
    /// When it was made; of a gem's map nobody knows, and it is the start of 1970.
    pub created: SystemTime,
    /// The process that made it; it may be long gone, and its number another's. Of a gem's map 0.
    pub creator: u32,
}

impl Stat {
    /// How much of the free room is scattered: 0.0 where it is one piece, near 1.0 where it is
    /// many small ones, which serve small values only.
    #[allow(clippy::cast_precision_loss, reason = "a ratio, for the eye")]
    pub fn fragmentation(&self) -> f64 {
        if self.free == 0 { 0.0 } else { 1.0 - self.largest_free as f64 / self.free as f64 }
    }
}

/// What [`Map::recovery`](crate::Map::recovery) answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Variables that were recovered.
    pub variables: u64,
    /// Variables that the last complete flush had and that are lost, or as an earlier one left them:
    /// not 0 only where the disk did not keep what it had acknowledged.
    pub lost: u64,
    /// Whether the file is damaged so.
    pub damaged: bool,
}
