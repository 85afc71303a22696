//! A walk over the variables of a map.

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

/// A variable as [`Map::iter`] found it: name, value and version of one moment.
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    captured: OwnedValue,
    version: u64,
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] where this version does not know it.
    pub fn kind(&self) -> Result<Kind> {
        self.captured.kind().map_err(|error| error.during("get variable", self.object()))
    }

    /// Its value, of whatever kind it is.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn value(&self) -> Result<Value> {
        Value::of(self.captured.clone())
            .map_err(|error| error.during("get variable", self.object()))
    }

    /// Its value as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`], [`ErrorKind::OutOfRange`], [`ErrorKind::Corrupt`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        codec::decode(self.captured.clone())
            .map_err(|error| error.during("get variable", self.object()))
    }

    /// Its version: grows with each `set`, and begins anew when the variable is removed and made
    /// again. An [`Atomic`](crate::Atomic)'s does not change; of a gem's map, whose layout counts
    /// nothing, it is 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn object(&self) -> String {
        format!("{:?}", self.name)
    }
}

/// The variables of a map, in the order of their records; from [`Map::iter`].
pub struct Iter<'a> {
    map: Cow<'a, Map>,
    walk: Walk<'a>,
}

enum Walk<'a> {
    Store {
        map: Cow<'a, Stored>,
        cursor: Cursor,
        failed_at: Option<Cursor>,
    },
    /// Of a gem's map all at once, when the iterator was made.
    Gem(std::vec::IntoIter<Result<Entry>>),
}

impl<'a> Iter<'a> {
    pub(crate) fn new(map: Cow<'a, Map>) -> Self {
        let of = |map| Walk::Store { map, cursor: Cursor::default(), failed_at: None };
        let walk = match &map {
            Cow::Borrowed(Map(Body::Store(map))) => of(Cow::Borrowed(map)),
            Cow::Owned(Map(Body::Store(map))) => of(Cow::Owned(map.clone())),
            Cow::Borrowed(Map(Body::Gem(gem))) | Cow::Owned(Map(Body::Gem(gem))) => {
                Walk::Gem(entries(gem).into_iter())
            }
        };
        Self { map, walk }
    }
}

fn entries(gem: &Gem) -> Vec<Result<Entry>> {
    match gem.all() {
        Ok(all) => all
            .into_iter()
            .map(|(name, captured)| Ok(Entry { name, captured: captured?, version: 0 }))
            .collect(),
        Err(error) => vec![Err(error)],
    }
}

fn step(map: &Stored, cursor: &mut Cursor) -> Result<Option<Entry>, EngineError> {
    map.usable()?;
    let store = &map.inner.store;
    while let Some(handle) = store.next_record(cursor)? {
        // The name first: if the record became another's, the read's last look at the id says so.
        let name = store.name_of(handle.at);
        if name.as_deref().is_some_and(is_reserved) {
            continue;
        }
        let Seen::Value(captured, version) = store.read(handle, |view| view.capture())? else {
            continue;
        };
        let name = name
            .and_then(|name| String::from_utf8(name).ok())
            .ok_or(EngineError::Corrupt("a variable's name makes no sense", handle.at))?;
        return Ok(Some(Entry { name, captured: captured?, version }));
    }
    Ok(None)
}

impl Iterator for Iter<'_> {
    type Item = Result<Entry>;

    /// An error stands for one variable that could not be read: the next call goes on behind it.
    /// Where it cannot get on, the error is the map's, and the end comes after it.
    fn next(&mut self) -> Option<Result<Entry>> {
        let (map, cursor, failed_at) = match &mut self.walk {
            Walk::Gem(entries) => return entries.next(),
            Walk::Store { map, cursor, failed_at } => (&**map, cursor, failed_at),
        };
        match step(map, cursor) {
            Ok(entry) => entry.map(Ok),
            // It does not get on: the error is the map's, and was told.
            Err(_) if *failed_at == Some(*cursor) => None,
            Err(trouble) => {
                *failed_at = Some(*cursor);
                let error: Error = trouble.during("list variables of", map.object());
                debug_assert_ne!(error.kind(), ErrorKind::NotFound);
                Some(Err(error))
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
    /// The variables, in the order of their records. Others may set, make and remove variables
    /// meanwhile: one that is there throughout comes exactly once, with a value that it had while
    /// the iterator was at it.
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

/// A walk that owns the handle.
impl IntoIterator for Map {
    type Item = Result<crate::Entry>;
    type IntoIter = Iter<'static>;

    fn into_iter(self) -> Iter<'static> {
        Iter::new(Cow::Owned(self))
    }
}
