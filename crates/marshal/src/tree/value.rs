//! The crate's own type of values, for programs that have none.

use super::{Node, Owned, Tree};
use std::borrow::Cow;

/// A value of a dump.
///
/// ```
/// use mapvar_marshal::{Value, dump, load};
/// let value = Value::List(vec![Value::I64(1), Value::Str("two".into())]);
/// assert_eq!(load::<Value>(&dump(&value)?)?, value);
/// # Ok::<(), mapvar_marshal::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `nil`.
    #[default]
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// An Integer that fits `i64`.
    I64(i64),
    /// An Integer that fits `u64`; from a dump, one that does not fit `i64`.
    U64(u64),
    /// A Float.
    F64(f64),
    /// A String in UTF-8 or US-ASCII.
    Str(String),
    /// A String of bytes (`ASCII-8BIT`).
    Bytes(Vec<u8>),
    /// An Array.
    List(Vec<Value>),
    /// A Hash: keys and values, in their order.
    Dict(Vec<(Value, Value)>),
    /// Any other object: a dump of it alone, with the bytes of the version.
    Object(Vec<u8>),
}

impl Tree for Value {
    fn node(&self) -> Result<Node<'_, Self>, Cow<'static, str>> {
        Ok(match self {
            Self::Nil => Node::Nil,
            Self::Bool(value) => Node::Bool(*value),
            Self::I64(number) => Node::I64(*number),
            Self::U64(number) => Node::U64(*number),
            Self::F64(number) => Node::F64(*number),
            Self::Str(text) => Node::Str(text),
            Self::Bytes(bytes) => Node::Bytes(bytes),
            Self::List(values) => Node::List(values),
            Self::Dict(pairs) => Node::Dict(pairs),
            Self::Object(bytes) => Node::Object(bytes),
        })
    }

    fn of(owned: Owned<Self>) -> Self {
        match owned {
            Owned::Nil => Self::Nil,
            Owned::Bool(value) => Self::Bool(value),
            Owned::I64(number) => Self::I64(number),
            Owned::U64(number) => Self::U64(number),
            Owned::F64(number) => Self::F64(number),
            Owned::Str(text) => Self::Str(text),
            Owned::Bytes(bytes) => Self::Bytes(bytes),
            Owned::List(values) => Self::List(values),
            Owned::Dict(pairs) => Self::Dict(pairs),
            Owned::Object(bytes) => Self::Object(bytes),
        }
    }
}
