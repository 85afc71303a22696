//! `Value`: a value whose type is known only at run time.

pub(crate) mod codec;
pub(crate) mod value_for;

use mapvar_engine::value::{Kind, OwnedValue, Raw};
use mapvar_os::{Error, Result};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use std::{collections::TryReserveError, fmt};

/// A value of any kind, whose type is known only at run time.
///
/// It implements the traits of serde, so every method that gets or sets takes it as any other type.
/// Its kind is kept, and so is the number of a `Pod` and an `Opaque`.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-val.{}", std::process::id())).create()?;
/// use mapvar::{Kind, Value};
///
/// let pod = Value::Pod { type_id: 7, bytes: vec![1, 2] };
/// map.set("pose", &pod)?;
/// assert_eq!(map.get::<Value>("pose")?, pod);
/// assert_eq!(map.find::<Value>("speed")?, None);
///
/// let value = Value::from(77);
/// assert_eq!(value.kind(), Kind::I64);
/// assert_eq!(value.to_string(), "77");
/// assert_eq!(Value::from("hello").to_string(), "hello");
/// # Ok::<(), mapvar::Error>(())
/// ```
///
/// ```
/// let value = mapvar::Value::from(77);
/// assert_eq!(i64::try_from(value.clone())?, 77);
/// assert!(String::try_from(value).is_err());
/// # Ok::<(), mapvar::Error>(())
/// ```
///
/// Two integers are equal if their numbers are, whichever of the two kinds they have.
///
/// # From a type to a kind
///
/// [`Map::set`](crate::Map::set) takes any type that serde can serialize:
///
/// | type | kind |
/// | --- | --- |
/// | integers, `NonZero`, `Wrapping` | `I64`, or `U64` where only that holds it |
/// | `f32`, `f64` | `F64` |
/// | `bool` | `Bool` |
/// | text, `char`, paths, IP addresses, a variant without content | `Str` |
/// | `()`, a unit struct, `None` | `Nil` |
/// | `Some(value)`, a newtype | that of the value |
/// | what a type writes as bytes (`serde_bytes`, `CString`), and a `Vec`, slice or set of `u8` with elements | `Bytes` |
/// | every other sequence; tuples, arrays, tuple structs | `List` |
/// | maps, structs, and a variant with content: `{"Variant": content}` | `Dict` |
///
/// Within a `List` or `Dict` a `Vec<u8>` is a list of numbers. With `serde_bytes` it takes half the
/// space there, and other languages read it as bytes.
///
/// `set` refuses what a reader of the same type would not get back: `Some` of a value that is stored
/// as nil, such as `Some(None)`; an integer beyond 64 bits; lists and dictionaries (and in the type
/// newtypes and `Some`) nested more than 128 deep; a type whose `Serialize` announces another number
/// of elements than it writes; and a flattened or tagged value that repeats the name of a field or
/// of the tag. It cannot know of a type that reads something else than it writes: fields that are
/// skipped in one direction only; an untagged enum of which an earlier variant fits the value too; or
/// an integer of 128 bits in a tagged, untagged or flattened value, which serde writes and never
/// reads, in any format.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer that fits `i64`.
    I64(i64),
    /// An integer that fits `u64`, but not `i64`.
    U64(u64),
    /// A floating-point number.
    F64(f64),
    /// Text, in UTF-8.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary: keys and values, in their order. Two keys may be equal, as those of a Hash of
    /// Ruby with two NaN; types with unique keys then keep one entry, or fail to read it.
    Dict(Vec<(Value, Value)>),
    /// The bytes of a plain type, which its users identify by a number.
    Pod {
        /// The number of the type.
        type_id: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes that another language wrote, and that only this language can interpret.
    Opaque {
        /// The number of the language; 1 is Ruby.
        language: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::I64(one), Self::I64(two)) => one == two,
            (Self::U64(one), Self::U64(two)) => one == two,
            (Self::I64(one), Self::U64(two)) | (Self::U64(two), Self::I64(one)) => {
                u64::try_from(*one) == Ok(*two)
            }
            (Self::F64(one), Self::F64(two)) => one == two,
            (Self::Str(one), Self::Str(two)) => one == two,
            (Self::Bytes(one), Self::Bytes(two)) => one == two,
            (Self::List(one), Self::List(two)) => one == two,
            (Self::Dict(one), Self::Dict(two)) => one == two,
            (Self::Pod { type_id: one, bytes }, Self::Pod { type_id: two, bytes: others })
            | (
                Self::Opaque { language: one, bytes },
                Self::Opaque { language: two, bytes: others },
            ) => one == two && bytes == others,
            _ => false,
        }
    }
}

impl Value {
    /// Returns the kind of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Nil => Kind::Nil,
            Self::Bool(_) => Kind::Bool,
            Self::I64(_) => Kind::I64,
            Self::U64(_) => Kind::U64,
            Self::F64(_) => Kind::F64,
            Self::Str(_) => Kind::Str,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Dict(_) => Kind::Dict,
            Self::Pod { .. } => Kind::Pod,
            Self::Opaque { .. } => Kind::Opaque,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident $how:expr,)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant($how(value))
            }
        }
    )*};
}

from! {
    bool => Bool std::convert::identity,
    i32 => I64 i64::from,
    u32 => I64 i64::from,
    i64 => I64 std::convert::identity,
    f64 => F64 std::convert::identity,
    &str => Str String::from,
    String => Str std::convert::identity,
    Vec<u8> => Bytes std::convert::identity,
    Vec<Value> => List std::convert::identity,
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::U64(value), Self::I64)
    }
}

macro_rules! try_into {
    ($($type:ty,)*) => {$(
        /// Converts as [`Map::get`](crate::Map::get) does.
        impl TryFrom<Value> for $type {
            type Error = Error;

            fn try_from(value: Value) -> Result<Self> {
                codec::encode(&value, &mut |raw: &Raw<'_>| codec::decode(OwnedValue::of(raw)))?
            }
        }
    )*};
}

try_into! { bool, i64, u64, f64, String, Vec<u8>, Vec<Value>, }

/// The form that the command `mapvar` prints: text as it is, bytes as hexadecimal digits, lists and
/// dictionaries similar to JSON. Control characters in text are not escaped.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            other => other.nested(f),
        }
    }
}

impl Value {
    fn nested(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::I64(value) => write!(f, "{value}"),
            Self::U64(value) => write!(f, "{value}"),
            // `Debug` prints a decimal point, which tells a float from an integer.
            Self::F64(value) => write!(f, "{value:?}"),
            Self::Str(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => hex(f, bytes),
            Self::List(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    value.nested(f)?;
                }
                f.write_str("]")
            }
            Self::Dict(pairs) => {
                f.write_str("{")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    key.nested(f)?;
                    f.write_str(": ")?;
                    value.nested(f)?;
                }
                f.write_str("}")
            }
            Self::Pod { type_id, bytes } => {
                write!(f, "pod {type_id}:")?;
                hex(f, bytes)
            }
            Self::Opaque { language, bytes } => {
                write!(f, "opaque {language}:")?;
                hex(f, bytes)
            }
        }
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A `Pod` or `Opaque` is written as a MessagePack extension (docs/FORMAT.md, "Values"): for
/// other formats, as the list of the kind's number and the bytes behind the number of the type.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::I64(value) => to.serialize_i64(*value),
            Self::U64(value) => to.serialize_u64(*value),
            Self::F64(value) => to.serialize_f64(*value),
            Self::Str(text) => to.serialize_str(text),
            Self::Pod { type_id, bytes } => Extension::of(Kind::Pod, *type_id, bytes).serialize(to),
            Self::Opaque { language, bytes } => {
                Extension::of(Kind::Opaque, *language, bytes).serialize(to)
            }
            Self::Bytes(bytes) => to.serialize_bytes(bytes),
            Self::List(values) => to.collect_seq(values),
            Self::Dict(pairs) => to.serialize_newtype_struct(codec::VALUE, &Pairs(pairs)),
        }
    }
}

/// The entries of a dictionary of [`Value`]s, of which two may have the same key.
struct Pairs<'a>(&'a [(Value, Value)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A MessagePack extension: its type, and its bytes.
struct Extension(i8, Vec<u8>);

impl Extension {
    /// The extension's type is the number of the kind. Its bytes are the number of the type or
    /// language, and then the value's bytes.
    pub(crate) fn of(kind: Kind, number: u32, bytes: &[u8]) -> Self {
        Self(kind as i8, [&number.to_le_bytes(), bytes].concat())
    }

    /// The value; `None` for an extension that this library does not define.
    /// Takes the bytes from `bytes`, without a copy.
    fn value(tag: i8, bytes: &mut Vec<u8>) -> Option<Value> {
        let number = u32::from_le_bytes(*bytes.first_chunk()?);
        let kind = u8::try_from(tag).ok().and_then(Kind::of)?;
        let mut take = || {
            bytes.drain(..4);
            std::mem::take(bytes)
        };
        match kind {
            Kind::Pod => Some(Value::Pod { type_id: number, bytes: take() }),
            Kind::Opaque => Some(Value::Opaque { language: number, bytes: take() }),
            _ => None,
        }
    }
}

impl Serialize for Extension {
    /// rmp-serde writes a newtype struct of this name as an extension.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_newtype_struct(codec::EXTENSION, &(self.0, Octets(&self.1)))
    }
}

/// Bytes that serialize as bytes, and not as a sequence of numbers.
struct Octets<'a>(&'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(codec::VALUE, Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }

    /// Decodes any value, since [`Value`] asks for a newtype; and a MessagePack extension, of which
    /// an unknown one becomes the list of its type and bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let mut value = from.deserialize_any(Self)?;
        let parts = match &mut value {
            Value::List(parts) => parts.as_mut_slice(),
            _ => &mut [],
        };
        let found = match parts {
            [Value::I64(tag), Value::Bytes(bytes)] => {
                i8::try_from(*tag).ok().and_then(|tag| Extension::value(tag, bytes))
            }
            _ => None,
        };
        Ok(found.unwrap_or(value))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::F64(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        let mut text = String::new();
        text.try_reserve_exact(value.len()).map_err(no_memory)?;
        text.push_str(value);
        Ok(Value::Str(text))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Value, E> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(value.len()).map_err(no_memory)?;
        bytes.extend_from_slice(value);
        Ok(Value::Bytes(bytes))
    }

    fn visit_byte_buf<E: de::Error>(self, value: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = reserved(from.size_hint())?;
        while let Some(value) = from.next_element()? {
            push(&mut values, value)?;
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut pairs = reserved(from.size_hint())?;
        while let Some(pair) = from.next_entry()? {
            push(&mut pairs, pair)?;
        }
        Ok(Value::Dict(pairs))
    }
}

/// Returns an empty list with memory for so many elements. Another process may have written the
/// length, so only a small one counts: short lists get exactly what they need.
fn reserved<T, E: de::Error>(length: Option<usize>) -> Result<Vec<T>, E> {
    const MOST: usize = 1024;
    let mut list = Vec::new();
    list.try_reserve_exact(length.unwrap_or(0).min(MOST)).map_err(no_memory)?;
    Ok(list)
}

/// Adds an element. A byte of MessagePack becomes up to 40 bytes of [`Value`]: without memory for
/// them the caller gets an error, where the usual `push` would end the process.
fn push<T, E: de::Error>(list: &mut Vec<T>, element: T) -> Result<(), E> {
    if list.len() == list.capacity() {
        list.try_reserve(1).map_err(no_memory)?;
    }
    list.push(element);
    Ok(())
}

#[cold]
fn no_memory<E: de::Error>(_: TryReserveError) -> E {
    E::custom(codec::NO_MEMORY)
}

#[cfg(test)]
mod tests;
