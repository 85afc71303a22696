//! Handles to an `Atomic`: a number of one machine word, with lock-free operations.

use crate::{
    Map,
    map::store_map::Stored,
    map::target::Target,
    map::versioned::{Compared, UPDATES},
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::Mem,
    mem::Ordering::SeqCst,
    record::read::Seen,
    store::Store,
    value::{Kind, Raw},
};
use mapvar_os::{Error, ErrorKind, Result, WordsMut};
use std::{fmt, marker::PhantomData};

mod sealed {
    use mapvar_engine::value::Kind;

    pub trait Word: Copy {
        const KIND: Kind;
        /// Whether every word is a value of the type.
        const WIDE: bool;
        fn to_word(self) -> u64;
        fn from_word(word: u64) -> Option<Self>;
    }

    pub trait Whole: Word + Ord {
        fn wrapping_plus(self, other: Self) -> Self;
        fn wrapping_minus(self, other: Self) -> Self;
        fn bits_and(self, other: Self) -> Self;
        fn bits_or(self, other: Self) -> Self;
    }
}

/// A type that an [`Atomic`] can have: `i64`, `u64`, `f64`, `bool`, `i32`, `u32`, `isize`, `usize`.
///
/// Each is stored as a word of 64 bits: signed integers as an `i64`, unsigned ones as a `u64`.
/// Processes may so use different types for one variable. A number that a type cannot hold is an
/// [`OutOfRange`](crate::ErrorKind::OutOfRange) error for it.
///
/// ```
/// use mapvar::{Map, Result, Scalar};
///
/// fn read_or<T: Scalar>(map: &Map, name: &str, init: T) -> Result<T> {
///     map.atomic_or(name, init)?.load()
/// }
/// # let name = format!("doc-scalar.{}", std::process::id());
/// # let map = Map::options().name(&name).create()?;
/// # assert!(read_or(&map, "ready", true)?);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub trait Scalar: sealed::Word {}

/// A [`Scalar`] that supports addition: `i64`, `u64`, `i32`, `u32`, `isize`, `usize`.
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
pub trait Integer: Scalar + sealed::Whole {}

macro_rules! scalars {
    ($($type:ty => $kind:ident, $wide:expr, $to:expr, $from:expr;)*) => {$(
        impl sealed::Word for $type {
            const KIND: Kind = Kind::$kind;
            const WIDE: bool = $wide;

            #[inline]
            fn to_word(self) -> u64 {
                $to(self)
            }

            #[inline]
            fn from_word(word: u64) -> Option<Self> {
                $from(word)
            }
        }

        impl Scalar for $type {}
    )*};
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl sealed::Whole for $type {
            #[inline]
            fn wrapping_plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline]
            fn wrapping_minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline]
            fn bits_and(self, other: Self) -> Self {
                self & other
            }

            #[inline]
            fn bits_or(self, other: Self) -> Self {
                self | other
            }
        }

        impl Integer for $type {}
    )*};
}

scalars! {
    i64 => I64, true, i64::cast_unsigned, |word: u64| Some(word.cast_signed());
    u64 => U64, true, std::convert::identity, Some;
    f64 => F64, true, f64::to_bits, |word| Some(f64::from_bits(word));
    bool => Bool, true, u64::from, |word| Some(word != 0);
    i32 => I64, false, |value| i64::from(value).cast_unsigned(), |word: u64| word.cast_signed().try_into().ok();
    u32 => U64, false, u64::from, |word: u64| word.try_into().ok();
    isize => I64, usize::BITS == 64, |value| (value as i64).cast_unsigned(), |word: u64| word.cast_signed().try_into().ok();
    usize => U64, usize::BITS == 64, |value| value as u64, |word: u64| word.try_into().ok();
}

integers! { i64 u64 i32 u32 isize usize }

/// A handle to a number of one machine word, with lock-free operations; from [`Map::atomic`] and
/// [`Map::atomic_or`].
///
/// Unlike another variable, it never changes its kind, and has no versions. So it cannot take part
/// in [`Map::compare_and_set`], [`Map::update`] and [`Map::transaction`], and a
/// [`Watch`](crate::Watch) may miss a change to another value and back. Operations that write are
/// sequentially consistent.
///
/// The handle owns a clone of the map, and is `'static`, `Send` and `Sync`. If the variable is
/// removed, operations fail with [`ErrorKind::NotFound`] until there is an `Atomic` of that name and
/// type again.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-atomic.{}", std::process::id())).create()?;
/// use mapvar::Compared;
///
/// let count = map.atomic_or("count", 0)?;
/// count.fetch_add(2)?;
/// assert_eq!(count.compare_exchange(2, 7)?, Compared::Set(2));
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
    /// [`ErrorKind::NotFound`]; [`ErrorKind::WrongKind`] if a variable of another kind has the name
    /// by now; [`ErrorKind::OutOfRange`] if `T` cannot hold the number.
    #[inline]
    pub fn load(&self) -> Result<T> {
        if let Some((here, id)) = self.target.here()
            && let Some(word) = Store::try_load_here(here, id)
            && self.target.is_usable()
            && let Some(value) = T::from_word(word)
        {
            return Ok(value);
        }
        // By `?`: the compiler then knows that the result above is `Ok`.
        #[allow(clippy::needless_question_mark, reason = "saves a second test of the tag")]
        Ok(self.load_slowly()?)
    }

    #[cold]
    #[inline(never)]
    fn load_slowly(&self) -> Result<T> {
        let store = &self.target.stored.inner.store;
        let word = self.target.with("get atomic", |handle| {
            Ok(store.atomic_load(handle)?.map_or(Seen::Stale, |word| Seen::Value(word, 0)))
        })?;
        self.of_word(word)
    }

    #[inline]
    fn of_word(&self, word: u64) -> Result<T> {
        match T::from_word(word) {
            Some(value) => Ok(value),
            None => Err(self.out_of_range(word)),
        }
    }

    #[cold]
    fn out_of_range(&self, word: u64) -> Error {
        let number = match T::KIND {
            Kind::I64 => word.cast_signed().to_string(),
            _ => word.to_string(),
        };
        let type_name = std::any::type_name::<T>();
        let object = self.target.stored.variable(&self.target.name);
        Error::new(ErrorKind::OutOfRange, "get atomic", object).detail(format!(
            "it is {number}, which no {type_name} can hold; ask for an Atomic of 64 bits"
        ))
    }

    /// Stores a value.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::WrongKind`], [`ErrorKind::ReadOnly`].
    #[inline]
    pub fn store(&self, value: T) -> Result<()> {
        self.operate(|words| words.swap(WORD, value.to_word(), SeqCst)).map(|_| ())
    }

    /// Stores a value and returns the previous one.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and [`store`](Self::store). An `i32`, `u32`, `isize` or `usize`
    /// is swapped by a loop, which can fail with [`ErrorKind::Conflict`] as [`update`](Self::update).
    #[inline]
    pub fn swap(&self, value: T) -> Result<T> {
        if T::WIDE {
            let before = self.operate(|words| words.swap(WORD, value.to_word(), SeqCst))?;
            return self.of_word(before);
        }
        self.change(|_| value).map(|(before, _)| before)
    }

    /// Stores `new` if the value is `old`.
    ///
    /// Floating-point numbers are compared by their bits.
    ///
    /// ```
    /// # let name = format!("doc-exchange.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// use mapvar::Compared;
    ///
    /// let ready = map.atomic_or("ready", false)?;
    /// assert_eq!(ready.compare_exchange(false, true)?, Compared::Set(false));
    /// assert_eq!(ready.compare_exchange(false, true)?, Compared::Changed(true));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and [`store`](Self::store).
    #[inline]
    pub fn compare_exchange(&self, old: T, new: T) -> Result<Compared<T>> {
        let exchange =
            |words: WordsMut<'_>| words.compare_exchange(WORD, old.to_word(), new.to_word());
        Ok(match self.operate(exchange)? {
            Ok(word) => Compared::Set(self.of_word(word)?),
            Err(word) => Compared::Changed(self.of_word(word)?),
        })
    }

    /// Replaces the value by the result of `change`, and returns that result.
    ///
    /// If another thread stores a value meanwhile, `change` is called again with that one, up to
    /// 1,000 times.
    ///
    /// ```
    /// # let name = format!("doc-atomic-update.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let total = map.atomic_or("total", 1.5)?;
    /// assert_eq!(total.update(|total| total * 2.0)?, 3.0);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and [`store`](Self::store); [`ErrorKind::Conflict`] if other
    /// threads stored a value during each call.
    pub fn update(&self, change: impl FnMut(T) -> T) -> Result<T> {
        self.change(change).map(|(_, after)| after)
    }

    /// Returns the values before and after.
    fn change(&self, mut change: impl FnMut(T) -> T) -> Result<(T, T)> {
        let mut before = self.load()?;
        for round in 0..UPDATES {
            let after = change(before);
            match self.compare_exchange(before, after)? {
                Compared::Set(before) => return Ok((before, after)),
                Compared::Changed(found) => before = found,
            }
            let _ = self.target.stored.inner.store.mem().pause(round);
        }
        let object = self.target.stored.variable(&self.target.name);
        Err(Error::new(ErrorKind::Conflict, "update atomic", object)
            .detail("other threads stored a value at each attempt; try again"))
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
    /// Those of [`Atomic::update`].
    #[inline]
    pub fn fetch_add(&self, value: T) -> Result<T> {
        if T::WIDE {
            let before = self.operate(|words| words.fetch_add(WORD, value.to_word(), SeqCst))?;
            return self.of_word(before);
        }
        self.change(|before| before.wrapping_plus(value)).map(|(before, _)| before)
    }

    /// Subtracts `value`, wrapping around on overflow, and returns the previous value.
    ///
    /// # Errors
    /// Those of [`Atomic::update`].
    #[inline]
    pub fn fetch_sub(&self, value: T) -> Result<T> {
        if T::WIDE {
            let minus = value.to_word().wrapping_neg();
            let before = self.operate(|words| words.fetch_add(WORD, minus, SeqCst))?;
            return self.of_word(before);
        }
        self.change(|before| before.wrapping_minus(value)).map(|(before, _)| before)
    }

    /// Stores the larger of the value and `value`, and returns the previous value.
    ///
    /// ```
    /// # let name = format!("doc-atomic-max.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let peak = map.atomic_or("peak", 0)?;
    /// peak.fetch_max(7)?;
    /// assert_eq!((peak.fetch_max(3)?, peak.load()?), (7, 7));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Atomic::update`].
    pub fn fetch_max(&self, value: T) -> Result<T> {
        self.change(|before| before.max(value)).map(|(before, _)| before)
    }

    /// Stores the smaller of the value and `value`, and returns the previous value.
    ///
    /// # Errors
    /// Those of [`Atomic::update`].
    pub fn fetch_min(&self, value: T) -> Result<T> {
        self.change(|before| before.min(value)).map(|(before, _)| before)
    }

    /// Stores the bits that are set in both the value and `value`, and returns the previous value.
    ///
    /// # Errors
    /// Those of [`Atomic::update`].
    pub fn fetch_and(&self, value: T) -> Result<T> {
        self.change(|before| before.bits_and(value)).map(|(before, _)| before)
    }

    /// Stores the bits that are set in the value or in `value`, and returns the previous value.
    ///
    /// # Errors
    /// Those of [`Atomic::update`].
    pub fn fetch_or(&self, value: T) -> Result<T> {
        self.change(|before| before.bits_or(value)).map(|(before, _)| before)
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
