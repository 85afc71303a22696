//! Iteration over the variables of a map.

use crate::{
    Kind, Map, Value, gem::map::Gem, map::Body, map::store_map::Stored, name::is_reserved,
    value::codec,
};
use mapvar_engine::{
    error::EngineError, record::read::Seen, space::walk::Cursor, value::OwnedValue,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::{borrow::Cow, fmt};

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
    captured: OwnedValue,
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
    /// [`ErrorKind::WrongKind`] for a kind that this version does not know.
    pub fn kind(&self) -> Result<Kind> {
        self.captured.kind().map_err(|error| error.during("get variable", self.object()))
    }

    /// Returns the value, of any kind.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn value(&self) -> Result<Value> {
        Value::of(self.captured.clone())
            .map_err(|error| error.during("get variable", self.object()))
    }

    /// Returns the value as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`], [`ErrorKind::OutOfRange`], [`ErrorKind::Corrupt`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        codec::decode(self.captured.clone())
            .map_err(|error| error.during("get variable", self.object()))
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
        format!("{:?}", self.name)
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
/// map.set("foo", "hello")?;
/// map.set("bar", 77)?;
/// let mut names = Vec::new();
/// for entry in &map {
///     names.push(entry?.name().to_owned());
/// }
/// names.sort();
/// assert_eq!(names, ["bar", "foo"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Iter<'a> {
    map: Cow<'a, Map>,
    walk: Walk<'a>,
    /// Whether `next` has yielded an error of the map.
    ended: bool,
}

enum Walk<'a> {
    Store {
        map: Cow<'a, Stored>,
        cursor: Cursor,
        failed_at: Option<Cursor>,
        /// Where the last step began, if it failed.
        before: Option<Cursor>,
    },
    Gem {
        gem: Cow<'a, Gem>,
        /// A gem's map is read as a whole; `None` until a read has succeeded.
        entries: Option<std::vec::IntoIter<Result<Entry>>>,
    },
}

impl<'a> Iter<'a> {
    pub(crate) fn new(map: Cow<'a, Map>) -> Self {
        let of =
            |map| Walk::Store { map, cursor: Cursor::default(), failed_at: None, before: None };
        let within = |gem| Walk::Gem { gem, entries: None };
        let walk = match &map {
            Cow::Borrowed(Map(Body::Store(map))) => of(Cow::Borrowed(map)),
            Cow::Owned(Map(Body::Store(map))) => of(Cow::Owned(map.clone())),
            Cow::Borrowed(Map(Body::Gem(gem))) => within(Cow::Borrowed(gem)),
            Cow::Owned(Map(Body::Gem(gem))) => within(Cow::Owned(gem.clone())),
        };
        Self { map, walk, ended: false }
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
    ///     println!("{} = {}", entry.name(), entry.value()?);
    /// }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of reading a variable; [`ErrorKind::TimedOut`] for a gem's map whose lock was owned by
    /// others.
    pub fn try_next(&mut self) -> Result<Option<Entry>> {
        self.advance().map_err(|(error, _)| error)
    }

    /// Makes the next call read the variable of the last error again, if the last call failed for
    /// one; after [`TimedOut`](ErrorKind::TimedOut), for example, it may succeed then.
    pub fn retry(&mut self) {
        if let Walk::Store { cursor, before: Some(before), failed_at, .. } = &mut self.walk {
            (*cursor, *failed_at) = (*before, None);
        }
    }

    /// Fails with the error, and whether the iterator can continue behind it.
    pub(crate) fn advance(&mut self) -> Result<Option<Entry>, (Error, bool)> {
        let (map, cursor, failed_at, before) = match &mut self.walk {
            Walk::Gem { gem, entries } => {
                let entries = match entries {
                    Some(entries) => entries,
                    None => entries.insert(read(gem).map_err(|error| (error, false))?),
                };
                return entries.next().transpose().map_err(|error| (error, true));
            }
            Walk::Store { map, cursor, failed_at, before } => (&**map, cursor, failed_at, before),
        };
        let begun = *cursor;
        *before = None;
        step(map, cursor).map_err(|(trouble, name)| {
            *before = Some(begun);
            // Without progress since the last error, that error was the map's.
            let progress = *failed_at != Some(*cursor);
            *failed_at = Some(*cursor);
            let error: Error = match name {
                Some(name) => {
                    trouble.during("get variable", format!("{name:?} of {}", map.object()))
                }
                None => trouble.during("list variables of", map.object()),
            };
            debug_assert_ne!(error.kind(), ErrorKind::NotFound);
            (error, progress)
        })
    }
}

fn read(gem: &Gem) -> Result<std::vec::IntoIter<Result<Entry>>> {
    let named = |(name, captured): (String, Result<OwnedValue>)| {
        Ok(Entry { name, captured: captured?, version: 0 })
    };
    Ok(gem.all()?.into_iter().map(named).collect::<Vec<_>>().into_iter())
}

/// Fails with the name of the variable too, if the error is one of its value.
fn step(map: &Stored, cursor: &mut Cursor) -> Result<Option<Entry>, (EngineError, Option<String>)> {
    let of_map = |trouble| (trouble, None);
    map.usable().map_err(of_map)?;
    let store = &map.inner.store;
    while let Some(handle) = store.next_record(cursor).map_err(of_map)? {
        // The name before the value: if the record became another variable's, the read detects it,
        // because it compares the id last.
        let name = store.name_of(handle.at);
        if name.as_deref().is_some_and(is_reserved) {
            continue;
        }
        let name = name.and_then(|name| String::from_utf8(name).ok());
        let seen = match store.read(handle, |view| view.capture()) {
            Ok(seen) => seen,
            Err(trouble) => return Err((trouble, name)),
        };
        let Seen::Value(captured, version) = seen else { continue };
        let Some(name) = name else {
            let error = EngineError::Corrupt("the name of a variable is invalid", handle.at);
            return Err((error, None));
        };
        return match captured {
            Ok(captured) => Ok(Some(Entry { name, captured, version })),
            Err(trouble) => Err((trouble, Some(name))),
        };
    }
    Ok(None)
}

impl Iterator for Iter<'_> {
    type Item = Result<Entry>;

    /// Returns the next variable, or an error for one that could not be read.
    ///
    /// After an error the next call continues behind that variable. If it cannot, the error was the
    /// map's, and the iterator ends.
    fn next(&mut self) -> Option<Result<Entry>> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(entry) => entry.map(Ok),
            Err((error, true)) => Some(Err(error)),
            Err((error, false)) => {
                self.ended = true;
                // A store has reported the map's error already: the one before.
                matches!(self.walk, Walk::Gem { .. }).then_some(Err(error))
            }
        }
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("map", &*self.map).finish_non_exhaustive()
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
    ///     println!("{} = {}", entry.name(), entry.value()?);
    /// }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(Cow::Borrowed(self))
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
        Iter::new(Cow::Owned(self))
    }
}
