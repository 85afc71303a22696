//! Variables by their versions: compare-and-set and update.

use crate::{
    Map, Value,
    map::Body,
    map::store_map::{Stored, which},
    name::checked,
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::Mem,
    value::{OwnedValue, Raw},
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};

/// A value that was read, and where.
pub(crate) struct Found {
    pub(crate) handle: Handle,
    pub(crate) captured: OwnedValue,
    pub(crate) number: u64,
}

impl Stored {
    pub(crate) fn look(&self, name: &str) -> Result<Option<Found>, EngineError> {
        let store = &self.inner.store;
        let found = store.read_named(store.query(checked(name)?), |view| view.capture())?;
        found
            .map(|(handle, captured, number)| Ok(Found { handle, captured: captured?, number }))
            .transpose()
    }

    pub(crate) fn resolve_versioned(
        &self,
        name: &str,
    ) -> Result<Option<(Handle, u64)>, EngineError> {
        let store = &self.inner.store;
        let found = store.read_named(store.query(checked(name)?), |_| ())?;
        Ok(found.map(|(handle, (), number)| (handle, number)))
    }

    fn find_versioned<T: DeserializeOwned>(&self, name: &str) -> Result<(Option<T>, Version)> {
        self.captured_versioned(name, codec::decode)
    }

    fn captured_versioned<T>(
        &self,
        name: &str,
        decode: impl FnOnce(OwnedValue) -> Result<T>,
    ) -> Result<(Option<T>, Version)> {
        let found = self.run(|| self.look(name));
        match found.map_err(|trouble| self.failed("get variable", name, trouble))? {
            None => Ok((None, Version::ABSENT)),
            Some(Found { handle, .. }) if handle.atomic => {
                Err(self.failed("get variable", name, EngineError::WrongKind(NO_VERSIONS)))
            }
            Some(Found { handle, captured, number }) => {
                let value = decode(captured)
                    .map_err(|error| self.with_context("get variable", name, error))?;
                Ok((Some(value), Version::from((handle.id, number))))
            }
        }
    }

    fn put_if(
        &self,
        name: &str,
        expected: Version,
        raw: &Raw<'_>,
    ) -> Result<std::result::Result<Version, Version>> {
        let put = || {
            let store = &self.inner.store;
            store.set_if(store.query(checked(name)?), raw, which(expected))
        };
        let done = self.run(put).map_err(|trouble| self.failed("set variable", name, trouble))?;
        Ok(done.map(Version::from).map_err(Version::from))
    }
}

impl Map {
    /// The present version of a variable; [`Version::ABSENT`] where there is none.
    ///
    /// # Errors
    /// Those of [`contains`](Self::contains); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic), which has none.
    pub fn version(&self, name: &str) -> Result<Version> {
        let map = match &self.0 {
            Body::Store(map) => map,
            Body::Gem(gem) => return gem.version(name),
        };
        let version = || match map.resolve_versioned(name)? {
            Some((handle, _)) if handle.atomic => Err(EngineError::WrongKind(NO_VERSIONS)),
            Some((handle, number)) => Ok(Version::from((handle.id, number))),
            None => Ok(Version::ABSENT),
        };
        map.run(version).map_err(|trouble| map.failed("get the version of variable", name, trouble))
    }

    /// The value of a variable and its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    /// Those of [`get`](Self::get); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic).
    pub fn get_versioned<T: DeserializeOwned>(&self, name: &str) -> Result<(T, Version)> {
        let (value, version) = match &self.0 {
            Body::Store(map) => map.find_versioned(name)?,
            Body::Gem(gem) => gem.find_versioned(name)?,
        };
        match value {
            Some(value) => Ok((value, version)),
            None => Err(self.absent("get variable", name)),
        }
    }

    /// The value of a variable, of whatever kind it is, and its version, for
    /// [`compare_and_set_value`](Self::compare_and_set_value); `None` and [`Version::ABSENT`] where
    /// there is none.
    ///
    /// # Errors
    /// Those of [`get_versioned`](Self::get_versioned), without `NotFound`.
    pub fn value_versioned(&self, name: &str) -> Result<(Option<Value>, Version)> {
        match &self.0 {
            Body::Store(map) => map.captured_versioned(name, Value::of),
            Body::Gem(gem) => gem.value_versioned(name),
        }
    }

    /// Sets a variable if it still has the version `expected`, or, for [`Version::ABSENT`], if there
    /// is none; answers the new version, or `Err` with the one that stands there instead.
    ///
    /// The layout of a gem's map counts nothing: there a version is a hash of the value, and a value
    /// that went and came back has the same one.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-cas.{}", std::process::id())).create()?;
    /// use mapvar::Version;
    ///
    /// let first = map.compare_and_set("owner", Version::ABSENT, "me")?.expect("nobody had it");
    /// assert_eq!(map.compare_and_set("owner", Version::ABSENT, "you")?, Err(first));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic).
    pub fn compare_and_set(
        &self,
        name: &str,
        expected: Version,
        value: impl Serialize,
    ) -> Result<std::result::Result<Version, Version>> {
        match &self.0 {
            Body::Store(map) => {
                codec::encode(&value, &mut |raw: &Raw<'_>| map.put_if(name, expected, raw))
                    .map_err(|error| map.with_context("set variable", name, error))?
            }
            Body::Gem(gem) => gem.set_if(
                name,
                expected,
                codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw)),
            ),
        }
    }

    /// As [`compare_and_set`](Self::compare_and_set), keeping the kind and number of a `Pod` and an
    /// `Opaque`.
    ///
    /// # Errors
    /// Those of [`compare_and_set`](Self::compare_and_set).
    pub fn compare_and_set_value(
        &self,
        name: &str,
        expected: Version,
        value: &Value,
    ) -> Result<std::result::Result<Version, Version>> {
        match &self.0 {
            Body::Store(map) => value
                .encode(&mut |raw: &Raw<'_>| map.put_if(name, expected, raw))
                .map_err(|error| map.with_context("set variable", name, error))?,
            Body::Gem(gem) => {
                gem.set_if(name, expected, value.encode(&mut |raw: &Raw<'_>| OwnedValue::of(raw)))
            }
        }
    }

    /// Replaces the value of a variable by what `change` makes of it (of `None`, where there is
    /// none), and answers that. If somebody else writes the variable meanwhile, `change` is called
    /// again: no lock is held while it runs.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-up.{}", std::process::id())).create()?;
    /// let runs: i64 = map.update("runs", |runs: Option<i64>| runs.unwrap_or(0) + 1)?;
    /// assert_eq!(runs, 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`Conflict`](ErrorKind::Conflict) where
    /// others wrote the variable each time.
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<T> {
        let map = match &self.0 {
            Body::Store(map) => map,
            Body::Gem(gem) => return gem.update(name, change),
        };
        for round in 0..UPDATES {
            let (value, version) = map.find_versioned(name)?;
            let value = change(value);
            if self.compare_and_set(name, version, &value)?.is_ok() {
                return Ok(value);
            }
            let _ = map.inner.store.mem().pause(round);
        }
        Err(Error::new(ErrorKind::Conflict, "update variable", map.variable(name))
            .detail("others wrote it each time; try again, or use an Atomic"))
    }
}

const NO_VERSIONS: &str = "it is an Atomic, which has no versions; use its `compare_exchange`";

/// How often an update is tried.
const UPDATES: u32 = 1000;
