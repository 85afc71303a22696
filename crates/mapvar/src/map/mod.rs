//! The map: named variables that processes share, in one of two layouts.

pub(crate) mod store_map;
pub(crate) mod options;
pub(crate) mod open;
mod target;
pub(crate) mod versioned;
pub(crate) mod var;
pub(crate) mod atomic;
pub(crate) mod snapshot;
pub(crate) mod transaction;
pub(crate) mod walk;
pub(crate) mod ephemeral;
pub(crate) mod plain;
#[cfg(feature = "gem")]
pub(crate) mod gem;

use crate::{
    Kind, Value,
    gem::map::Gem,
    map::store_map::Stored,
    report::{Format, Recovery, Stat},
};
use mapvar_os::{Error, ErrorKind, Origin, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// Named variables in memory that processes share by a name or by a file.
///
/// A `Map` is a handle, `Send` and `Sync`; a clone is cheap and shares it. Each operation on one
/// variable is atomic. Reading takes no lock and writes nothing, unless other writers change the
/// variable during eight attempts. A process that is killed during an operation does no harm to the
/// others.
///
/// [`Map::options`] creates or opens a map, [`Map::open`] opens one by its name.
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

/// The map in one of the layouts.
#[derive(Clone)]
pub(crate) enum Body {
    Store(Stored),
    Gem(Gem),
}

impl Map {
    /// Returns the map if it is of mapvar's own layout. For a gem map it fails with `Unsupported`;
    /// `remedy` names an alternative.
    #[inline]
    pub(crate) fn stored(&self, operation: &'static str, remedy: &str) -> Result<&Stored> {
        match &self.0 {
            Body::Store(map) => Ok(map),
            Body::Gem(gem) => {
                Err(Error::new(ErrorKind::Unsupported, operation, gem.object()).detail(remedy))
            }
        }
    }

    /// Returns what opening the map recovered; `None` if there was nothing to recover, which is
    /// usual.
    ///
    /// The first opener for writing recovers a map in a file after a restart of the machine, a copy of
    /// a file, and a file whose disk failed or was removed meanwhile. The map is then as the last complete [`flush`](Self::flush) left it, and
    /// what was set after that flush is lost. An opener for reading gets such a state in its own
    /// memory, and leaves the file as it is. Its handle never sees a change; open the map again to
    /// see what a process that opened the file for writing has set. [`recover`](crate::MapOptions::recover) says what may
    /// be taken back.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("test.map");
    /// let map = mapvar::Map::options().file(&path).open_or_create()?;
    /// if let Some(recovery) = map.recovery() {
    ///     println!("{} variables recovered, {} lost", recovery.variables, recovery.lost);
    /// }
    /// # assert_eq!(map.recovery(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovery(&self) -> Option<Recovery> {
        match &self.0 {
            Body::Store(map) => map.recovery(),
            Body::Gem(_) => None,
        }
    }

    /// Returns the layout of the variables in memory.
    pub fn format(&self) -> Format {
        match &self.0 {
            Body::Store(_) => Format::Store,
            Body::Gem(_) => Format::Marshal,
        }
    }

    /// Returns whether this handle's call created the map or opened an existing one.
    ///
    /// ```
    /// # let name = format!("doc-origin.{}", std::process::id());
    /// use mapvar::{Map, Origin};
    ///
    /// let first = Map::options().name(&name).open_or_create()?;
    /// let second = Map::options().name(&name).open_or_create()?;
    /// assert_eq!((first.origin(), second.origin()), (Origin::Created, Origin::Opened));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    pub fn origin(&self) -> Origin {
        match &self.0 {
            Body::Store(map) => map.origin(),
            Body::Gem(gem) => gem.origin(),
        }
    }

    /// Sets a variable, and creates it if there is none.
    ///
    /// The value is of any serde type. [`Value`](crate::Value#from-a-type-to-a-kind) has the kind of
    /// each. The kind may differ from the kind that the variable had.
    ///
    /// What is set reads back equal through the same type. A value that would not is refused, and
    /// the variable keeps the old one.
    ///
    /// After this call has returned, every process that reads the variable gets this value or a
    /// later one, whatever happens to this process. To make it survive a power cut, call
    /// [`flush`](Self::flush).
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-set.{}", std::process::id())).create()?;
    /// map.set("temperature", 21.5)?;
    /// map.set("name", "pump 3")?;
    /// map.set("limits", (10, 90))?;
    /// assert_eq!(map.get::<(i64, i64)>("limits")?, (10, 90));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName): a name has 1 to 1,023 bytes, and the first is not
    /// zero. [`Full`](ErrorKind::Full) if the map may not grow, and [`NoSpace`](ErrorKind::NoSpace)
    /// if the system has no more memory or disk; the variable keeps its value.
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) and [`OutOfRange`](ErrorKind::OutOfRange) for
    /// a value that would not read back.
    /// [`WrongKind`](ErrorKind::WrongKind) for an [`Atomic`](crate::Atomic) of another kind.
    /// [`TimedOut`](ErrorKind::TimedOut) if a process that is writing this variable is alive but
    /// stopped. [`TooLarge`](ErrorKind::TooLarge) if the value does not fit a [`Format::Marshal`]
    /// map. [`ReadOnly`](ErrorKind::ReadOnly).
    #[inline]
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.set(name, value),
            Body::Gem(gem) => gem.set(name, value),
        }
    }

    /// Returns the value of a variable.
    ///
    /// An integer converts to any integer type that its value fits, and to a float that holds it
    /// exactly. A float is rounded to an `f32`. No other value converts to another kind.
    ///
    /// ```
    /// # let name = format!("doc-get.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// use mapvar::ErrorKind;
    ///
    /// map.set("bar", 300)?;
    /// assert_eq!(map.get::<u16>("bar")?, 300);
    /// assert_eq!(map.get::<u8>("bar").unwrap_err().kind(), ErrorKind::OutOfRange);
    /// assert_eq!(map.get::<f64>("bar")?, 300.0);
    /// assert_eq!(map.get::<bool>("bar").unwrap_err().kind(), ErrorKind::WrongKind);
    /// assert_eq!(map.get::<u8>("foo").unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), [`NotFound`](ErrorKind::NotFound),
    /// [`WrongKind`](ErrorKind::WrongKind), [`OutOfRange`](ErrorKind::OutOfRange),
    /// [`Corrupt`](ErrorKind::Corrupt). If writers change the variable without a pause,
    /// [`TimedOut`](ErrorKind::TimedOut), or [`Contended`](ErrorKind::Contended) for a map that was
    /// opened for reading.
    #[inline]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        match &self.0 {
            Body::Store(map) => map.get(name),
            Body::Gem(gem) => gem.get(name),
        }
    }

    /// Returns the value of a variable, or `None` if there is no such variable.
    ///
    /// ```
    /// # let name = format!("doc-find.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("foo", "hello")?;
    /// assert_eq!(map.find::<String>("foo")?.as_deref(), Some("hello"));
    /// assert_eq!(map.find::<String>("bar")?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
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

    /// Returns the value of a variable, or `default` if there is no such variable.
    ///
    /// ```
    /// # let name = format!("doc-get-or.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// assert_eq!(map.get_or("limit", 90)?, 90);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    #[inline]
    pub fn get_or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T> {
        Ok(self.find(name)?.unwrap_or(default))
    }

    /// Returns the kind of a variable as it is stored: [`Kind::Plain`](crate::Kind::Plain) for a
    /// plain struct, whose [`Value`](crate::Value) is a dictionary.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn kind(&self, name: &str) -> Result<Kind> {
        match &self.0 {
            Body::Store(map) => {
                let number = map.kind(name)?;
                Kind::of(number).ok_or_else(|| {
                    let error =
                        Error::new(ErrorKind::WrongKind, "get variable", map.variable(name));
                    error.detail("it is of a kind that this version does not know")
                })
            }
            Body::Gem(gem) => Ok(gem.get::<Value>(name)?.kind()),
        }
    }

    /// Returns whether there is a variable of this name.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), [`Corrupt`](ErrorKind::Corrupt).
    pub fn contains(&self, name: &str) -> Result<bool> {
        match &self.0 {
            Body::Store(map) => map.contains(name),
            Body::Gem(gem) => gem.contains(name),
        }
    }

    /// Removes a variable; returns whether there was one.
    ///
    /// ```
    /// # let name = format!("doc-remove.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("foo", "hello")?;
    /// assert!(map.remove("foo")?);
    /// assert!(!map.remove("foo")?);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), [`ReadOnly`](ErrorKind::ReadOnly),
    /// [`TimedOut`](ErrorKind::TimedOut), [`Corrupt`](ErrorKind::Corrupt).
    pub fn remove(&self, name: &str) -> Result<bool> {
        match &self.0 {
            Body::Store(map) => map.remove(name),
            Body::Gem(gem) => gem.remove(name),
        }
    }

    /// Removes all variables, one after the other; returns how many it removed.
    ///
    /// Variables that other processes create meanwhile may stay. A [`Format::Marshal`] map is
    /// replaced as a whole by an empty one, also if it holds raw bytes or a damaged Hash.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove). After an error it continues with the other variables, and
    /// then returns the first error. At the second [`TimedOut`](ErrorKind::TimedOut) it ends, since a
    /// process that is stopped in a transaction holds up many variables.
    pub fn clear(&self) -> Result<u64> {
        match &self.0 {
            Body::Store(map) => map.clear(),
            Body::Gem(gem) => gem.clear(),
        }
    }

    /// Returns the number of variables.
    ///
    /// Its time does not grow with the number, with these exceptions. While a process is stopped in
    /// an insertion, a removal or a transaction, it reads all variables. After the death of a process
    /// that was removing a variable, or owned an ephemeral one, it does so until a count by a handle
    /// that may write meets no other insertion or removal.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn count(&self) -> Result<u64> {
        match &self.0 {
            Body::Store(map) => map.count(),
            Body::Gem(gem) => gem.count(),
        }
    }

    /// Returns the number of variables, unless that needs a walk over them.
    fn count_now(&self) -> Result<Option<u64>> {
        match &self.0 {
            Body::Store(map) => map.count_now(),
            Body::Gem(gem) => gem.count().map(Some),
        }
    }

    /// Makes every value that was set before this call survive a power cut.
    ///
    /// It waits until the device confirms the write, and does nothing for a map without a file.
    /// After a restart of the machine, the map is as the last complete flush left it. The death of
    /// a process loses nothing, flushed or not. The last handle of a process flushes when it is
    /// closed or dropped, if anything was set since the last flush.
    ///
    /// A flush contains each transaction as a whole, or not at all. It is not one instant: if one
    /// thread sets two variables during the flush, the flush may contain the second set and not the
    /// first.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("test.map");
    /// let map = mapvar::Map::options().file(&path).open_or_create()?;
    /// map.set("foo", "hello")?;
    /// map.flush()?; // "foo" survives a power cut from here on
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) or [`NoSpace`](ErrorKind::NoSpace) if the device fails
    /// ([`Error::is_of_device`]); every later flush of this map, by any process, then fails too,
    /// because the system may have discarded data that it could not write.
    /// [`salvage`](crate::MapOptions::salvage) saves the variables into another file. Any other
    /// error, for example [`Interrupted`](ErrorKind::Interrupted) or
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) in a sandbox, is one of this call alone.
    /// [`TimedOut`](ErrorKind::TimedOut) if another process stops while it flushes or writes a
    /// variable; nothing is lost, and the next flush writes it. [`ReadOnly`](ErrorKind::ReadOnly).
    /// [`NameRemoved`](ErrorKind::NameRemoved), as [`check_name`](Self::check_name) reports it,
    /// after the flush is complete.
    pub fn flush(&self) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.flush(),
            Body::Gem(gem) => gem.flush(),
        }
    }

    /// Checks that other processes still find this map under its path or name.
    ///
    /// On Unix a program can remove or replace a file in use: by `rm`, by `mv` of another file onto
    /// it, or an editor by saving. This handle then works on, but later openers find another map
    /// or none, and what it sets is gone with its last user. [`flush`](Self::flush),
    /// [`stat`](Self::stat), [`close`](Self::close), and every 100 ms each [`Watch`](crate::Watch)
    /// and whatever takes a [`Lock`](crate::lock::Lock), report that by the same error. `get` and `set` do
    /// not check: a program that only calls these should call this function from time to time.
    ///
    /// It takes two system calls. After the error the variables can still be read, and so be copied
    /// to the map that a new `open` finds.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("test.map");
    /// let map = mapvar::Map::options().file(&path).open_or_create()?;
    /// map.check_name()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NameRemoved`](ErrorKind::NameRemoved).
    pub fn check_name(&self) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.check_name(),
            Body::Gem(gem) => gem.check_name(),
        }
    }

    /// Returns the sizes, the layout and the origin of the map.
    ///
    /// It counts the variables, so its time grows with their number.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); [`NameRemoved`](ErrorKind::NameRemoved), as
    /// [`check_name`](Self::check_name) reports it.
    pub fn stat(&self) -> Result<Stat> {
        match &self.0 {
            Body::Store(map) => map.stat(),
            Body::Gem(gem) => gem.stat(),
        }
    }

    /// Closes this handle and reports errors, which dropping the map ignores.
    ///
    /// The last handle of a map in a file flushes it first, if anything was set since the last
    /// flush. The map stays open for clones of the handle, and for objects that own a clone, such
    /// as [`Var`](crate::Var) and [`Atomic`](crate::Atomic).
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush); [`NameRemoved`](ErrorKind::NameRemoved) if the handle is for
    /// writing; [`Io`](ErrorKind::Io) with the system's error code. The handle is closed in any
    /// case.
    pub fn close(self) -> Result<()> {
        match self.0 {
            Body::Store(map) => map.close(),
            Body::Gem(gem) => gem.close(),
        }
    }

    /// Returns how long an operation waits for another process, as
    /// [`MapOptions::timeout`](crate::MapOptions::timeout) set it.
    #[doc(hidden)]
    pub fn timeout(&self) -> Duration {
        match &self.0 {
            Body::Store(map) => map.timeout(),
            Body::Gem(gem) => gem.timeout(),
        }
    }

    /// Flushes a map in a file, if this process may write to it and anything was set since the last
    /// flush, as [`close`](Self::close) does.
    #[doc(hidden)]
    pub fn flush_if_dirty(&self) -> Result<()> {
        match &self.0 {
            Body::Store(map) => map.flush_if_dirty(),
            Body::Gem(gem) => gem.flush_if_dirty(),
        }
    }

    /// Returns for how many bytes of values the map was created
    /// ([`MapOptions::size`](crate::MapOptions::size)); for a [`Format::Marshal`] map, how many
    /// bytes the marshalled Hash may take.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Body::Store(map) => map.size(),
            Body::Gem(gem) => gem.size(),
        }
    }
}

/// Helpers for error messages.
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

/// The map as messages name it: `map "alpha"`, or `map file "x"`.
impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object())
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Body::Store(map) => map.fmt(f),
            Body::Gem(gem) => f.debug_tuple("Map").field(&gem.object()).finish(),
        }
    }
}
