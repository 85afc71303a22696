//! Handles to one variable: resolved once, then a few nanoseconds an operation.

use crate::{Map, Value, map::store_map::Stored, map::target::Target, value::codec};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::Mem,
    record::read::Seen,
    value::{Kind, OwnedValue, Raw},
    version::{Expect, Version, Wrote},
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, marker::PhantomData};

/// A handle to one variable, whose values are of type `T`; from [`Map::var`] and [`Map::var_or`].
///
/// It finds the variable once, and not with each operation. It owns a clone of the map, and is
/// `'static`, `Send` and `Sync`.
///
/// If the variable is removed, operations fail with [`Removed`](ErrorKind::Removed) until there is
/// a variable of that name again. The handle then refers to that one.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-var.{}", std::process::id())).create()?;
/// let speed = map.var_or("speed", 0.0)?;
/// speed.set(3.5)?;
/// assert_eq!(speed.get()?, 3.5);
/// assert_eq!(map.get::<f64>("speed")?, 3.5);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Var<T> {
    target: Target,
    // `fn() -> T`: a handle owns no `T`, so it is `Send` and `Sync` for every `T`.
    of: PhantomData<fn() -> T>,
}

impl<T> Var<T> {
    pub(crate) fn new(map: &Map, stored: &Stored, name: &str, handle: Handle) -> Self {
        Self { target: Target::new(map, stored, name, handle, None), of: PhantomData }
    }

    /// Returns the variable's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Returns the variable's map.
    pub fn map(&self) -> &Map {
        &self.target.map
    }

    /// Returns the kind of the present value.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`]; [`ErrorKind::WrongKind`] for a kind that this version does not know.
    pub fn kind(&self) -> Result<Kind> {
        let number = self.target.with("get variable", |handle| {
            self.target.stored.inner.store.read(handle, |view| view.kind())
        })?;
        Kind::of(number).ok_or_else(|| {
            Error::new(ErrorKind::WrongKind, "get variable", self.name())
                .detail("it is of a kind that this version does not know")
        })
    }

    /// Returns the version of the present value, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// Each `set` in any process gives the variable another version, and so does removing and
    /// creating it again.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`].
    pub fn version(&self) -> Result<Version> {
        self.target.with("get variable", |handle| {
            Ok(match self.target.stored.inner.store.read(handle, |_| ())? {
                Seen::Value((), number) => Seen::Value(Version::from((handle.id, number)), number),
                Seen::Absent => Seen::Absent,
                Seen::Stale => Seen::Stale,
            })
        })
    }

    /// Copies the bytes of the value into `into`, as many as fit; returns how many bytes it has.
    ///
    /// For text, bytes and plain types; a number has eight bytes, and nil and an empty list have none.
    /// It allocates no memory.
    ///
    /// ```
    /// # let name = format!("doc-get-into.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let frame = map.var_or("frame", Vec::<u8>::new())?;
    /// frame.set_from(&[1, 2, 3])?;
    /// let mut buffer = [0; 8];
    /// let len = frame.get_into(&mut buffer)?;
    /// assert_eq!(buffer[..len], [1, 2, 3]);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Removed`]; [`ErrorKind::WrongKind`] for a list or dictionary with elements.
    #[inline]
    pub fn get_into(&self, into: &mut [u8]) -> Result<usize> {
        if let Some(len) =
            self.target.stored.inner.store.try_read_fast_into(self.target.handle(), into)
            && self.target.stored.is_usable()
        {
            return Ok(len);
        }
        self.get_into_slowly(into)
    }

    #[cold]
    #[inline(never)]
    fn get_into_slowly(&self, into: &mut [u8]) -> Result<usize> {
        const EMPTY_LIST: [u8; 1] = [0x90];
        self.target.with("get variable", |handle| {
            let seen = self.target.stored.inner.store.read(handle, |view| {
                if !matches!(Kind::of(view.kind()), Some(Kind::List | Kind::Dict)) {
                    view.copy_to(into);
                    return Some(view.len());
                }
                // An empty sequence of bytes is stored as an empty list.
                let mut first = [0];
                view.copy_to(&mut first);
                (view.len() == 1 && first == EMPTY_LIST).then_some(0)
            })?;
            Ok(match seen {
                Seen::Value(Some(len), number) => Seen::Value(len, number),
                Seen::Value(None, _) => {
                    return Err(EngineError::WrongKind(
                        "it is a list or a dict, which has no bytes of its own; use `get`",
                    ));
                }
                Seen::Absent => Seen::Absent,
                Seen::Stale => Seen::Stale,
            })
        })
    }

    /// Sets the variable to these bytes.
    ///
    /// # Errors
    /// Those of [`Var::set`].
    #[inline]
    pub fn set_from(&self, bytes: &[u8]) -> Result<()> {
        self.put(&Raw::bytes(Kind::Bytes, 0, bytes))
    }

    #[inline]
    fn put(&self, raw: &Raw<'_>) -> Result<()> {
        if let Some(handle) = self.target.usable_handle()
            && self.target.stored.inner.store.try_write_fast(handle, raw, false)
        {
            return self.target.acknowledged("set variable", ());
        }
        self.put_slowly(*raw)
    }

    // By value: by reference, `raw` would be written to memory on the fast path too.
    #[cold]
    #[inline(never)]
    fn put_slowly(&self, raw: Raw<'_>) -> Result<()> {
        let store = &self.target.stored.inner.store;
        self.target.with("set variable", |handle| {
            Ok(match store.write_if(handle, &raw, Expect::Present)? {
                Wrote::Version(version) => Seen::Value((), version),
                Wrote::Absent => Seen::Absent,
                Wrote::Stale | Wrote::Unfit | Wrote::Other(_) => Seen::Stale,
            })
        })
    }
}

impl<T> Var<T> {
    /// Returns the value as a type other than the handle's, such as one known only at run time.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[inline]
    pub fn get_as<U: DeserializeOwned>(&self) -> Result<U> {
        if let Some((desc, word)) =
            self.target.stored.inner.store.try_read_fast(self.target.handle())
            && let Some(value) = codec::of_plain(desc, word)
            && self.target.stored.is_usable()
        {
            return Ok(value);
        }
        self.get_slowly()
    }

    #[cold]
    #[inline(never)]
    fn get_slowly<U: DeserializeOwned>(&self) -> Result<U> {
        let (captured, _) = self.captured()?;
        codec::decode(captured).map_err(|error| self.target.with_context("get variable", error))
    }

    /// Returns the value, of any kind.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`], [`ErrorKind::Corrupt`].
    pub fn value(&self) -> Result<Value> {
        self.value_versioned().map(|(value, _)| value)
    }

    /// Returns the value, of any kind, and its version, for
    /// [`compare_and_set_value`](Self::compare_and_set_value).
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn value_versioned(&self) -> Result<(Value, Version)> {
        let (captured, version) = self.captured()?;
        let value =
            Value::of(captured).map_err(|error| self.target.with_context("get variable", error))?;
        Ok((value, version))
    }

    fn captured(&self) -> Result<(OwnedValue, Version)> {
        let store = &self.target.stored.inner.store;
        self.target.with("get variable", |handle| {
            Ok(match store.read(handle, |view| view.capture())? {
                Seen::Value(captured, number) => {
                    Seen::Value((captured?, Version::from((handle.id, number))), number)
                }
                Seen::Absent => Seen::Absent,
                Seen::Stale => Seen::Stale,
            })
        })
    }

    /// Sets the variable to a value of a type other than the handle's.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[inline]
    pub fn set_as(&self, value: impl Serialize) -> Result<()> {
        if let Some((kind, word)) = codec::plain(&value) {
            return self.put(&Raw::word(kind, word));
        }
        codec::encode(&value, &mut |raw: &Raw<'_>| self.put(raw))
            .map_err(|error| self.target.with_context("set variable", error))?
    }

    /// Sets the variable to a [`Value`], keeping the kind and number of a `Pod` and an `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn set_value(&self, value: &Value) -> Result<()> {
        value
            .encode(&mut |raw: &Raw<'_>| self.put(raw))
            .map_err(|error| self.target.with_context("set variable", error))?
    }

    /// Sets the variable to a [`Value`] if it still has the version `expected`.
    ///
    /// As [`compare_and_set`](Self::compare_and_set), keeping the kind and number of a `Pod` and an
    /// `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn compare_and_set_value(
        &self,
        expected: Version,
        value: &Value,
    ) -> Result<std::result::Result<Version, Version>> {
        value
            .encode(&mut |raw: &Raw<'_>| self.put_if(expected, raw))
            .map_err(|error| self.target.with_context("set variable", error))?
    }

    fn put_if(
        &self,
        expected: Version,
        raw: &Raw<'_>,
    ) -> Result<std::result::Result<Version, Version>> {
        let store = &self.target.stored.inner.store;
        self.target.with("set variable", |handle| {
            // A version of an earlier variable of this name matches no version of this one.
            let (id, number) = expected.into();
            let number = if id == handle.id { number } else { u64::MAX };
            let which = |number| Version::from((handle.id, number));
            Ok(match store.write_if(handle, raw, Expect::Version(number))? {
                Wrote::Version(version) => Seen::Value(Ok(which(version)), version),
                Wrote::Absent | Wrote::Other(0) => Seen::Absent,
                Wrote::Other(version) => Seen::Value(Err(which(version)), version),
                Wrote::Stale | Wrote::Unfit => Seen::Stale,
            })
        })
    }
}

impl<T: DeserializeOwned> Var<T> {
    /// Returns the value.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`], [`ErrorKind::WrongKind`], [`ErrorKind::OutOfRange`],
    /// [`ErrorKind::Corrupt`].
    #[inline]
    pub fn get(&self) -> Result<T> {
        self.get_as()
    }
}

impl<T: Serialize + DeserializeOwned> Var<T> {
    /// Replaces the value by the result of `change`, and returns that result.
    ///
    /// No lock is held while `change` runs. If another writer sets the variable meanwhile, `change`
    /// is called again with the new value, up to 1,000 times.
    ///
    /// ```
    /// # let name = format!("doc-var-update.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let runs = map.var_or("runs", 0_i64)?;
    /// assert_eq!(runs.update(|runs| runs + 1)?, 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`ErrorKind::Conflict`] if other writers
    /// set the variable during each call.
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T> {
        const UPDATES: u32 = 1000;
        let store = &self.target.stored.inner.store;
        for round in 0..UPDATES {
            let (captured, version) = self.captured()?;
            let value = codec::decode(captured)
                .map_err(|error| self.target.with_context("get variable", error))?;
            let value = change(value);
            if self.compare_and_set(version, &value)?.is_ok() {
                return Ok(value);
            }
            let _ = store.mem().pause(round);
        }
        Err(Error::new(ErrorKind::Conflict, "update variable", self.name())
            .detail("other processes wrote it at each attempt; try again, or use an Atomic"))
    }
}

impl<T: Serialize> Var<T> {
    /// Sets the variable if it still has the version `expected`.
    ///
    /// Returns the new version, or `Err` with the present version, and then nothing was set.
    ///
    /// ```
    /// # let name = format!("doc-var-cas.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let speed = map.var_or("speed", 0.0)?;
    /// let version = speed.version()?;
    /// let new = speed.compare_and_set(version, 3.5)?.expect("no other writer");
    /// assert_eq!(speed.compare_and_set(version, 4.0)?, Err(new));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn compare_and_set(
        &self,
        expected: Version,
        value: impl std::borrow::Borrow<T>,
    ) -> Result<std::result::Result<Version, Version>> {
        codec::encode(value.borrow(), &mut |raw: &Raw<'_>| self.put_if(expected, raw))
            .map_err(|error| self.target.with_context("set variable", error))?
    }

    /// Sets the variable.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`], and those of [`Map::set`].
    #[inline]
    pub fn set(&self, value: T) -> Result<()> {
        self.set_as(value)
    }
}

impl<T> Clone for Var<T> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Var<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Var").field(&self.target.stored.variable(self.name())).finish()
    }
}

const NO_HANDLES: &str = "the gem's layout has no handles to variables; use `get` and `set` of \
the map, or make it with Format::Store";

impl Map {
    /// Returns a handle to a variable, for repeated use.
    ///
    /// The type is not checked here, but by each [`Var::get`].
    ///
    /// ```
    /// # let name = format!("doc-map-var.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("speed", 3.5)?;
    /// let speed = map.var::<f64>("speed")?;
    /// assert_eq!(speed.get()?, 3.5);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): [`var_or`](Self::var_or) creates the variable.
    /// [`Unsupported`](ErrorKind::Unsupported) for a [`Format::Marshal`](crate::Format::Marshal)
    /// map.
    pub fn var<T>(&self, name: &str) -> Result<Var<T>> {
        let map = self.stored("open variable", NO_HANDLES)?;
        match map.resolve(name).map_err(|trouble| map.failed("open variable", name, trouble))? {
            Some(handle) => Ok(Var::new(self, map, name, handle)),
            None => Err(map.absent("open variable", name)),
        }
    }

    /// Returns a handle to a variable, and creates the variable with the value `init` if there is
    /// none.
    ///
    /// # Errors
    /// Those of [`set`](Self::set); [`Unsupported`](ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map.
    pub fn var_or<T: Serialize>(&self, name: &str, init: T) -> Result<Var<T>> {
        let map = self.stored("make variable", NO_HANDLES)?;
        let make = &mut |raw: &Raw<'_>| map.find_or_create(name, raw, false);
        let handle = codec::encode(&init, make)
            .map_err(|error| map.with_context("make variable", name, error))?
            .map_err(|trouble| map.failed("make variable", name, trouble))?;
        Ok(Var::new(self, map, name, handle))
    }
}
