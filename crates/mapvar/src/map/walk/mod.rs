//! Walks over the variables of a map.

pub(crate) mod entries;
pub(crate) mod names;

use crate::{
    Map, gem::map::Gem, map::Body, map::store_map::Stored, name::begins_with, name::is_reserved,
    plain::Captured,
};
use mapvar_engine::{error::EngineError, handle::Handle, space::walk::Cursor};
use mapvar_os::{Error, ErrorKind, Result};
use std::{borrow::Cow, sync::Arc, vec};

/// What a walk finds of each variable.
trait Found: Sized {
    /// Reads a variable: its value, if the walk needs it, and its version; `None` if there is none.
    fn read(map: &Stored, handle: Handle) -> Result<Option<(Option<Captured>, u64)>, EngineError>;

    fn new(name: String, object: &Arc<str>, read: (Option<Captured>, u64)) -> Option<Self>;

    /// Reads all variables of a gem's map whose names have the prefix.
    fn all(gem: &Gem, prefix: &str) -> Result<Vec<Result<Self>>>;
}

struct Walk<'a, T> {
    map: Cow<'a, Map>,
    prefix: String,
    /// Where the walk of a store is, and where it failed last.
    cursor: Cursor,
    failed_at: Option<Cursor>,
    /// Where the last step began, if it failed.
    before: Option<Cursor>,
    /// The variables of a gem's map, which is read as a whole; `None` until a read has succeeded.
    all: Option<vec::IntoIter<Result<T>>>,
    /// Whether `next` has yielded an error of the map.
    ended: bool,
}

impl<'a, T: Found> Walk<'a, T> {
    fn new(map: Cow<'a, Map>) -> Self {
        let (cursor, prefix) = (Cursor::default(), String::new());
        Self { map, prefix, cursor, failed_at: None, before: None, all: None, ended: false }
    }

    /// The same walk, with a handle of its own.
    fn into_owned(self) -> Walk<'static, T> {
        let map = Cow::Owned(self.map.into_owned());
        let Self { prefix, cursor, failed_at, before, all, ended, .. } = self;
        Walk { map, prefix, cursor, failed_at, before, all, ended }
    }

    fn map(&self) -> &Map {
        &self.map
    }

    /// Makes the next call read the variable of the last error again, if the last call failed for
    /// one.
    fn retry(&mut self) {
        if let Some(before) = self.before.take() {
            (self.cursor, self.failed_at) = (before, None);
        }
    }

    fn try_next(&mut self) -> Result<Option<T>> {
        self.advance().map_err(|(error, _)| error)
    }

    /// Fails with the error, and whether the walk can continue behind it.
    pub(crate) fn advance(&mut self) -> Result<Option<T>, (Error, bool)> {
        let map = match &self.map.0 {
            Body::Gem(gem) => {
                let all = match &mut self.all {
                    Some(all) => all,
                    all => {
                        let read = T::all(gem, &self.prefix).map_err(|error| (error, false))?;
                        all.insert(read.into_iter())
                    }
                };
                return all.next().transpose().map_err(|error| (error, true));
            }
            Body::Store(map) => map,
        };
        let began = self.cursor;
        self.before = None;
        step(map, &self.prefix, &mut self.cursor).map_err(|(trouble, name)| {
            // Without progress since the last error, that error was the map's.
            let progress = self.failed_at != Some(self.cursor);
            self.failed_at = Some(self.cursor);
            self.before = Some(began);
            let error: Error = match name {
                Some(name) => trouble.during("get variable", map.variable(&name)),
                None => trouble.during("list variables of", map.object()),
            };
            debug_assert_ne!(error.kind(), ErrorKind::NotFound);
            (error, progress)
        })
    }

    fn next(&mut self) -> Option<Result<T>> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(found) => found.map(Ok),
            Err((error, true)) => Some(Err(error)),
            Err((error, false)) => {
                self.ended = true;
                // A store has reported the map's error already: the one before.
                matches!(self.map.0, Body::Gem(_)).then_some(Err(error))
            }
        }
    }
}

/// Fails with the name of the variable too, if the error is one of its value.
fn step<T: Found>(
    map: &Stored,
    prefix: &str,
    cursor: &mut Cursor,
) -> Result<Option<T>, (EngineError, Option<String>)> {
    let of_map = |trouble| (trouble, None);
    map.usable().map_err(of_map)?;
    let store = &map.inner.store;
    while let Some(handle) = store.next_record(cursor).map_err(of_map)? {
        // The name before the value: if the record became another variable's, the read detects it,
        // because it compares the id last.
        let name = store.name_of(handle.at);
        let wanted = |name: &Vec<u8>| !is_reserved(name) && begins_with(name, prefix);
        if !name.as_ref().is_none_or(wanted) {
            continue;
        }
        let name = name.and_then(|name| String::from_utf8(name).ok());
        let read = match T::read(map, handle) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(trouble) => return Err((trouble, name)),
        };
        let Some(name) = name else {
            let error = EngineError::Corrupt("the name of a variable is invalid", handle.at);
            return Err((error, None));
        };
        if let Some(found) = T::new(name, &map.inner.object, read) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
