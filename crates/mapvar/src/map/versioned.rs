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
    index::Query,
    mem::{Mem, mapped::Mapped},
    value::{OwnedValue, Raw, SlotView},
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};

/// The outcome of a compare-and-set.
///
/// [`Map::compare_and_set`] and [`Var::compare_and_set`](crate::Var::compare_and_set) return
/// versions, [`Atomic::compare_exchange`](crate::Atomic::compare_exchange) values.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-cmp.{}", std::process::id())).create()?;
/// use mapvar::{Compared, Version};
///
/// match map.compare_and_set("owner", Version::ABSENT, "me")? {
///     Compared::Set(_) => println!("it is mine"),
///     Compared::Changed(_) => println!("another process was faster"),
/// }
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the value may not have been set"]
pub enum Compared<T> {
    /// It was as expected, and the new value is set. Holds the new version, or the value before.
    Set(T),
    /// It was not as expected, and nothing was set. Holds the version or value found instead.
    Changed(T),
}

impl<T> Compared<T> {
    /// Whether the new value was set.
    pub const fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }

    /// Returns what [`Set`](Self::Set) holds; `None` for [`Changed`](Self::Changed).
    pub fn if_set(self) -> Option<T> {
        match self {
            Self::Set(new) => Some(new),
            Self::Changed(_) => None,
        }
    }

    /// Converts what it holds.
    #[doc(hidden)]
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Compared<U> {
        match self {
            Self::Set(new) => Compared::Set(convert(new)),
            Self::Changed(found) => Compared::Changed(convert(found)),
        }
    }
}

impl<T> From<std::result::Result<T, T>> for Compared<T> {
    fn from(done: std::result::Result<T, T>) -> Self {
        match done {
            Ok(new) => Self::Set(new),
            Err(found) => Self::Changed(found),
        }
    }
}

/// A value that was read, with its record and the number of its version.
pub(crate) struct Found {
    pub(crate) handle: Handle,
    pub(crate) captured: OwnedValue,
    pub(crate) number: u64,
    /// Whether the value ends with a process, which changes no version.
    pub(crate) ephemeral: bool,
}

impl Stored {
    /// Reads the value of a variable with its record; `None` if there is no variable of the name.
    pub(crate) fn read_versioned(&self, name: &str) -> Result<Option<Found>, EngineError> {
        self.read_found(self.inner.store.query(checked(name)?))
    }

    /// As [`read_versioned`](Self::read_versioned), of a name that is checked and hashed.
    #[inline]
    pub(crate) fn read_found(&self, query: Query<'_>) -> Result<Option<Found>, EngineError> {
        if let Some((handle, captured, number)) = self.inner.store.try_read_number(&query) {
            return Ok(Some(Found { handle, captured, number, ephemeral: false }));
        }
        let take = |view: SlotView<'_, Mapped>| (view.capture(), view.is_ephemeral());
        let Some((handle, (captured, ephemeral), number)) =
            self.inner.store.read_named(query, take)?
        else {
            return Ok(None);
        };
        Ok(Some(Found { handle, captured: captured?, number, ephemeral }))
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
            Some(Found { handle, captured, number, .. }) => {
                let value = self
                    .described(captured)
                    .and_then(decode)
                    .map_err(|error| self.with_context("get variable", name, error))?;
                Ok((Some(value), Version::from((handle.id, number))))
            }
        }
    }

    pub(crate) fn put_if(
        &self,
        name: &str,
        expected: Version,
        raw: &Raw<'_>,
    ) -> Result<Compared<Version>> {
        let put = || {
            let store = &self.inner.store;
            store.set_if(store.query(checked(name)?), raw, which(expected))
        };
        let done = self.run(put).map_err(|trouble| self.failed("set variable", name, trouble))?;
        Ok(done.map(Version::from).map_err(Version::from).into())
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
    ///     assert!(map.compare_and_set("state", version, "busy")?.is_set());
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

    /// Sets a variable if it still has the version `expected`.
    ///
    /// With [`Version::ABSENT`] it sets the variable only if there is none.
    ///
    /// A [`Format::Marshal`](crate::Format::Marshal) map does not count versions. There a version
    /// is a hash of the value: a value that was replaced and then set again has its old version.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-cas.{}", std::process::id())).create()?;
    /// use mapvar::{Compared, Version};
    ///
    /// assert!(map.compare_and_set("owner", Version::ABSENT, "me")?.is_set());
    /// let found = map.version("owner")?;
    /// assert_eq!(map.compare_and_set("owner", Version::ABSENT, "you")?, Compared::Changed(found));
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
    ) -> Result<Compared<Version>> {
        match &self.0 {
            Body::Store(map) => {
                codec::encode(&value, &mut |raw: &Raw<'_>| map.put_if(name, expected, raw))
                    .map_err(|error| map.with_context("set variable", name, error))?
            }
            Body::Gem(gem) => {
                let captured = codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw));
                gem.set_if(name, expected, captured).map(Compared::from)
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
        let changed = self.try_update(name, |value| Ok::<_, Error>(Some(change(value))))?;
        // `change` returns a value each time it is called.
        changed.ok_or_else(|| self.absent("update variable", name))
    }

    /// As [`update`](Self::update), with a `change` that may fail, or return `None` to leave the
    /// variable as it is. Returns the new value, or `None` if nothing was set.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-try-up.{}", std::process::id())).create()?;
    /// let first = |owner: Option<String>| {
    ///     Ok::<_, mapvar::Error>(owner.is_none().then(|| "me".to_owned()))
    /// };
    /// assert_eq!(map.try_update("owner", first)?.as_deref(), Some("me"));
    /// assert_eq!(map.try_update("owner", first)?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and of `change`.
    pub fn try_update<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let map = match &self.0 {
            Body::Store(map) => map,
            Body::Gem(gem) => return gem.try_update(name, change),
        };
        for round in 0..UPDATES {
            let (value, version) = map.find_versioned(name)?;
            let Some(value) = change(value)? else { return Ok(None) };
            if self.compare_and_set(name, version, &value)?.is_set() {
                return Ok(Some(value));
            }
            let _ = map.inner.store.mem().pause(round);
        }
        let error = Error::new(ErrorKind::Conflict, "update variable", map.variable(name));
        Err(error
            .detail("other processes wrote it at each attempt; try again, or use an Atomic")
            .into())
    }

    /// Sets a variable unless it holds that value already; returns whether it set it.
    ///
    /// A watch so reports nothing new, and the version stays. Another writer may set the variable
    /// between the comparison and the return.
    ///
    /// # Errors
    /// Those of [`set`](Self::set), and [`Corrupt`](ErrorKind::Corrupt).
    pub fn set_if_changed(&self, name: &str, value: impl Serialize) -> Result<bool> {
        let put = &mut |raw: &Raw<'_>| match &self.0 {
            Body::Store(map) => {
                if map.captured(name)?.is_some_and(|(found, _)| found.is(raw)) {
                    return Ok(false);
                }
                map.put_slowly(name, *raw).map(|()| true)
            }
            Body::Gem(gem) => {
                let value: Value = codec::decode(OwnedValue::of(raw))?;
                if gem.find::<Value>(name)?.as_ref() == Some(&value) {
                    return Ok(false);
                }
                gem.set(name, &value).map(|()| true)
            }
        };
        codec::encode(&value, put)
            .map_err(|error| self.with_context("set variable", name, error))?
    }
}

pub(crate) const NO_VERSIONS: &str =
    "it is an Atomic, which has no versions; use its `compare_exchange`";

/// The number of attempts of an update.
pub(crate) const UPDATES: u32 = 1000;
