//! Snapshots: several variables as of one instant.

use crate::{
    Map,
    map::Body,
    map::store_map::Stored,
    map::versioned::Found,
    name::checked,
    name_table::NameTable,
    plain::{Captured, Plain},
};
use mapvar_engine::{
    error::EngineError, handle::Handle, index::Query, mem::Mem, mem::Ordering::Acquire,
    record::read::Seen, record::wait::Observed, value::OwnedValue, variable::named::AGAIN,
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::fmt;

/// The number of attempts without a lock, before a snapshot takes one.
const ATTEMPTS: u32 = 8;

impl Map {
    /// Returns the values of several variables as of one instant.
    ///
    /// It takes no lock, unless other writers change the variables during eight attempts. Then it
    /// holds off writers for the time of one read, which works for up to 512 variables.
    ///
    /// An [`Atomic`](crate::Atomic) has no versions. Its value in the snapshot is one that it had
    /// during the call, and not always one of that instant.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-snap.{}", std::process::id())).create()?;
    /// map.set("x", 1)?;
    /// let seen = map.snapshot(["x", "y"])?;
    /// assert_eq!(seen.find::<i64>("x")?, Some(1));
    /// assert_eq!(seen.find::<i64>("y")?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`. If other writers change the variables
    /// without a pause: [`Contended`](crate::ErrorKind::Contended) for a map that was opened for
    /// reading, or [`TooLarge`](crate::ErrorKind::TooLarge) for more than 512 variables.
    pub fn snapshot(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Snapshot> {
        let names: Vec<_> = names.into_iter().collect();
        let names: &[&str] = &names.iter().map(AsRef::as_ref).collect::<Vec<_>>();
        let values = match &self.0 {
            Body::Store(map) => map.snapshot(names)?,
            Body::Gem(gem) => {
                let mut values = Values::new(names.len(), 0);
                for (name, found) in names.iter().zip(gem.captured_all(names)?) {
                    let found = found.map(|(raw, version)| (raw.into(), version));
                    values.add(values.hash(name), name, found);
                }
                values
            }
        };
        Ok(Snapshot { object: self.object(), values })
    }
}

impl Stored {
    fn snapshot(&self, names: &[&str]) -> Result<Values> {
        let failed = |trouble: EngineError| trouble.during("take a snapshot of", self.object());
        let read = || {
            let store = &self.inner.store;
            // A handle for reading cannot take a lock, and can only try again.
            let read_only = store.live_mut().is_err();
            for round in 0.. {
                if let Some(values) = self.try_read_all(names)? {
                    return Ok(values);
                }
                if !store.mem().pause(round) || (!read_only && round + 1 >= ATTEMPTS) {
                    break;
                }
            }
            if read_only { Err(EngineError::Contended) } else { self.read_all_marked(names) }
        };
        self.run(read).map_err(failed)
    }

    /// Reads every variable, and then checks that none has changed since; `None` if one has.
    fn try_read_all(&self, names: &[&str]) -> Result<Option<Values>, EngineError> {
        let store = &self.inner.store;
        let seen = store.transactions_seen()?;
        if seen & 1 == 1 {
            return Ok(None);
        }
        let births = store.births_now()?;
        let mut values = Values::new(names.len(), store.seed());
        let (mut reads, mut gone, mut unborn) =
            (Vec::with_capacity(names.len()), Vec::new(), false);
        for name in names {
            let query = store.query(checked(name)?);
            let read = self.read_found(query)?;
            reads.push(read.as_ref().map(Read::of));
            // A variable that is removed may come back without a birth, in the record that it has.
            if read.is_none() {
                match store.find(query)? {
                    Some(handle) => match store.observed(handle)? {
                        Some(observed) if observed.removed => gone.push((handle, observed)),
                        _ => return Ok(None),
                    },
                    None => unborn = true,
                }
            }
            // Moved to its place at once: the check below needs no value.
            values.add(query.hash, name, self.value_of(read)?);
        }
        store.mem().fence(Acquire);
        for (name, read) in names.iter().zip(&reads) {
            let same = match read {
                None => true,
                // A record keeps its name, and each write changes the version; the end of an
                // ephemeral value does not.
                Some(Read { handle, number, ephemeral: false }) if !handle.atomic => {
                    let read = Observed { id: handle.id, number: *number, removed: false };
                    store.is_unchanged(*handle, read)
                }
                Some(read) => self.resolve_versioned(name)?.is_some_and(|(handle, number)| {
                    handle == read.handle && (number == read.number || handle.atomic)
                }),
            };
            if !same {
                return Ok(None);
            }
        }
        if !gone.iter().all(|(handle, observed)| store.is_unchanged(*handle, *observed))
            || (unborn && !store.is_without_birth_since(births)?)
            || store.transactions_seen()? != seen
        {
            return Ok(None);
        }
        Ok(Some(values))
    }

    /// Reads every variable while the records of the names are marked, so that no writer can change
    /// them.
    fn read_all_marked(&self, names: &[&str]) -> Result<Values, EngineError> {
        let store = &self.inner.store;
        for _ in 0..AGAIN {
            let mut handles = Vec::with_capacity(names.len());
            for name in names {
                // Removed variables too, or another writer could set them again during the read.
                if let Some(handle) = store.find(store.query(checked(name)?))?
                    && !handles.contains(&handle)
                {
                    handles.push(handle);
                }
            }
            handles.retain(|handle| !handle.atomic);
            let births = store.births_now()?;
            let found = store.with_all_marked(&handles, || {
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    let query = store.query(checked(name)?);
                    let Some(handle) = store.find(query)? else {
                        found.push((query.hash, None));
                        continue;
                    };
                    // Writers can change a record without a mark. Reading it may need the record's
                    // lock, and a thread that holds the commit lock (T) must not take a second
                    // lock.
                    if !handle.atomic && !handles.contains(&handle) {
                        return Ok(None);
                    }
                    // Nor does this wait for a marked record: a writer that changes it ignores the
                    // mark, and may do so forever.
                    let read = match store.read_at_once(handle, |view| view.capture())? {
                        Some(Seen::Value(captured, number)) => {
                            // Nothing asks for it again: this is the last look.
                            Some(Found { handle, captured: captured?, number, ephemeral: false })
                        }
                        Some(Seen::Absent) => None,
                        Some(Seen::Stale) | None => return Ok(None),
                    };
                    found.push((query.hash, read));
                }
                Ok(store.is_without_birth_since(births)?.then_some(found))
            })?;
            if let Some(found) = found {
                return self.values_of(names, found);
            }
        }
        Err(EngineError::Contended)
    }
}

/// The record and version of a value that was read.
struct Read {
    handle: Handle,
    number: u64,
    ephemeral: bool,
}

impl Read {
    fn of(found: &Found) -> Self {
        Self { handle: found.handle, number: found.number, ephemeral: found.ephemeral }
    }
}

/// The values by name; `None` for variables that were absent.
struct Values {
    table: NameTable<Option<(Captured, Version)>>,
    /// The names are hashed with it, as those of the map are.
    seed: u64,
}

impl Values {
    fn new(names: usize, seed: u64) -> Self {
        Self { table: NameTable::with_capacity(names), seed }
    }

    fn hash(&self, name: &str) -> u64 {
        Query::new(name.as_bytes(), self.seed).hash
    }

    fn add(&mut self, hash: u64, name: &str, found: Option<(Captured, Version)>) {
        self.table.find_or_add(hash, name, || found);
    }

    fn get(&self, name: &str) -> Option<&(Captured, Version)> {
        self.table.get(self.table.find(self.hash(name), name)?)?.as_ref()
    }
}

impl Stored {
    fn values_of(
        &self,
        names: &[&str],
        found: Vec<(u64, Option<Found>)>,
    ) -> Result<Values, EngineError> {
        let mut values = Values::new(names.len(), self.inner.store.seed());
        for (name, (hash, found)) in names.iter().zip(found) {
            values.add(hash, name, self.value_of(found)?);
        }
        Ok(values)
    }

    #[inline]
    fn value_of(&self, found: Option<Found>) -> Result<Option<(Captured, Version)>, EngineError> {
        let Some(Found { handle, captured, number, .. }) = found else { return Ok(None) };
        Ok(Some((self.captured_of(captured)?, Version::from((handle.id, number)))))
    }
}

/// The values of several variables as of one instant; from [`Map::snapshot`].
///
/// It is a copy: later changes of the map do not affect it, and it does not keep the map open.
///
/// ```
/// # let name = format!("doc-snapshot.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// map.set("left", 10)?;
/// map.set("right", 0)?;
/// let seen = map.snapshot(["left", "right"])?;
/// map.set("left", 7)?;
/// assert_eq!(seen.get::<i64>("left")? + seen.get::<i64>("right")?, 10);
/// assert_ne!(seen.version("left"), map.version("left")?);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Snapshot {
    /// The map, in error messages.
    object: String,
    values: Values,
}

impl Snapshot {
    /// Returns the value that a variable had.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there was no variable, or the name was not among
    /// those given to [`Map::snapshot`]; [`WrongKind`](crate::ErrorKind::WrongKind),
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange).
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.find(name)?.ok_or_else(|| {
            let error = Error::new(ErrorKind::NotFound, "", "");
            self.failed(name, error.detail("there was no variable of this name; ask for others"))
        })
    }

    /// Returns the value that a variable had, or `None` if there was no variable.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.captured(name)
            .map(Captured::decoded)
            .transpose()
            .map_err(|error| self.failed(name, error))
    }

    /// Returns the plain struct that a variable had, or `None` if there was no variable.
    ///
    /// # Errors
    /// [`WrongKind`](crate::ErrorKind::WrongKind) if it was anything but a struct of this layout;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if a `bool` was neither 0 nor 1.
    pub fn plain<T: Plain>(&self, name: &str) -> Result<Option<T>> {
        let found = self.captured(name).map(Captured::plain_as).transpose();
        found.map_err(|error| self.failed(name, error))
    }

    /// Returns the version that a variable had; [`Version::ABSENT`] if there was no variable.
    pub fn version(&self, name: &str) -> Version {
        self.values.get(name).map_or(Version::ABSENT, |found| found.1)
    }

    /// Returns each variable that existed.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &OwnedValue)> {
        self.values
            .table
            .iter()
            .filter_map(|(name, _, found)| Some((name, found.as_ref()?.0.raw())))
    }

    #[cold]
    fn failed(&self, name: &str, error: Error) -> Error {
        error.during("get from a snapshot variable", format!("{name:?} of {}", self.object))
    }

    fn captured(&self, name: &str) -> Option<&Captured> {
        self.values.get(name).map(|found| &found.0)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("map", &self.object)
            .field("variables", &self.values.table.len())
            .finish()
    }
}
