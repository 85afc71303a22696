//! Operations that use the versions of variables: compare-and-set and update.

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

/// A value that was read, with its record and the number of its version.
pub(crate) struct Found {
    pub(crate) handle: Handle,
    pub(crate) captured: OwnedValue,
    pub(crate) number: u64,
}

impl Stored {
    /// Reads the value of a variable with its record; `None` if there is no variable of the name.
    pub(crate) fn read_versioned(&self, name: &str) -> Result<Option<Found>, EngineError> {
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
        let found = self.run(|| self.read_versioned(name));
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
    /// Returns the present version of a variable; [`Version::ABSENT`] if there is no variable.
    ///
    /// # Errors
    /// Those of [`contains`](Self::contains); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic), which has no versions.
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

    /// Returns the value of a variable and its version, for
    /// [`compare_and_set`](Self::compare_and_set).
    ///
    /// ```
    /// # let name = format!("doc-get-versioned.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("state", "idle")?;
    /// let (state, version) = map.get_versioned::<String>("state")?;
    /// if state == "idle" {
    ///     // Succeeds only if no other writer has set "state" since.
    ///     assert!(map.compare_and_set("state", version, "busy")?.is_ok());
    /// }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
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

    /// Returns the value of a variable of any kind, and its version.
    ///
    /// For [`compare_and_set_value`](Self::compare_and_set_value). It returns `None` and
    /// [`Version::ABSENT`] if there is no variable.
    ///
    /// # Errors
    /// Those of [`get_versioned`](Self::get_versioned), without `NotFound`.
    pub fn value_versioned(&self, name: &str) -> Result<(Option<Value>, Version)> {
        match &self.0 {
            Body::Store(map) => map.captured_versioned(name, Value::of),
            Body::Gem(gem) => gem.value_versioned(name),
        }
    }

    /// Sets a variable if it still has the version `expected`.
    ///
    /// With [`Version::ABSENT`] it sets the variable only if there is none. Returns the new
    /// version, or `Err` with the present version, and then nothing was set.
    ///
    /// A [`Format::Marshal`](crate::Format::Marshal) map does not count versions. There a version
    /// is a hash of the value: a value that was replaced and then set again has its old version.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-cas.{}", std::process::id())).create()?;
    /// use mapvar::Version;
    ///
    /// let first = map.compare_and_set("owner", Version::ABSENT, "me")?.expect("no owner yet");
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

    /// Sets a variable to a [`Value`] if it still has the version `expected`.
    ///
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

    /// Replaces the value of a variable by the result of `change`, and returns that result.
    ///
    /// `change` gets `None` if there is no variable, which is then created. No lock is held while
    /// `change` runs. If another writer sets the variable meanwhile, `change` is called again with
    /// the new value, up to 1,000 times; in a [`Format::Marshal`](crate::Format::Marshal) map,
    /// until the timeout.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-up.{}", std::process::id())).create()?;
    /// let runs: i64 = map.update("runs", |runs: Option<i64>| runs.unwrap_or(0) + 1)?;
    /// assert_eq!(runs, 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set), without `NotFound`;
    /// [`Conflict`](ErrorKind::Conflict) if other writers set the variable during each call, or
    /// [`Contended`](ErrorKind::Contended) in a [`Format::Marshal`](crate::Format::Marshal) map;
    /// [`WrongKind`](ErrorKind::WrongKind) for an [`Atomic`](crate::Atomic).
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
            .detail("other processes wrote it at each attempt; try again, or use an Atomic"))
    }
}

const NO_VERSIONS: &str = "it is an Atomic, which has no versions; use its `compare_exchange`";

/// The number of attempts of an update.
const UPDATES: u32 = 1000;
