//! Several variables as they were at one instant.

use crate::{
    Map, Value, map::Body, map::store_map::Stored, map::versioned::Found, name::checked,
    value::codec,
};
use mapvar_engine::{
    error::EngineError, mem::Mem, mem::Ordering::Acquire, record::read::Seen, value::OwnedValue,
    variable::named::AGAIN, version::Version,
};
use mapvar_os::Result;
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt};

/// How often a snapshot is taken without a lock, before it takes one.
const LOOKS: u32 = 8;

impl Map {
    /// Several variables as they were at one instant.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-snap.{}", std::process::id())).create()?;
    /// map.set("x", 1)?;
    /// let seen = map.snapshot(&["x", "y"])?;
    /// assert_eq!(seen.find::<i64>("x")?, Some(1));
    /// assert_eq!(seen.find::<i64>("y")?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`; [`Contended`](crate::ErrorKind::Contended)
    /// where others write all the time and the map was opened for reading.
    pub fn snapshot(&self, names: &[&str]) -> Result<Snapshot> {
        let values = match &self.0 {
            Body::Store(map) => map.snapshot(names)?,
            Body::Gem(gem) => Values(
                names.iter().map(|name| (*name).into()).zip(gem.captured_all(names)?).collect(),
            ),
        };
        Ok(Snapshot { map: self.clone(), values })
    }
}

impl Stored {
    fn snapshot(&self, names: &[&str]) -> Result<Values> {
        let failed = |trouble: EngineError| trouble.during("take a snapshot of", self.object());
        let look = || {
            let store = &self.inner.store;
            // Mapped for reading: patience is all there is.
            let patient = store.live_mut().is_err();
            for round in 0.. {
                if let Some(values) = self.look_at_all(names)? {
                    return Ok(values);
                }
                if !store.mem().pause(round) || (!patient && round + 1 >= LOOKS) {
                    break;
                }
            }
            if patient { Err(EngineError::Contended) } else { self.hold_and_look(names) }
        };
        self.run(look).map_err(failed)
    }

    /// Reads every variable, and then looks whether any has changed since.
    fn look_at_all(&self, names: &[&str]) -> Result<Option<Values>, EngineError> {
        let store = &self.inner.store;
        let seen = store.transactions_seen()?;
        if seen & 1 == 1 {
            return Ok(None);
        }
        let births = store.births()?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(self.look(name)?);
        }
        store.mem().fence(Acquire);
        for (name, found) in names.iter().zip(&found) {
            let same = match (found, self.resolve_versioned(name)?) {
                (None, None) => true,
                (Some(found), Some((handle, number))) => {
                    handle == found.handle && (number == found.number || handle.atomic)
                }
                _ => false,
            };
            if !same {
                return Ok(None);
            }
        }
        let absent = found.iter().any(Option::is_none);
        if store.transactions_seen()? != seen || (absent && store.births()? != births) {
            return Ok(None);
        }
        Ok(Some(Values::new(names, found)))
    }

    /// Reads every variable while nobody can write to those that are in the index.
    fn hold_and_look(&self, names: &[&str]) -> Result<Values, EngineError> {
        let store = &self.inner.store;
        for _ in 0..AGAIN {
            let mut handles = Vec::with_capacity(names.len());
            for name in names {
                // Removed ones too: nobody is to make them variables again meanwhile.
                if let Some(handle) = store.find(store.query(checked(name)?))?
                    && !handles.contains(&handle)
                {
                    handles.push(handle);
                }
            }
            handles.retain(|handle| !handle.atomic);
            let births = store.births()?;
            let found = store.with_all_marked(&handles, || {
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    let Some(handle) = store.find(store.query(checked(name)?))? else {
                        found.push(None);
                        continue;
                    };
                    // What bears no mark may be written all the time, and to read that takes its
                    // lock: a second one, which nobody may hold with T.
                    if !handle.atomic && !handles.contains(&handle) {
                        return Ok(None);
                    }
                    // Nor is what bears the mark waited for: only who heeds no mark writes there.
                    found.push(match store.read_at_once(handle, |view| view.capture())? {
                        Some(Seen::Value(captured, number)) => {
                            Some(Found { handle, captured: captured?, number })
                        }
                        Some(Seen::Absent) => None,
                        Some(Seen::Stale) | None => return Ok(None),
                    });
                }
                Ok((store.births()? == births).then_some(found))
            })?;
            if let Some(found) = found {
                return Ok(Values::new(names, found));
            }
        }
        Err(EngineError::Contended)
    }
}

/// Values by name, `None` for those that were absent.
struct Values(BTreeMap<String, Option<(OwnedValue, Version)>>);

impl Values {
    pub(crate) fn new(names: &[&str], found: Vec<Option<Found>>) -> Self {
        let entries = names.iter().zip(found).map(|(name, found)| {
            let found = found.map(|Found { handle, captured, number }| {
                (captured, Version::from((handle.id, number)))
            });
            ((*name).into(), found)
        });
        Self(entries.collect())
    }
}

/// Several variables as they were at one instant; from [`Map::snapshot`].
pub struct Snapshot {
    map: Map,
    values: Values,
}

impl Snapshot {
    /// The value that a variable had.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where there was none, or the snapshot was not asked
    /// for it; [`WrongKind`](crate::ErrorKind::WrongKind),
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange).
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.find(name)?.ok_or_else(|| self.map.absent("get from a snapshot variable", name))
    }

    /// The value that a variable had, or `None` where there was none.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.captured(name)
            .map(codec::decode)
            .transpose()
            .map_err(|error| self.map.with_context("get from a snapshot variable", name, error))
    }

    /// The value that a variable had, of whatever kind; `None` where there was none.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt).
    pub fn value(&self, name: &str) -> Result<Option<Value>> {
        self.captured(name)
            .map(Value::of)
            .transpose()
            .map_err(|error| self.map.with_context("get from a snapshot variable", name, error))
    }

    /// The version that a variable had.
    pub fn version(&self, name: &str) -> Version {
        self.values.0.get(name).and_then(Option::as_ref).map_or(Version::ABSENT, |found| found.1)
    }

    fn captured(&self, name: &str) -> Option<OwnedValue> {
        self.values.0.get(name).and_then(Option::as_ref).map(|found| found.0.clone())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("map", &self.map)
            .field("variables", &self.values.0.len())
            .finish()
    }
}
