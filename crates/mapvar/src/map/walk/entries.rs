//! Iteration over the variables of a map, with their values.

use super::{Found, Walk};
use crate::{Kind, Map, gem::map::Gem, map::store_map::Stored, plain::Captured};
use mapvar_engine::{error::EngineError, handle::Handle, record::read::Seen};
use mapvar_os::{Error, Result};
use serde::de::DeserializeOwned;
use std::{borrow::Cow, fmt, sync::Arc};

/// A variable as [`Map::iter`] found it: name, value and version as of one instant.
///
/// ```
/// # let name = format!("doc-entry.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// use mapvar::Kind;
///
/// map.set("foo", "hello")?;
/// let entry = map.iter().next().expect("one variable")?;
/// assert_eq!((entry.name(), entry.kind()?), ("foo", Kind::Str));
/// assert_eq!(entry.get::<String>()?, "hello");
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    /// The map, in messages.
    object: Arc<str>,
    captured: Captured,
    version: u64,
}

impl Entry {
    /// Returns the variable's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of the value.
    ///
    /// # Errors
    /// [`WrongKind`](mapvar_os::ErrorKind::WrongKind) for a kind that this version does not know.
    pub fn kind(&self) -> Result<Kind> {
        self.captured.stored_kind().map_err(|error| error.during("get variable", self.object()))
    }

    /// Returns the value as a `T`.
    ///
    /// # Errors
    /// [`WrongKind`](mapvar_os::ErrorKind::WrongKind), [`OutOfRange`](mapvar_os::ErrorKind::OutOfRange), [`Corrupt`](mapvar_os::ErrorKind::Corrupt).
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        self.captured.decoded().map_err(|error| error.during("get variable", self.object()))
    }

    /// Returns the number of the value's version.
    ///
    /// It grows with each `set`, and starts again when the variable is removed and created again.
    /// For an [`Atomic`](crate::Atomic) it does not change. For a
    /// [`Format::Marshal`](crate::Format::Marshal) map it is 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn object(&self) -> String {
        format!("{:?} of {}", self.name, self.object)
    }
}

impl Found for Entry {
    fn read(map: &Stored, handle: Handle) -> Result<Option<(Option<Captured>, u64)>, EngineError> {
        match map.inner.store.read(handle, |view| view.capture())? {
            Seen::Value(captured, version) => {
                Ok(Some((Some(map.captured_of(captured?)?), version)))
            }
            Seen::Absent | Seen::Stale => Ok(None),
        }
    }

    fn new(
        name: String,
        object: &Arc<str>,
        (captured, version): (Option<Captured>, u64),
    ) -> Option<Self> {
        Some(Self { name, object: Arc::clone(object), captured: captured?, version })
    }

    fn all(gem: &Gem, prefix: &str) -> Result<Vec<Result<Self>>> {
        let object: Arc<str> = gem.object().into();
        let all = gem.all(prefix)?.into_iter();
        Ok(all
            .map(|(name, captured)| {
                Ok(Self {
                    name,
                    object: Arc::clone(&object),
                    captured: captured?.into(),
                    version: 0,
                })
            })
            .collect())
    }
}

/// An iterator over the variables of a map, in no particular order; from [`Map::iter`].
///
/// It yields an error for each variable that it could not read, and then continues. If it cannot
/// continue, it yields one error for the map, and ends. [`try_next`](Self::try_next) instead fails
/// again as long as it cannot continue, and continues where it failed as soon as it can.
///
/// ```
/// # let name = format!("doc-iterator.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// map.set("car/rpm", 900)?;
/// map.set("car/gear", 2)?;
/// map.set("lap", 7)?;
/// let mut sum = 0;
/// for entry in map.iter().prefix("car/") {
///     sum += entry?.get::<i64>()?;
/// }
/// assert_eq!(sum, 902);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[must_use = "iterators are lazy"]
pub struct Iter<'a>(Walk<'a, Entry>);

impl Iter<'_> {
    /// Leaves out the variables whose names begin otherwise. Their values are not read.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.0.prefix);
        self
    }

    /// Returns the next variable, or `None` at the end.
    ///
    /// An error concerns one variable, behind which the next call continues, or the map. After an
    /// error of the map the next call tries again at the same place: it fails as long as the map
    /// does, and so never reports an end that it has not reached.
    ///
    /// ```
    /// # let name = format!("doc-try-next.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("foo", "hello")?;
    /// let mut iter = map.iter();
    /// while let Some(entry) = iter.try_next()? {
    ///     println!("{} = {}", entry.name(), entry.get::<mapvar::Value>()?);
    /// }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of reading a variable; [`TimedOut`](mapvar_os::ErrorKind::TimedOut) for a gem's map
    /// whose lock was owned by others.
    #[doc(hidden)]
    pub fn try_next(&mut self) -> Result<Option<Entry>> {
        self.0.try_next()
    }
}

impl Iter<'_> {
    /// Makes the next call read the variable of the last error again, if the last call failed for
    /// one; after [`TimedOut`](mapvar_os::ErrorKind::TimedOut), for example, it may succeed then.
    #[doc(hidden)]
    pub fn retry(&mut self) {
        self.0.retry();
    }

    /// As [`Walk::advance`].
    pub(crate) fn advance(&mut self) -> Result<Option<Entry>, (Error, bool)> {
        self.0.advance()
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<Entry>;

    /// Returns the next variable, or an error for one that could not be read.
    ///
    /// After an error the next call continues behind that variable. If it cannot, the error was the
    /// map's, and the iterator ends.
    fn next(&mut self) -> Option<Result<Entry>> {
        self.0.next()
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("map", self.0.map()).finish_non_exhaustive()
    }
}

impl Map {
    /// Returns an iterator over the variables, in no particular order.
    ///
    /// Other processes may set, create and remove variables during the iteration. A variable that
    /// exists all the time is yielded exactly once, with the value that it had when the iterator
    /// read it. For values as of one instant use [`snapshot`](Self::snapshot).
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-iter.{}", std::process::id())).create()?;
    /// map.set("foo", "hello")?;
    /// for entry in map.iter() {
    ///     let entry = entry?;
    ///     println!("{} = {}", entry.name(), entry.get::<mapvar::Value>()?);
    /// }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter(Walk::new(Cow::Borrowed(self)))
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = Result<crate::Entry>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// An iterator that owns the handle.
impl IntoIterator for Map {
    type Item = Result<crate::Entry>;
    type IntoIter = Iter<'static>;

    fn into_iter(self) -> Iter<'static> {
        Iter(Walk::new(Cow::Owned(self)))
    }
}
