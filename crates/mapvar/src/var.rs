//! Handles to one variable: resolved once, then a few nanoseconds an operation.

use crate::{
    Map, Value, codec,
    stored::{AGAIN, Stored},
};
use mapvar_engine::{
    error::Trouble,
    handle::Handle,
    layout,
    mem::Ordering::{Relaxed, SeqCst},
    mem::{Mem, Private},
    record::read::Seen,
    value::{Captured, Kind, Raw},
    version::{Expect, Version, Wrote},
};
use mapvar_os::{Error, ErrorKind, Result, WordsMut};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, marker::PhantomData, sync::Arc};

/// What `Var` and `Atomic` share: the map, the name, and where the variable was found last.
struct Target {
    /// What users are handed.
    map: Map,
    stored: Stored,
    name: Arc<str>,
    /// A packed handle's offset, size and flag; and its id. Two words that may be of two moments:
    /// then they do not fit each other, and the name is resolved again.
    place: [Private; 2],
    /// The kind of an `Atomic`: what bears its name later must be one of it too.
    atomic: Option<Kind>,
}

impl Target {
    fn new(map: &Map, stored: &Stored, name: &str, handle: Handle, atomic: Option<Kind>) -> Self {
        let place = [Private::new(pack(handle)), Private::new(handle.id)];
        Self { map: map.clone(), stored: stored.clone(), name: name.into(), place, atomic }
    }

    #[inline]
    fn handle(&self) -> Handle {
        let [place, id] = &self.place;
        unpack(place.load(Relaxed), id.load(Relaxed))
    }

    /// Where the variable was found last, if this process may write to the map.
    #[inline]
    fn at_hand(&self) -> Option<Handle> {
        self.stored.is_usable().then(|| self.handle())
    }

    /// `done`, if what was written is where the others are.
    #[inline]
    fn acknowledged<R>(&self, operation: &'static str, done: R) -> Result<R> {
        self.stored.acknowledged(operation, &self.name, done)
    }

    /// Runs `operate` on the variable's record, and again on another where it has moved on; an
    /// absent variable is `Removed`.
    #[inline(never)]
    fn with<R>(
        &self,
        operation: &'static str,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, Trouble>,
    ) -> Result<R> {
        let first = self.stored.run(|| operate(self.handle()));
        match first {
            Ok(Seen::Value(value, _)) => Ok(value),
            other => self.again(operation, other, operate),
        }
    }

    #[cold]
    fn again<R>(
        &self,
        operation: &'static str,
        mut last: Result<Seen<R>, Trouble>,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, Trouble>,
    ) -> Result<R> {
        let failed = |trouble| self.stored.failed(operation, &self.name, trouble);
        for _ in 0..AGAIN {
            match last.map_err(failed)? {
                Seen::Value(value, _) => return Ok(value),
                Seen::Absent => return Err(self.removed(operation)),
                Seen::Stale => {}
            }
            let Some(handle) = self.stored.resolve(&self.name).map_err(failed)? else {
                return Err(self.removed(operation));
            };
            self.still_atomic(handle).map_err(failed)?;
            let [place, id] = &self.place;
            place.store(pack(handle), Relaxed);
            id.store(handle.id, Relaxed);
            last = self.stored.run(|| operate(handle));
        }
        Err(failed(Trouble::Contended))
    }

    /// Looked at only when the name was resolved anew: a record is an `Atomic` of its kind for
    /// ever.
    fn still_atomic(&self, handle: Handle) -> Result<(), Trouble> {
        let Some(kind) = self.atomic else { return Ok(()) };
        let fits = handle.atomic
            && self.stored.inner.store.atomic_kind(handle)?.is_none_or(|found| found == kind as u8);
        if fits {
            return Ok(());
        }
        Err(Trouble::WrongKind("another kind of variable bears its name now; open it again"))
    }

    #[cold]
    fn removed(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Removed, operation, self.stored.variable(&self.name))
            .detail("it was removed; `set` of the map makes it again")
    }

    fn told(&self, operation: &'static str, error: Error) -> Error {
        error.during(operation, self.stored.variable(&self.name))
    }
}

impl Clone for Target {
    fn clone(&self) -> Self {
        let [place, id] = &self.place;
        let place = [Private::new(place.load(Relaxed)), Private::new(id.load(Relaxed))];
        Self {
            map: self.map.clone(),
            stored: self.stored.clone(),
            name: self.name.clone(),
            place,
            atomic: self.atomic,
        }
    }
}

/// Offset in bits 6..=54, words of a slot from 56, flag in bit 0.
fn pack(handle: Handle) -> u64 {
    u64::from(handle.slot_words) << 56 | handle.at | u64::from(handle.atomic)
}

#[inline]
fn unpack(place: u64, id: u64) -> Handle {
    Handle {
        at: place & 0x00ff_ffff_ffff_ffc0,
        id,
        slot_words: (place >> 56) as u8,
        atomic: place & 1 != 0,
    }
}

const _: () = assert!(layout::MOST_CHUNKS * layout::CHUNK <= 1 << 56, "an offset fits its bits");

/// A handle to one variable, of type `T`. Owns a clone of the map: `'static`, `Send` and `Sync`.
///
/// A handle to a removed variable answers [`Removed`](ErrorKind::Removed) until there is a variable
/// of that name again, and then follows that one.
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
    // `fn() -> T`: a handle owns no `T`, so it is `Send` and `Sync` whatever `T` is.
    of: PhantomData<fn() -> T>,
}

impl<T> Var<T> {
    pub(crate) fn new(map: &Map, stored: &Stored, name: &str, handle: Handle) -> Self {
        Self { target: Target::new(map, stored, name, handle, None), of: PhantomData }
    }

    /// The variable's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The map that it is of.
    pub fn map(&self) -> &Map {
        &self.target.map
    }

    /// Its present kind.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`].
    pub fn kind(&self) -> Result<Kind> {
        let number = self.target.with("get variable", |handle| {
            self.target.stored.inner.store.read(handle, |shot| shot.kind())
        })?;
        Kind::of(number).ok_or_else(|| {
            Error::new(ErrorKind::WrongKind, "get variable", self.name())
                .detail("it is of a kind that this version does not know")
        })
    }

    /// Its present version, another with each `set`, in whatever process, and another again when the
    /// variable is removed and made anew.
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

    /// Copies the bytes of its value (text, bytes, plain types) into `into`, as many as fit, and
    /// answers how many it has. Nothing is set aside on the way.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`].
    #[inline]
    pub fn get_into(&self, into: &mut [u8]) -> Result<usize> {
        if let Some(len) = self.target.stored.inner.store.peek_into(self.target.handle(), into)
            && self.target.stored.is_usable()
        {
            return Ok(len);
        }
        self.get_into_slowly(into)
    }

    #[cold]
    #[inline(never)]
    fn get_into_slowly(&self, into: &mut [u8]) -> Result<usize> {
        self.target.with("get variable", |handle| {
            self.target.stored.inner.store.read(handle, |shot| {
                shot.copy_to(into);
                shot.len()
            })
        })
    }

    /// Sets it to these bytes.
    ///
    /// # Errors
    /// Those of [`Var::set`].
    #[inline]
    pub fn set_from(&self, bytes: &[u8]) -> Result<()> {
        self.put(&Raw::bytes(Kind::Bytes, 0, bytes))
    }

    #[inline]
    fn put(&self, raw: &Raw<'_>) -> Result<()> {
        if let Some(handle) = self.target.at_hand()
            && self.target.stored.inner.store.poke(handle, raw, false)
        {
            return self.target.acknowledged("set variable", ());
        }
        self.put_slowly(*raw)
    }

    // By value: by reference it would be written to memory on the fast path too.
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
    /// Its value, as another type than the handle's: for who learns it while the program runs.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[inline]
    pub fn get_as<U: DeserializeOwned>(&self) -> Result<U> {
        if let Some((desc, word)) = self.target.stored.inner.store.peek(self.target.handle())
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
        codec::decode(captured).map_err(|error| self.target.told("get variable", error))
    }

    /// Its value, of whatever kind it is.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`], [`ErrorKind::Corrupt`].
    pub fn value(&self) -> Result<Value> {
        self.value_versioned().map(|(value, _)| value)
    }

    /// Its value, of whatever kind it is, and the version of that, for
    /// [`compare_and_set_value`](Self::compare_and_set_value).
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn value_versioned(&self) -> Result<(Value, Version)> {
        let (captured, version) = self.captured()?;
        let value = Value::of(captured).map_err(|error| self.target.told("get variable", error))?;
        Ok((value, version))
    }

    fn captured(&self) -> Result<(Captured, Version)> {
        let store = &self.target.stored.inner.store;
        self.target.with("get variable", |handle| {
            Ok(match store.read(handle, |shot| shot.capture())? {
                Seen::Value(captured, number) => {
                    Seen::Value((captured?, Version::from((handle.id, number))), number)
                }
                Seen::Absent => Seen::Absent,
                Seen::Stale => Seen::Stale,
            })
        })
    }

    /// Sets it, to a value of another type than the handle's.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[inline]
    pub fn set_as(&self, value: impl Serialize) -> Result<()> {
        if let Some((kind, word)) = codec::plain(&value) {
            return self.put(&Raw::word(kind, word));
        }
        codec::encode(&value, &mut |raw: &Raw<'_>| self.put(raw))
            .map_err(|error| self.target.told("set variable", error))?
    }

    /// Sets it to a [`Value`], keeping the kind and number of its `Pod` and `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn set_value(&self, value: &Value) -> Result<()> {
        value
            .encode(&mut |raw: &Raw<'_>| self.put(raw))
            .map_err(|error| self.target.told("set variable", error))?
    }

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
            .map_err(|error| self.target.told("set variable", error))?
    }

    fn put_if(
        &self,
        expected: Version,
        raw: &Raw<'_>,
    ) -> Result<std::result::Result<Version, Version>> {
        let store = &self.target.stored.inner.store;
        self.target.with("set variable", |handle| {
            // A version of another variable of this name is none of this one's.
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
    /// Its value.
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
    /// Replaces its value by what `change` makes of it, and answers that. If somebody else writes it
    /// meanwhile, `change` is called again: no lock is held while it runs.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`ErrorKind::Conflict`] where others wrote
    /// it each time.
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T> {
        const UPDATES: u32 = 1000;
        let store = &self.target.stored.inner.store;
        for round in 0..UPDATES {
            let (captured, version) = self.captured()?;
            let value =
                codec::decode(captured).map_err(|error| self.target.told("get variable", error))?;
            let value = change(value);
            if self.compare_and_set(version, &value)?.is_ok() {
                return Ok(value);
            }
            let _ = store.mem().pause(round);
        }
        Err(Error::new(ErrorKind::Conflict, "update variable", self.name())
            .detail("others wrote it each time; try again, or use an Atomic"))
    }
}

impl<T: Serialize> Var<T> {
    /// Sets it if it still has the version `expected`; answers the new one, or `Err` with the one
    /// that stands there instead.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn compare_and_set(
        &self,
        expected: Version,
        value: impl std::borrow::Borrow<T>,
    ) -> Result<std::result::Result<Version, Version>> {
        codec::encode(value.borrow(), &mut |raw: &Raw<'_>| self.put_if(expected, raw))
            .map_err(|error| self.target.told("set variable", error))?
    }

    /// Sets it.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`], [`ErrorKind::TooLarge`], [`ErrorKind::TimedOut`],
    /// [`ErrorKind::ReadOnly`].
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

mod sealed {
    use mapvar_engine::value::Kind;

    pub trait Word: Copy {
        const KIND: Kind;
        fn to_word(self) -> u64;
        fn from_word(word: u64) -> Self;
    }
}

/// A type that an [`Atomic`] can be of: `i64`, `u64`, `f64`, `bool`.
pub trait Scalar: sealed::Word {}

/// A [`Scalar`] that can be added to: `i64`, `u64`.
pub trait Integer: Scalar {}

macro_rules! scalars {
    ($($type:ty => $kind:ident $to:expr, $from:expr;)*) => {$(
        impl sealed::Word for $type {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn to_word(self) -> u64 {
                $to(self)
            }

            #[inline]
            fn from_word(word: u64) -> Self {
                $from(word)
            }
        }

        impl Scalar for $type {}
    )*};
}

scalars! {
    i64 => I64 i64::cast_unsigned, u64::cast_signed;
    u64 => U64 std::convert::identity, std::convert::identity;
    f64 => F64 f64::to_bits, f64::from_bits;
    bool => Bool u64::from, |word| word != 0;
}

impl Integer for i64 {}
impl Integer for u64 {}

/// A handle to a number of one machine word, for ever of its kind, whose operations take no lock.
/// Owns a clone of the map: `'static`, `Send` and `Sync`.
///
/// What it gives up for its speed: it has no versions.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-atomic.{}", std::process::id())).create()?;
/// let count = map.atomic_or("count", 0_i64)?;
/// count.fetch_add(2)?;
/// assert_eq!(count.compare_exchange(2, 7)?, Ok(2));
/// assert_eq!(count.swap(1)?, 7);
/// assert_eq!(map.get::<i64>("count")?, 1);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Atomic<T> {
    target: Target,
    of: PhantomData<fn() -> T>,
}

impl<T: Scalar> Atomic<T> {
    pub(crate) fn new(map: &Map, stored: &Stored, name: &str, handle: Handle) -> Self {
        Self { target: Target::new(map, stored, name, handle, Some(T::KIND)), of: PhantomData }
    }

    /// The variable's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The map that it is of.
    pub fn map(&self) -> &Map {
        &self.target.map
    }

    /// Its value; acquires what the one who stored it had done before.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`]; [`ErrorKind::WrongKind`] where another kind of variable took its
    /// name.
    #[inline]
    pub fn get(&self) -> Result<T> {
        if let Some(word) = self.target.stored.inner.store.peek_atomic(self.target.handle())
            && self.target.stored.is_usable()
        {
            return Ok(T::from_word(word));
        }
        self.get_slowly()
    }

    #[cold]
    #[inline(never)]
    fn get_slowly(&self) -> Result<T> {
        let store = &self.target.stored.inner.store;
        let word = self.target.with("get atomic", |handle| {
            Ok(store.atomic_load(handle)?.map_or(Seen::Stale, |word| Seen::Value(word, 0)))
        })?;
        Ok(T::from_word(word))
    }

    /// Stores a value.
    ///
    /// # Errors
    /// Those of [`get`](Self::get); [`ErrorKind::ReadOnly`].
    #[inline]
    pub fn set(&self, value: T) -> Result<()> {
        self.swap(value).map(|_| ())
    }

    /// Stores a value and answers the one before.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[inline]
    pub fn swap(&self, value: T) -> Result<T> {
        self.operate(|words| T::from_word(words.swap(WORD, value.to_word(), SeqCst)))
    }

    /// Stores `new` where `old` stands; `Ok(Err(found))` where something else stood there. Floating
    /// point numbers are compared by their bits.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[inline]
    pub fn compare_exchange(&self, old: T, new: T) -> Result<Result<T, T>> {
        self.operate(|words| {
            words
                .compare_exchange(WORD, old.to_word(), new.to_word())
                .map(T::from_word)
                .map_err(T::from_word)
        })
    }

    #[inline]
    fn operate<R>(&self, mut operate: impl FnMut(WordsMut<'_>) -> R) -> Result<R> {
        if let Some(handle) = self.target.at_hand()
            && let Some(done) = self.target.stored.inner.store.poke_atomic(handle, &mut operate)
        {
            return self.target.acknowledged("set atomic", done);
        }
        self.operate_slowly(operate)
    }

    #[cold]
    #[inline(never)]
    fn operate_slowly<R>(&self, mut operate: impl FnMut(WordsMut<'_>) -> R) -> Result<R> {
        let store = &self.target.stored.inner.store;
        self.target.with("set atomic", |handle| {
            Ok(store
                .atomic(handle, &mut operate)?
                .map_or(Seen::Stale, |result| Seen::Value(result, 0)))
        })
    }
}

impl<T: Integer> Atomic<T> {
    /// Adds, wrapping around at the ends of the type, and answers the value before.
    ///
    /// # Errors
    /// Those of [`Atomic::set`].
    #[inline]
    pub fn fetch_add(&self, value: T) -> Result<T> {
        self.operate(|words| T::from_word(words.fetch_add(WORD, value.to_word(), SeqCst)))
    }

    /// Subtracts, wrapping around at the ends of the type, and answers the value before.
    ///
    /// # Errors
    /// Those of [`Atomic::set`].
    #[inline]
    pub fn fetch_sub(&self, value: T) -> Result<T> {
        let minus = value.to_word().wrapping_neg();
        self.operate(|words| T::from_word(words.fetch_add(WORD, minus, SeqCst)))
    }
}

const WORD: usize = mapvar_engine::layout::record::VALUE;

impl<T> Clone for Atomic<T> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Atomic").field(&self.target.stored.variable(&self.target.name)).finish()
    }
}

const NO_HANDLES: &str = "the gem's layout has no places of their own for variables; use `get` and \
                          `set` of the map, or make it with Format::Store";
const NO_ATOMICS: &str = "the gem's layout has no Atomics; use `update` of the map, or make it with \
                          Format::Store";

impl Map {
    /// A handle to a variable, for those who use it often.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): [`var_or`](Self::var_or) makes it. The type is checked
    /// with each `get`.
    pub fn var<T>(&self, name: &str) -> Result<Var<T>> {
        let map = self.stored("open variable", NO_HANDLES)?;
        match map.resolve(name).map_err(|trouble| map.failed("open variable", name, trouble))? {
            Some(handle) => Ok(Var::new(self, map, name, handle)),
            None => Err(map.absent("open variable", name)),
        }
    }

    /// A handle to a variable, which is made with `init` where there is none.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn var_or<T: Serialize>(&self, name: &str, init: T) -> Result<Var<T>> {
        let map = self.stored("make variable", NO_HANDLES)?;
        let make = &mut |raw: &Raw<'_>| map.find_or_make(name, raw, false);
        let handle = codec::encode(&init, make)
            .map_err(|error| map.told("make variable", name, error))?
            .map_err(|trouble| map.failed("make variable", name, trouble))?;
        Ok(Var::new(self, map, name, handle))
    }

    /// A handle to an [`Atomic`]: a number of one machine word, for ever of its kind, with
    /// operations that take no lock.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`WrongKind`](ErrorKind::WrongKind) where the variable is
    /// no `Atomic` or one of another type.
    pub fn atomic<T: Scalar>(&self, name: &str) -> Result<Atomic<T>> {
        let map = self.stored("open atomic", NO_ATOMICS)?;
        let open = || match map.resolve(name)? {
            Some(handle) => self.as_atomic::<T>(map, name, handle).map(Some),
            None => Ok(None),
        };
        open()
            .map_err(|trouble| map.failed("open atomic", name, trouble))?
            .ok_or_else(|| map.absent("open atomic", name))
    }

    /// A handle to an [`Atomic`], which is made with `init` where there is none.
    ///
    /// # Errors
    /// Those of [`atomic`](Self::atomic) and [`set`](Self::set).
    pub fn atomic_or<T: Scalar>(&self, name: &str, init: T) -> Result<Atomic<T>> {
        let map = self.stored("make atomic", NO_ATOMICS)?;
        let make = || {
            let raw = Raw::word(T::KIND, init.to_word());
            let handle = map.find_or_make(name, &raw, true)?;
            self.as_atomic(map, name, handle)
        };
        make().map_err(|trouble| map.failed("make atomic", name, trouble))
    }

    fn as_atomic<T: Scalar>(
        &self,
        map: &Stored,
        name: &str,
        handle: Handle,
    ) -> Result<Atomic<T>, Trouble> {
        if !handle.atomic {
            return Err(Trouble::WrongKind(
                "it is a variable and no Atomic; use `var`, or remove it first",
            ));
        }
        match map.inner.store.atomic_kind(handle)? {
            Some(kind) if kind != T::KIND as u8 => Err(Trouble::WrongKind(
                "it is an Atomic of another type; ask for that one, or remove it first",
            )),
            _ => Ok(Atomic::new(self, map, name, handle)),
        }
    }
}
