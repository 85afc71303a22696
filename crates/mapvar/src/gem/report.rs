//! What a map of the gem reports, and its reaction to other programs.

use std::time::Duration;

/// The reaction of a [`Format::Marshal`](crate::Format::Marshal) map when another program erases its variables.
///
/// An object of Ruby's gem writes all variables that *it* has set, and no others. So each of its
/// writes erases the variables that other programs have created meanwhile.
///
/// ```
/// # let name = format!("doc-clobber.{}", std::process::id());
/// use mapvar::{Format, Map, gem::OnClobber};
///
/// let options = Map::options().name(&name).format(Format::Marshal);
/// let map = options.clone().gem(|gem| gem.on_clobber(OnClobber::Reassert)).create()?;
/// map.set("foo", "hello")?;
///
/// // Another program erases it, and the next write of this map restores it.
/// let other = options.open()?;
/// other.remove("foo")?;
/// map.set("bar", 77)?;
/// assert_eq!(other.get::<String>("foo")?, "hello");
/// assert_eq!(map.as_gem().expect("a gem's map").clobbered()?.names, ["foo"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnClobber {
    /// The map does nothing, and does not detect erased variables.
    #[default]
    Accept,
    /// The next write of this map restores them, and [`GemMap::clobbered`](crate::gem::GemMap::clobbered)
    /// reports them. A variable that another process removes on purpose is restored too: only the
    /// map that has set it can remove it for good.
    Reassert,
    /// The next operation on variables does nothing and fails once with
    /// [`ErrorKind::TakenAway`](crate::ErrorKind::TakenAway) and their names.
    /// [`GemMap::clobbered`](crate::gem::GemMap::clobbered) reports them as well.
    Error,
}

/// The variables of a map that another program has erased; from
/// [`GemMap::clobbered`](crate::gem::GemMap::clobbered).
///
/// ```
/// # let name = format!("doc-clobbered-type.{}", std::process::id());
/// use mapvar::{Format, Map, gem::OnClobber};
///
/// let options = Map::options().name(&name).format(Format::Marshal);
/// let map = options.gem(|gem| gem.on_clobber(OnClobber::Reassert)).create()?;
/// map.set("foo", "hello")?;
/// let clobbered = map.as_gem().expect("a gem's map").clobbered()?;
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

/// Whose lock [`MapOptions::unlock`](crate::MapOptions::unlock) frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unlock {
    /// That of a process that is known to be dead.
    Abandoned,
    /// On Windows also one that a living program may own.
    Any,
}

/// The outcome of [`MapOptions::unlock`](crate::MapOptions::unlock).
///
/// ```
/// # let name = format!("doc-unlocked.{}", std::process::id());
/// # use mapvar::{Format, Map, gem::{Unlock, Unlocked}};
/// # let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// match Map::options().name(&name).unlock(Unlock::Abandoned)? {
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

/// Statistics of the lock of a [`Format::Marshal`](crate::Format::Marshal) map, for one handle and its clones; from
/// [`GemMap::lock_stat`](crate::gem::GemMap::lock_stat).
///
/// ```
/// # let name = format!("doc-lock-stat.{}", std::process::id());
/// use mapvar::{Format, Map};
///
/// let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// map.set("foo", "hello")?;
/// let stat = map.as_gem().expect("a gem's map").lock_stat()?;
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
