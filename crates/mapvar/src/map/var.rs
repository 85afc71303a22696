//! Handles to one variable: resolved once, then a few nanoseconds an operation.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    Map,
    map::store_map::Stored,
    map::target::Target,
    map::versioned::{Compared, NO_VERSIONS, UPDATES},
    value::codec,
    value::value_for::{FirstValue, ValueFor},
};
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
/// It is a name with a remembered place: it looks the variable up once, and not with each
/// operation. The variable need not exist. Without it [`get`](Self::get) fails with
/// [`NotFound`](ErrorKind::NotFound), [`find`](Self::find) returns `None`, and [`set`](Self::set)
/// creates it, as after a removal.
///
/// The handle owns a clone of the map, and is `'static`, `Send` and `Sync`.
///
/// Other processors see a set some nanoseconds after it has returned. Of two programs that each set a
/// variable and then read the other's, both may find the old value. Where that matters, use an
/// [`Atomic`](crate::Atomic), a transaction or a lock.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-var.{}", std::process::id())).create()?;
/// let speed = map.var_or("speed", 0.0)?;
/// speed.set(3.5)?;
/// assert_eq!(speed.get()?, 3.5);
/// assert_eq!(map.get::<f64>("speed")?, 3.5);
///
/// map.remove("speed")?;
/// assert_eq!(speed.find()?, None);
/// speed.set(4.0)?;
/// assert_eq!(map.get::<f64>("speed")?, 4.0);
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
    /// [`ErrorKind::NotFound`]; [`ErrorKind::WrongKind`] for a kind that this version does not know.
    #[doc(hidden)]
    pub fn kind(&self) -> Result<Kind> {
        let number = self
            .target
            .with(GET, |handle| self.target.stored.inner.store.read(handle, |view| view.kind()))?;
        Kind::of(number).ok_or_else(|| {
            Error::new(ErrorKind::WrongKind, GET, self.target.stored.variable(self.name()))
                .detail("it is of a kind that this version does not know")
        })
    }

    /// Returns the version of the present value, for [`compare_and_set`](Self::compare_and_set);
    /// [`Version::ABSENT`] if there is no variable.
    ///
    /// Each `set` in any process gives the variable another version, and so does removing and
    /// creating it again.
    ///
    /// # Errors
    /// Those of [`Map::version`].
    pub fn version(&self) -> Result<Version> {
        let found = self.target.find_with(GET, |handle| {
            if handle.atomic {
                return Err(EngineError::WrongKind(NO_VERSIONS));
            }
            Ok(match self.target.stored.inner.store.read(handle, |_| ())? {
                Seen::Value((), number) => Seen::Value(Version::from((handle.id, number)), number),
                Seen::Absent => Seen::Absent,
                Seen::Stale => Seen::Stale,
            })
        })?;
        Ok(found.unwrap_or(Version::ABSENT))
    }

    /// Copies the bytes of the value into `into`, as many as fit; returns how many bytes it has.
    ///
    /// For text, bytes and plain types; a number has eight bytes, and nil and an empty list have none.
    /// It allocates no memory.
    ///
    /// ```
    /// # let name = format!("doc-read-bytes.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let frame = map.var_or("frame", Vec::<u8>::new())?;
    /// frame.write_bytes(&[1, 2, 3])?;
    /// let mut buffer = [0; 8];
    /// let len = frame.read_bytes(&mut buffer)?;
    /// assert_eq!(buffer[..len], [1, 2, 3]);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::WrongKind`] for a list or dictionary with elements.
    #[inline]
    pub fn read_bytes(&self, into: &mut [u8]) -> Result<usize> {
        let target = &self.target;
        if let Some((here, id)) = target.here()
            && let Some(len) = target.store().try_read_into_here(here, id, into)
            && target.is_usable()
        {
            return Ok(len);
        }
        // By `?`: the compiler then knows that the result above is `Ok`.
        #[allow(clippy::needless_question_mark, reason = "saves a second test of the tag")]
        Ok(self.read_bytes_slowly(into)?)
    }

    #[cold]
    #[inline(never)]
    fn read_bytes_slowly(&self, into: &mut [u8]) -> Result<usize> {
        const EMPTY_LIST: [u8; 1] = [0x90];
        self.target.with(GET, |handle| {
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
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.put(&Raw::bytes(Kind::Bytes, 0, bytes))
    }

    #[inline(always)]
    fn put(&self, raw: &Raw<'_>) -> Result<()> {
        if self.target.is_usable()
            && let Some((here, id)) = self.target.here()
            && self.target.store().try_write_here(here, id, raw)
        {
            return self.target.acknowledged(SET, ());
        }
        self.put_slowly(*raw)
    }

    // By value: by reference, `raw` would be written to memory on the fast path too.
    #[cold]
    #[inline(never)]
    fn put_slowly(&self, raw: Raw<'_>) -> Result<()> {
        let store = &self.target.stored.inner.store;
        let wrote = self.target.find_with(SET, |handle| {
            Ok(match store.write_if(handle, &raw, Expect::Any)? {
                Wrote::Version(version) => Seen::Value((), version),
                Wrote::Absent => Seen::Absent,
                Wrote::Stale | Wrote::Unfit | Wrote::Other(_) => Seen::Stale,
            })
        })?;
        match wrote {
            Some(()) => Ok(()),
            None => self.create(&raw),
        }
    }

    /// Sets the variable by its name, and so creates it, and remembers the record.
    fn create(&self, raw: &Raw<'_>) -> Result<()> {
        self.target.stored.put_slowly(&self.target.name, *raw)?;
        // An error has no effect: the next operation looks the name up again.
        let _ = self.target.place();
        Ok(())
    }
}

impl<T> Var<T> {
    /// Returns the value as a type other than the handle's, such as one known only at run time.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(hidden)]
    #[inline]
    pub fn get_as<U: DeserializeOwned>(&self) -> Result<U> {
        if let Some(value) = self.try_get_fast() {
            return Ok(value);
        }
        // By `?`: the compiler then knows that the result above is `Ok`.
        #[allow(clippy::needless_question_mark, reason = "saves a second test of the tag")]
        Ok(self.get_slowly()?)
    }

    /// Reads a number or `bool` in one attempt; `None` if the full path has to read it.
    #[inline(always)]
    fn try_get_fast<U: DeserializeOwned>(&self) -> Option<U> {
        let (here, id) = self.target.here()?;
        let (desc, word) = self.target.store().try_read_here(here, id)?;
        codec::of_plain(desc, word).filter(|_| self.target.is_usable())
    }

    #[cold]
    #[inline(never)]
    fn get_slowly<U: DeserializeOwned>(&self) -> Result<U> {
        let (captured, _) = self.captured()?.ok_or_else(|| self.target.absent(GET))?;
        self.decoded(captured)
    }

    fn decoded<U: DeserializeOwned>(&self, captured: OwnedValue) -> Result<U> {
        codec::decode(self.described(captured)?)
            .map_err(|error| self.target.with_context(GET, error))
    }

    /// Turns a plain struct into a dictionary.
    fn described(&self, captured: OwnedValue) -> Result<OwnedValue> {
        let described = self.target.stored.described(captured);
        described.map_err(|error| self.target.with_context(GET, error))
    }

    fn captured(&self) -> Result<Option<(OwnedValue, Version)>> {
        let store = &self.target.stored.inner.store;
        self.target.find_with(GET, |handle| {
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
    #[doc(hidden)]
    #[inline]
    pub fn set_as(&self, value: impl Serialize) -> Result<()> {
        if let Some((kind, word)) = codec::plain(&value) {
            return self.put(&Raw::word(kind, word));
        }
        codec::encode(&value, &mut |raw: &Raw<'_>| self.put(raw))
            .map_err(|error| self.target.with_context(SET, error))?
    }

    fn put_if(&self, expected: Version, raw: &Raw<'_>) -> Result<Compared<Version>> {
        let store = &self.target.stored.inner.store;
        let (id, number) = expected.into();
        let handle = self.target.handle();
        // The version of another record than the remembered one, or of none, is one for the name.
        let there = id == handle.id && handle.at != Handle::NOWHERE.at;
        if there {
            let write = || store.write_if(handle, raw, Expect::Version(number));
            let wrote = self.target.stored.run(write);
            let which = |number| Version::from((handle.id, number));
            match wrote.map_err(|trouble| self.target.failed(SET, trouble))? {
                Wrote::Version(version) => return Ok(Compared::Set(which(version))),
                Wrote::Other(0) => return Ok(Compared::Changed(Version::ABSENT)),
                Wrote::Other(version) => return Ok(Compared::Changed(which(version))),
                Wrote::Stale | Wrote::Absent | Wrote::Unfit => {}
            }
        }
        let done = self.target.stored.put_if(&self.target.name, expected, raw)?;
        // An error has no effect: the next operation looks the name up again.
        let _ = self.target.place();
        Ok(done)
    }
}

impl<T: DeserializeOwned> Var<T> {
    /// Returns the value.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::WrongKind`], [`ErrorKind::OutOfRange`],
    /// [`ErrorKind::Corrupt`].
    #[inline]
    pub fn get(&self) -> Result<T> {
        self.get_as()
    }

    /// Returns the value, or `None` if there is no variable.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    #[inline]
    pub fn find(&self) -> Result<Option<T>> {
        if let Some(value) = self.try_get_fast() {
            return Ok(Some(value));
        }
        self.captured()?.map(|(captured, _)| self.decoded(captured)).transpose()
    }

    /// Returns the value and its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    /// Those of [`get`](Self::get); [`ErrorKind::WrongKind`] for an [`Atomic`](crate::Atomic), which
    /// has no versions.
    pub fn get_versioned(&self) -> Result<(T, Version)> {
        let (captured, version) = self.captured()?.ok_or_else(|| self.target.absent(GET))?;
        if self.target.handle().atomic {
            return Err(self.target.failed(GET, EngineError::WrongKind(NO_VERSIONS)));
        }
        Ok((self.decoded(captured)?, version))
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
    /// let runs = map.var_or("runs", 0)?;
    /// assert_eq!(runs.update(|runs| runs + 1)?, 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`ErrorKind::Conflict`] if other writers
    /// set the variable during each call.
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T> {
        let mut last = None;
        let kept = |value| {
            last = Some(change(value));
            Ok::<_, Error>(last.take())
        };
        match self.try_update(kept)? {
            Some(value) => Ok(value),
            // `kept` returns a value each time it is called.
            None => self.get(),
        }
    }

    /// As [`update`](Self::update), with a `change` that may fail, or return `None` to leave the
    /// value as it is. Returns the new value, or `None` if nothing was set.
    ///
    /// ```
    /// # let name = format!("doc-var-try-update.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let seats = map.var_or("seats", 1)?;
    /// let take = |seats| Ok::<_, mapvar::Error>((seats > 0).then(|| seats - 1));
    /// assert_eq!(seats.try_update(take)?, Some(0));
    /// assert_eq!(seats.try_update(take)?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and of `change`.
    pub fn try_update<E: From<Error>>(
        &self,
        mut change: impl FnMut(T) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let store = &self.target.stored.inner.store;
        for round in 0..UPDATES {
            let (value, version) = self.get_versioned()?;
            let Some(value) = change(value)? else { return Ok(None) };
            let put = &mut |raw: &Raw<'_>| self.put_if(version, raw);
            let done = codec::encode(&value, put)
                .map_err(|error| self.target.with_context(SET, error))??;
            if let Compared::Set(_) = done {
                return Ok(Some(value));
            }
            let _ = store.mem().pause(round);
        }
        let error = Error::new(
            ErrorKind::Conflict,
            "update variable",
            self.target.stored.variable(self.name()),
        );
        Err(error
            .detail("other processes wrote it at each attempt; try again, or use an Atomic")
            .into())
    }
}

impl<T> Var<T> {
    /// Sets the variable if it still has the version `expected`; with [`Version::ABSENT`], if it
    /// does not exist.
    ///
    /// ```
    /// # let name = format!("doc-var-cas.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// use mapvar::Compared;
    ///
    /// let speed = map.var_or("speed", 0.0)?;
    /// let old = speed.version()?;
    /// let Compared::Set(new) = speed.compare_and_set(old, 3.5)? else { panic!("another writer") };
    /// assert_eq!(speed.compare_and_set(old, 4.0)?, Compared::Changed(new));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[allow(clippy::needless_pass_by_value, reason = "a reference is such a value too")]
    pub fn compare_and_set(
        &self,
        expected: Version,
        value: impl ValueFor<T>,
    ) -> Result<Compared<Version>> {
        codec::encode(&value, &mut |raw: &Raw<'_>| self.put_if(expected, raw))
            .map_err(|error| self.target.with_context(SET, error))?
    }

    /// Sets the variable, and creates it if there is none.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-vset.{}", std::process::id())).create()?;
    /// let state = map.var_or("state", "idle")?; // a `Var<String>`
    /// state.set("busy")?;
    /// let samples = map.var::<Vec<f64>>("samples")?;
    /// samples.set(&[1.5, 2.5])?;
    /// assert_eq!((state.get()?.as_str(), samples.get()?), ("busy", vec![1.5, 2.5]));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Map::set`].
    #[inline]
    pub fn set(&self, value: impl ValueFor<T>) -> Result<()> {
        self.set_as(value)
    }

    /// Sets the variable unless it holds that value already; returns whether it set it.
    ///
    /// A watch so reports nothing new, and the version stays. Another writer may set the variable
    /// between the comparison and the return.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-vsic.{}", std::process::id())).create()?;
    /// let state = map.var_or("state", "idle")?;
    /// assert!(!state.set_if_changed("idle")?);
    /// assert!(state.set_if_changed("busy")?);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set), and [`ErrorKind::Corrupt`].
    #[allow(clippy::needless_pass_by_value, reason = "a reference is such a value too")]
    pub fn set_if_changed(&self, value: impl ValueFor<T>) -> Result<bool> {
        let put = &mut |raw: &Raw<'_>| {
            if let Some((found, _)) = self.captured()?
                && found.is(raw)
            {
                return Ok(false);
            }
            self.put(raw).map(|()| true)
        };
        codec::encode(&value, put).map_err(|error| self.target.with_context(SET, error))?
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
    /// Returns a handle to a variable, for repeated use. The variable need not exist.
    ///
    /// The type is not checked here, but by each [`Var::get`].
    ///
    /// ```
    /// # let name = format!("doc-map-var.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let speed = map.var::<f64>("speed")?;
    /// assert_eq!(speed.find()?, None);
    /// map.set("speed", 3.5)?;
    /// assert_eq!(speed.get()?, 3.5);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName); [`Corrupt`](ErrorKind::Corrupt);
    /// [`Unsupported`](ErrorKind::Unsupported) for a [`Format::Marshal`](crate::Format::Marshal)
    /// map.
    pub fn var<T>(&self, name: &str) -> Result<Var<T>> {
        let map = self.stored("open variable", NO_HANDLES)?;
        let found = map.run(|| map.resolve(name));
        let handle = found.map_err(|trouble| map.failed("open variable", name, trouble))?;
        Ok(Var::new(self, map, name, handle.unwrap_or(Handle::NOWHERE)))
    }

    /// Returns a handle to a variable, and creates the variable with the value `init` if there is
    /// none.
    ///
    /// A text literal makes a `Var<String>`, and a reference to a struct a `Var` of that struct: see
    /// [`FirstValue`].
    ///
    /// # Errors
    /// Those of [`set`](Self::set); [`Unsupported`](ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map.
    #[allow(clippy::needless_pass_by_value, reason = "a reference is such a value too")]
    pub fn var_or<T>(&self, name: &str, init: impl FirstValue<T>) -> Result<Var<T>> {
        let map = self.stored("make variable", NO_HANDLES)?;
        let make = &mut |raw: &Raw<'_>| map.find_or_create(name, raw, false);
        let handle = codec::encode(&init, make)
            .map_err(|error| map.with_context("make variable", name, error))?
            .map_err(|trouble| map.failed("make variable", name, trouble))?;
        Ok(Var::new(self, map, name, handle))
    }
}

/// The operations in messages.
const GET: &str = "get variable";
const SET: &str = "set variable";
