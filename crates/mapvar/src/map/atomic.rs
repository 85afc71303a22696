//! Handles to an `Atomic`: a number of one machine word, with operations that take no lock.

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
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed);
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind) where another kind of variable took
    /// its name.
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

const NO_ATOMICS: &str = "the gem's layout has no Atomics; use `update` of the map, or make it with \
                          Format::Store";

impl Map {
    /// A handle to an [`Atomic`]: a number of one machine word, for ever of its kind, with
    /// operations that take no lock.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`WrongKind`](crate::ErrorKind::WrongKind) where
    /// the variable is no `Atomic` or one of another type.
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
