//! Handles to an `Atomic`: a number of one machine word, with lock-free operations.

use crate::{Map, map::store_map::Stored, map::target::Target};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::Ordering::SeqCst,
    record::read::Seen,
    value::{Kind, Raw},
};
use mapvar_os::{Result, WordsMut};
use std::{fmt, marker::PhantomData};

mod sealed {
    use mapvar_engine::value::Kind;

    pub trait Word: Copy {
        const KIND: Kind;
        fn to_word(self) -> u64;
        fn from_word(word: u64) -> Self;
    }
}

/// A type that an [`Atomic`] can have: `i64`, `u64`, `f64`, `bool`.
///
/// ```
/// use mapvar::{Map, Result, Scalar};
///
/// fn read_or<T: Scalar>(map: &Map, name: &str, init: T) -> Result<T> {
///     map.atomic_or(name, init)?.get()
/// }
/// # let name = format!("doc-scalar.{}", std::process::id());
/// # let map = Map::options().name(&name).create()?;
/// # assert!(read_or(&map, "ready", true)?);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub trait Scalar: sealed::Word {}

/// A [`Scalar`] that supports addition: `i64`, `u64`.
///
/// ```
/// use mapvar::{Atomic, Integer, Result};
///
/// fn next<T: Integer>(count: &Atomic<T>, one: T) -> Result<T> {
///     count.fetch_add(one)
/// }
/// # let name = format!("doc-integer.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// # assert_eq!(next(&map.atomic_or("count", 5_u64)?, 1)?, 5);
/// # Ok::<(), mapvar::Error>(())
/// ```
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

/// A handle to a number of one machine word, with lock-free operations; from [`Map::atomic`] and
/// [`Map::atomic_or`].
///
/// Unlike another variable, it never changes its kind, and has no versions. So it cannot take part
/// in [`Map::compare_and_set`], [`Map::update`] and [`Map::transaction`], and a
/// [`Watch`](crate::Watch) may miss a change to another value and back. Operations that write are
/// sequentially consistent.
///
/// The handle owns a clone of the map, and is `'static`, `Send` and `Sync`. If the variable is
/// removed, operations fail with [`ErrorKind::Removed`](crate::ErrorKind::Removed) until there is
/// an `Atomic` of that name and type again.
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

    /// Returns the variable's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Returns the variable's map.
    pub fn map(&self) -> &Map {
        &self.target.map
    }

    /// Returns the value.
    ///
    /// It has acquire ordering: this thread sees what the thread that stored the value did before.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed);
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind) if a variable of another kind has the
    /// name by now.
    #[inline]
    pub fn get(&self) -> Result<T> {
        if let Some(word) = self.target.stored.inner.store.try_load_fast(self.target.handle())
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
    /// Those of [`get`](Self::get); [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly).
    #[inline]
    pub fn set(&self, value: T) -> Result<()> {
        self.swap(value).map(|_| ())
    }

    /// Stores a value and returns the previous one.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[inline]
    pub fn swap(&self, value: T) -> Result<T> {
        self.operate(|words| T::from_word(words.swap(WORD, value.to_word(), SeqCst)))
    }

    /// Stores `new` if the value is `old`.
    ///
    /// Returns `Ok(Ok(old))` if it stored `new`, else `Ok(Err(found))`. Floating-point numbers are
    /// compared by their bits.
    ///
    /// ```
    /// # let name = format!("doc-exchange.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let ready = map.atomic_or("ready", false)?;
    /// assert_eq!(ready.compare_exchange(false, true)?, Ok(false));
    /// assert_eq!(ready.compare_exchange(false, true)?, Err(true));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
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
        if let Some(handle) = self.target.usable_handle()
            && let Some(done) =
                self.target.stored.inner.store.try_operate_fast(handle, &mut operate)
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
    /// Adds `value`, wrapping around on overflow, and returns the previous value.
    ///
    /// # Errors
    /// Those of [`Atomic::set`].
    #[inline]
    pub fn fetch_add(&self, value: T) -> Result<T> {
        self.operate(|words| T::from_word(words.fetch_add(WORD, value.to_word(), SeqCst)))
    }

    /// Subtracts `value`, wrapping around on overflow, and returns the previous value.
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

const NO_ATOMICS: &str = "the gem's layout has no Atomics; use `update` of the map, or make it with \
                          Format::Store";

impl Map {
    /// Returns a handle to an [`Atomic`], a number with lock-free operations.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound): [`atomic_or`](Self::atomic_or) creates it.
    /// [`WrongKind`](crate::ErrorKind::WrongKind) if the variable is not an `Atomic`, or is one of
    /// another type. [`Unsupported`](crate::ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map.
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

    /// Returns a handle to an [`Atomic`], and creates it with the value `init` if there is none.
    ///
    /// The memory of a removed `Atomic` is reused only for an `Atomic` of the same name.
    ///
    /// # Errors
    /// Those of [`atomic`](Self::atomic) and [`set`](Self::set).
    pub fn atomic_or<T: Scalar>(&self, name: &str, init: T) -> Result<Atomic<T>> {
        let map = self.stored("make atomic", NO_ATOMICS)?;
        let make = || {
            let raw = Raw::word(T::KIND, init.to_word());
            let handle = map.find_or_create(name, &raw, true)?;
            self.as_atomic(map, name, handle)
        };
        make().map_err(|trouble| map.failed("make atomic", name, trouble))
    }

    fn as_atomic<T: Scalar>(
        &self,
        map: &Stored,
        name: &str,
        handle: Handle,
    ) -> Result<Atomic<T>, EngineError> {
        if !handle.atomic {
            return Err(EngineError::WrongKind(
                "it is a variable and no Atomic; use `var`, or remove it first",
            ));
        }
        match map.inner.store.atomic_kind(handle)? {
            Some(kind) if kind != T::KIND as u8 => Err(EngineError::WrongKind(
                "it is an Atomic of another type; ask for that one, or remove it first",
            )),
            _ => Ok(Atomic::new(self, map, name, handle)),
        }
    }
}
