//! What a program's own type of values has to offer, so that no value is converted twice.

pub(crate) mod number;
pub(crate) mod encode;
pub(crate) mod value;
pub(crate) mod view;

use std::borrow::Cow;

/// A type of values that can be read from a dump and written to one.
///
/// [`Value`](crate::Value) is such a type. A program that has a type of its own implements the
/// trait for it, and needs no copy of another type.
///
/// ```
/// use mapvar_marshal::{Node, Owned, Tree, dump, load};
/// use std::borrow::Cow;
///
/// #[derive(Debug, PartialEq)]
/// enum Mine {
///     Number(i64),
///     Words(Vec<Mine>),
///     Other,
/// }
///
/// impl Tree for Mine {
///     fn node(&self) -> Result<Node<'_, Self>, Cow<'static, str>> {
///         match self {
///             Self::Number(number) => Ok(Node::I64(*number)),
///             Self::Words(words) => Ok(Node::List(words)),
///             Self::Other => Err("it is of no type that this program writes".into()),
///         }
///     }
///
///     fn of(owned: Owned<Self>) -> Self {
///         match owned {
///             Owned::I64(number) => Self::Number(number),
///             Owned::List(words) => Self::Words(words),
///             _ => Self::Other,
///         }
///     }
/// }
///
/// let bytes = dump(&Mine::Words(vec![Mine::Number(1)]))?;
/// assert_eq!(bytes, b"\x04\x08[\x06i\x06");
/// assert_eq!(load(b"\x04\x08[\x07i\x06T"), Ok(Mine::Words(vec![Mine::Number(1), Mine::Other])));
/// assert!(dump(&Mine::Other).is_err());
/// # Ok::<(), mapvar_marshal::ParseError>(())
/// ```
pub trait Tree: Sized {
    /// Shows the value itself, and borrows the values within it.
    ///
    /// # Errors
    /// What the value is, and what to do instead, if Marshal cannot express it; this becomes
    /// [`ParseError::Foreign`](crate::ParseError::Foreign).
    fn node(&self) -> Result<Node<'_, Self>, Cow<'static, str>>;

    /// Makes a value of its parts.
    fn of(owned: Owned<Self>) -> Self;
}

/// A value of type `T`, borrowed, as Marshal sees it.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a, T> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// An Integer.
    I64(i64),
    /// An Integer; it may also fit `i64`.
    U64(u64),
    /// A Float.
    F64(f64),
    /// A String in UTF-8.
    Str(&'a str),
    /// A String of bytes (`ASCII-8BIT`).
    Bytes(&'a [u8]),
    /// An Array.
    List(&'a [T]),
    /// A Hash: keys and values, in their order.
    Dict(&'a [(T, T)]),
    /// Any other object: a whole dump of it, with the bytes of the version.
    Object(&'a [u8]),
}

/// The parts of a value of type `T`, read from a dump.
#[derive(Clone, Debug)]
pub enum Owned<T> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// An Integer that fits `i64`.
    I64(i64),
    /// An Integer that fits `u64`, but not `i64`.
    U64(u64),
    /// A Float.
    F64(f64),
    /// A String in UTF-8 or US-ASCII.
    Str(String),
    /// A String of bytes (`ASCII-8BIT`).
    Bytes(Vec<u8>),
    /// An Array.
    List(Vec<T>),
    /// A Hash without its default: keys and values, in their order.
    Dict(Vec<(T, T)>),
    /// Any other object: a dump of it alone, with the bytes of the version.
    Object(Vec<u8>),
}
