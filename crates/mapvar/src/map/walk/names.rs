//! Iteration over the names of variables.

use super::{Found, Walk};
use crate::{Map, gem::map::Gem, map::store_map::Stored, plain::Captured};
use mapvar_engine::{error::EngineError, handle::Handle, record::read::Seen};
use mapvar_os::Result;
use std::{borrow::Cow, fmt, sync::Arc};

impl Found for String {
    fn read(map: &Stored, handle: Handle) -> Result<Option<(Option<Captured>, u64)>, EngineError> {
        match map.inner.store.read(handle, |_| ())? {
            Seen::Value((), version) => Ok(Some((None, version))),
            Seen::Absent | Seen::Stale => Ok(None),
        }
    }

    fn new(name: String, _: &Arc<str>, _: (Option<Captured>, u64)) -> Option<Self> {
        Some(name)
    }

    fn all(gem: &Gem, prefix: &str) -> Result<Vec<Result<Self>>> {
        Ok(gem.names(prefix)?.into_iter().map(Ok).collect())
    }
}

/// An iterator over the names of a map's variables, in no particular order; from [`Map::names`].
///
/// It copies no value. Errors are those of [`Iter`](crate::Iter).
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-names.{}", std::process::id())).create()?;
/// map.set("car/rpm", 900)?;
/// map.set("car/gear", 2)?;
/// map.set("lap", 7)?;
/// assert_eq!(map.names().prefix("car/").sorted()?, ["car/gear", "car/rpm"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[must_use = "iterators are lazy"]
pub struct Names<'a>(Walk<'a, String>);

impl Names<'_> {
    /// Returns the same iterator with a handle of its own, which borrows nothing.
    #[doc(hidden)]
    pub fn into_owned(self) -> Names<'static> {
        Names(self.0.into_owned())
    }

    /// Makes the next call read the variable of the last error again, as
    /// [`Iter::retry`](crate::Iter::retry).
    #[doc(hidden)]
    pub fn retry(&mut self) {
        self.0.retry();
    }

    /// Leaves out the names that begin otherwise.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.0.prefix);
        self
    }

    /// Returns the next name, or `None` at the end; fails as [`Iter::try_next`](crate::Iter::try_next).
    ///
    /// # Errors
    /// Those of [`Iter::try_next`](crate::Iter::try_next).
    #[doc(hidden)]
    pub fn try_next(&mut self) -> Result<Option<String>> {
        self.0.try_next()
    }

    /// Returns all names, sorted by their bytes.
    ///
    /// # Errors
    /// Those of [`try_next`](Self::try_next); the first one ends the walk.
    pub fn sorted(mut self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        while let Some(name) = self.try_next()? {
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Iterator for Names<'_> {
    type Item = Result<String>;

    /// Returns the next name, or an error, as [`Iter`](crate::Iter) does.
    fn next(&mut self) -> Option<Result<String>> {
        self.0.next()
    }
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("map", self.0.map()).finish_non_exhaustive()
    }
}

impl Map {
    /// Returns whether there are no variables.
    ///
    /// # Errors
    /// Those of [`count`](Self::count).
    pub fn is_empty(&self) -> Result<bool> {
        match self.count_now()? {
            Some(count) => Ok(count == 0),
            // The first variable is found sooner than all are counted.
            None => Ok(self.names().try_next()?.is_none()),
        }
    }

    /// Returns an iterator over the names of the variables, in no particular order, which copies no
    /// values.
    pub fn names(&self) -> Names<'_> {
        Names(Walk::new(Cow::Borrowed(self)))
    }
}
