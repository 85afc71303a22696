//! The map: named variables that processes share, in one of the layouts.

pub(crate) mod store_map;
pub(crate) mod options;
pub(crate) mod open;
mod target;
pub(crate) mod var;
pub(crate) mod atomic;
mod versioned;
pub(crate) mod snapshot;
pub(crate) mod transaction;
pub(crate) mod iter;
pub(crate) mod ephemeral;

use crate::{
    Value,
    gem::map::Gem,
    map::store_map::Stored,
    report::{Clobbered, Format, LockStat, Recovery, Stat},
};
use mapvar_os::{Error, ErrorKind, Origin, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// Named variables in a piece of memory that other processes share: by a name, or by a file.
///
/// A cheap handle: cloning it shares it. `Send` and `Sync`. Reading takes no lock and writes
/// nothing; each operation on one variable is atomic; no process that is killed in the midst of
/// one harms the others.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("test.map");
/// use mapvar::Map;
///
/// let map1 = Map::options().file(&path).size(1024).open_or_create()?;
/// map1.set("foo", "hello")?;
/// map1.set("bar", 77)?;
/// map1.close()?;
///
/// let map2 = Map::options().file(&path).open()?;
/// let foo: String = map2.get("foo")?;
/// let bar: i64 = map2.get("bar")?;
/// assert_eq!((foo.as_str(), bar), ("hello", 77));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Map(pub(crate) Body);

/// The layouts.
#[derive(Clone)]
pub(crate) enum Body {
    Store(Stored),
    Gem(Gem),
}

impl Map {
    /// The map as one of our own layout; where it is a gem's, `remedy` says what to use instead.
    #[inline]
    pub(crate) fn stored(&self, operation: &'static str, remedy: &str) -> Result<&Stored> {
        match &self.0 {
            Body::Store(map) => Ok(map),
            Body::Gem(gem) => {
                Err(Error::new(ErrorKind::Unsupported, operation, gem.object()).detail(remedy))
            }
        }
    }

    /// What opening the map recovered: after a restart of the machine, and of a file that was
    /// copied, the map is as the last complete [`flush`](Self::flush) left it. `None` where there
    /// was nothing to do: the usual case.
    pub fn recovery(&self) -> Option<Recovery> {
        match &self.0 {
            Body::Store(map) => map.recovery(),
            Body::Gem(_) => None,
        }
    }

    /// How the variables lie in the memory.
    pub fn format(&self) -> Format {
        match &self.0 {
            Body::Store(_) => Format::Store,
            Body::Gem(_) => Format::Marshal,
        }
    }

    /// Whether this handle's call made the map or found it.
    pub fn origin(&self) -> Origin {
        match &self.0 {
            Body::Store(map) => map.origin(),
            Body::Gem(gem) => gem.origin(),
        }
    }

    /// Sets a variable, making it where there is none. Any serde type: numbers, `bool`, text,
    /// bytes (`Vec<u8>`) and `None` have kinds of their own, all else is stored as MessagePack
    /// with the names of its fields. The kind may differ from what the variable held.
    ///
    /// When this has returned, every process that reads the variable gets this value or a later
    /// one, whatever happens to this process.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-set.{}", std::process::id())).create()?;
    /// map.set("temperature", 21.5)?;
    /// map.set("name", "pump 3")?;
    /// map.set("limits", (10, 90))?;
    /// assert_eq!(map.value("limits")?.to_string(), "[10, 90]");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName) (1 to 1,023 bytes);
    /// [`Full`](ErrorKind::Full) where the map may not grow, [`NoSpace`](ErrorKind::NoSpace) where
    /// the system has no more, with nothing lost;
    /// [`WrongKind`](ErrorKind::WrongKind) for an [`Atomic`](crate::Atomic) of another kind;
    /// [`TimedOut`](ErrorKind::TimedOut) where who is writing this variable lives but is stopped;
    /// [`ReadOnly`](ErrorKind::ReadOnly).
    #[inline]
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.set(name, value),
            Body::Gem(gem) => gem.set(name, value),
        }
    }

    /// Sets a variable to a [`Value`], keeping the kind and number of its `Pod` and `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn set_value(&self, name: &str, value: &Value) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.set_value(name, value),
            Body::Gem(gem) => gem.set_value(name, value),
        }
    }

    /// The value of a variable. Integers convert with a check of their range; nothing else
    /// converts silently.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`WrongKind`](ErrorKind::WrongKind),
    /// [`OutOfRange`](ErrorKind::OutOfRange), [`Corrupt`](ErrorKind::Corrupt); and where others
    /// rewrite the variable all the time, [`TimedOut`](ErrorKind::TimedOut) or, for a map that was
    /// opened for reading, [`Contended`](ErrorKind::Contended).
    #[inline]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        match &self.0 {
            Body::Store(map) => map.get(name),
            Body::Gem(gem) => gem.get(name),
        }
    }

    /// The value of a variable, or `None` where there is none.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    #[inline]
    pub fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match &self.0 {
            Body::Store(map) => map.find(name),
            Body::Gem(gem) => gem.find(name),
        }
    }

    /// The value of a variable, of whatever kind it is.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Corrupt`](ErrorKind::Corrupt).
    pub fn value(&self, name: &str) -> Result<Value> {
        match &self.0 {
            Body::Store(map) => map.value(name),
            Body::Gem(gem) => gem.value(name),
        }
    }

    /// Whether there is a variable of this name.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), [`Corrupt`](ErrorKind::Corrupt).
    pub fn contains(&self, name: &str) -> Result<bool> {
        match &self.0 {
            Body::Store(map) => map.contains(name),
            Body::Gem(gem) => gem.contains(name),
        }
    }

    /// Removes a variable; answers whether there was one.
    ///
    /// # Errors
    /// [`ReadOnly`](ErrorKind::ReadOnly), [`TimedOut`](ErrorKind::TimedOut),
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn remove(&self, name: &str) -> Result<bool> {
        match &self.0 {
            Body::Store(map) => map.remove(name),
            Body::Gem(gem) => gem.remove(name),
        }
    }

    /// Removes every variable that it finds, one after the other, whatever it holds: those that
    /// others make meanwhile may stay. Answers how many it removed.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove): the first that it met, after it has removed the others.
    pub fn clear(&self) -> Result<u64> {
        match &self.0 {
            Body::Store(map) => map.clear(),
            Body::Gem(gem) => gem.clear(),
        }
    }

    /// How many variables there are, counted by a walk over them.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn len(&self) -> Result<u64> {
        match &self.0 {
            Body::Store(map) => map.len(),
            Body::Gem(gem) => gem.len(),
        }
    }

    /// Whether there is no variable.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes everything that was set before this call survive a power cut, and waits until the
    /// device says so; nothing to do for a map without a file. After a restart the map is as the
    /// last flush left it that was complete: of the processes' own death nothing is lost, flushed
    /// or not. The last handle of a process flushes when it is closed or dropped, if anything was
    /// set since.
    ///
    /// A flush has every transaction whole or not at all. It is no instant: of two sets beside it,
    /// one after the other, it may have the second and not the first.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where the device fails, and at each later flush of this map, by whatever
    /// process: nothing is known of what reached the device, and what the system could not write it
    /// may have thrown away. [`TimedOut`](ErrorKind::TimedOut) where another process flushes, or
    /// writes a variable, and does not go on: nothing is lost, and the next flush does it.
    /// [`ReadOnly`](ErrorKind::ReadOnly).
    pub fn flush(&self) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.flush(),
            Body::Gem(gem) => gem.flush(),
        }
    }

    /// Facts and figures.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn stat(&self) -> Result<Stat> {
        match &self.0 {
            Body::Store(map) => map.stat(),
            Body::Gem(gem) => gem.stat(),
        }
    }

    /// Closes this handle and reports what the system says; the last one of a map in a file flushes
    /// it first, if anything was set since it was flushed. The map stays open for its clones, and
    /// for [`Var`](crate::Var) and [`Atomic`](crate::Atomic) handles, which own one. Dropping a map closes it in silence.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush); [`Io`](ErrorKind::Io) with the system's code. It is closed
    /// nonetheless.
    pub fn close(self) -> Result<()> {
        match self.0 {
            Body::Store(map) => map.close(),
            Body::Gem(gem) => gem.close(),
        }
    }

    /// How long an operation waits for a lock.
    pub fn timeout(&self) -> Duration {
        match &self.0 {
            Body::Store(map) => map.timeout(),
            Body::Gem(gem) => gem.timeout(),
        }
    }

    /// What a gem has erased of what this map has set, where it was opened with
    /// [`OnClobber::Reassert`](crate::OnClobber::Reassert) or `Error`. An erase counts when it is seen: by
    /// any operation on variables.
    pub fn clobbered(&self) -> Clobbered {
        match &self.0 {
            Body::Store(_) => Clobbered::default(),
            Body::Gem(gem) => gem.clobbered(),
        }
    }

    /// How the lock of a gem's map went; `None` for a map of our own layout, which has none.
    pub fn lock_stat(&self) -> Option<LockStat> {
        match &self.0 {
            Body::Store(_) => None,
            Body::Gem(gem) => Some(gem.lock_stat()),
        }
    }

    /// Bytes of values that the map was made for ([`MapOptions::size`](crate::MapOptions::size)); of a
    /// [`Format::Marshal`] those that a payload may take.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Body::Store(map) => map.size(),
            Body::Gem(gem) => gem.size(),
        }
    }

    /// Where the memory of a [`Format::Marshal`] begins in this process, for those who hand it to
    /// foreign code: others change it, and it is gone when the last handle is closed. `None` of a
    /// store, whose memory is no one piece.
    pub fn address(&self) -> Option<usize> {
        match &self.0 {
            Body::Store(_) => None,
            Body::Gem(gem) => Some(gem.address()),
        }
    }

    /// The first `len` bytes of a gem's map as they lie there, variables or not, as the gem's
    /// `read_string` answers them.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond its end; [`TimedOut`](ErrorKind::TimedOut);
    /// [`Unsupported`](ErrorKind::Unsupported) for a map of our own layout: raw bytes have a
    /// [`Section`](crate::Section).
    pub fn read_string(&self, len: usize) -> Result<Vec<u8>> {
        match &self.0 {
            Body::Gem(gem) => gem.read_string(len),
            Body::Store(map) => Err(no_raw("read raw bytes of", map)),
        }
    }

    /// Writes bytes to the start of a gem's map, without a terminator: over its variables, as the
    /// gem's `write_string` does.
    ///
    /// # Errors
    /// Those of [`read_string`](Self::read_string); [`ReadOnly`](ErrorKind::ReadOnly).
    pub fn write_string(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        match &self.0 {
            Body::Gem(gem) => gem.write_string(bytes.as_ref()),
            Body::Store(map) => Err(no_raw("write raw bytes to", map)),
        }
    }
}

impl Map {
    /// A variable as Ruby's `Marshal.dump` would write it. Of a [`Format::Marshal`] the bytes that lie
    /// there, with all that a [`Value`] does not have: a Hash's default, objects that are one.
    ///
    /// [`Format::Marshal`]: crate::Format::Marshal
    ///
    /// # Errors
    /// Those of [`value`](Self::value) and of [`Value::to_marshal`].
    pub fn marshal(&self, name: &str) -> Result<Vec<u8>> {
        match &self.0 {
            Body::Gem(gem) => gem.marshal(name),
            Body::Store(map) => map.value(name)?.to_marshal().map_err(|error| {
                error.during("get variable", format!("{name:?} of {}", map.object()))
            }),
        }
    }
}

/// For messages.
impl Map {
    pub(crate) fn object(&self) -> String {
        match &self.0 {
            Body::Store(map) => map.object(),
            Body::Gem(gem) => gem.object(),
        }
    }

    #[cold]
    pub(crate) fn with_context(&self, operation: &'static str, name: &str, error: Error) -> Error {
        error.during(operation, format!("{name:?} of {}", self.object()))
    }

    #[cold]
    pub(crate) fn absent(&self, operation: &'static str, name: &str) -> Error {
        let error = Error::new(ErrorKind::NotFound, "", "");
        self.with_context(operation, name, error.detail("no variable of this name; `set` makes it"))
    }
}

fn no_raw(operation: &'static str, map: &Stored) -> Error {
    Error::new(ErrorKind::Unsupported, operation, map.object()).detail(
        "only a gem's map (Format::Marshal) has bytes of its own; set a variable to bytes, or use \
         a Section",
    )
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Body::Store(map) => map.fmt(f),
            Body::Gem(gem) => f.debug_tuple("Map").field(&gem.object()).finish(),
        }
    }
}
