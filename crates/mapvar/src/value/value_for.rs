//! The values that a variable of a type can be set to, and those that tell the type.

use crate::Value;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

/// A value that a [`Var<T>`](crate::Var) can be set to.
///
/// | `T` | values |
/// | --- | --- |
/// | any type | a `T`, a `&T` |
/// | `String` | also a `&str` |
/// | `Vec<U>` | also a `&[U]` and a `&[U; N]` |
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-for.{}", std::process::id())).create()?;
/// use mapvar::{Result, ValueFor, Var};
///
/// fn announce<T>(state: &Var<T>, value: impl ValueFor<T>) -> Result<()> {
///     state.set_if_changed(value).map(drop)
/// }
///
/// announce(&map.var::<String>("state")?, "idle")?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a variable of type `{T}` cannot be set to a `{Self}`",
    note = "it takes a `{T}` or a reference to one, if that is `Serialize` and `DeserializeOwned`"
)]
pub trait ValueFor<T>: Serialize {}

impl<T: Serialize + DeserializeOwned> ValueFor<T> for T {}

impl<T: Serialize + DeserializeOwned> ValueFor<T> for &T {}

impl ValueFor<String> for &str {}

impl<T: Serialize + DeserializeOwned> ValueFor<Vec<T>> for &[T] {}

impl<T: Serialize + DeserializeOwned, const N: usize> ValueFor<Vec<T>> for &[T; N] where
    [T; N]: Serialize
{
}

/// A first value for [`Map::var_or`](crate::Map::var_or), which tells the type of the variable.
///
/// | value | type of the variable |
/// | --- | --- |
/// | `&T`, for any serde type | `T` |
/// | `&str` | `String` |
/// | `&[U]` | `Vec<U>` |
/// | a number, `bool`, `char`, `String`, array, tuple, `Option`, `Vec` or other collection of the standard library, `Duration`, [`Value`] | its own |
///
/// A struct or enum of your own is given as a reference.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-first.{}", std::process::id())).create()?;
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Limits {
///     low: i32,
///     high: i32,
/// }
///
/// let state = map.var_or("state", "idle")?; // a `Var<String>`
/// let limits = map.var_or("limits", &Limits::default())?; // a `Var<Limits>`
/// assert_eq!((state.get()?.len(), limits.get()?.high), (4, 0));
/// # Ok::<(), mapvar::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell the type of the variable",
    note = "give a reference: `map.var_or(name, &value)`"
)]
pub trait FirstValue<T>: ValueFor<T> {}

mod sealed {
    /// A type that owns its value, so that a value of it tells the type of a variable.
    pub trait Own {}
}

// With a general rule for `T` in place of a list, a `&str` would stand for a variable of one of two
// types.
impl<T: sealed::Own + Serialize + DeserializeOwned> FirstValue<T> for T {}

impl<T: Serialize + DeserializeOwned> FirstValue<T> for &T {}

impl FirstValue<String> for &str {}

impl<T: Serialize + DeserializeOwned> FirstValue<Vec<T>> for &[T] {}

macro_rules! own {
    ($([$($generic:tt)*] $type:ty;)*) => {$(
        impl<$($generic)*> sealed::Own for $type {}
    )*};
}

own! {
    [] bool; [] char; [] String; [] Duration; [] Value; [] ();
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] f32; [] f64;
    [T] Option<T>; [T] Vec<T>; [T] VecDeque<T>; [T] BTreeSet<T>; [T, S] HashSet<T, S>;
    [K, V] BTreeMap<K, V>; [K, V, S] HashMap<K, V, S>;
    [T, const N: usize] [T; N];
    [A] (A,); [A, B] (A, B); [A, B, C] (A, B, C); [A, B, C, D] (A, B, C, D);
    [A, B, C, D, E] (A, B, C, D, E); [A, B, C, D, E, F] (A, B, C, D, E, F);
}
