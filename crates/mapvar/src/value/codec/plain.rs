//! A codec for numbers and `bool` only, as one word.
//!
//! Its error has no size and nothing to drop, so that all of it is inlined into `get` and `set`.

use super::rule::DEEPEST;
use mapvar_engine::{layout::Desc, value::Kind};
use serde::{
    de::{self, Visitor},
    forward_to_deserialize_any, ser,
};
use std::fmt;

/// The value is of another kind, or does not fit; the full codec reports the reason.
#[derive(Debug)]
pub(super) struct NotPlain;

impl fmt::Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a number nor a bool")
    }
}

impl std::error::Error for NotPlain {}

impl ser::Error for NotPlain {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl de::Error for NotPlain {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Word = (Kind, u64);
type Never = ser::Impossible<Word, NotPlain>;

/// It has the number of levels of `Some` and newtypes that may follow.
pub(super) struct ToWord(u32);

impl Default for ToWord {
    fn default() -> Self {
        Self(DEEPEST)
    }
}

impl ToWord {
    #[inline]
    fn deeper(self) -> Result<Self, NotPlain> {
        self.0.checked_sub(1).map(Self).ok_or(NotPlain)
    }
}

macro_rules! integers {
    ($($method:ident $type:ty,)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<Word, NotPlain> {
            Ok((Kind::I64, i64::from(value).cast_unsigned()))
        }
    )*};
}

macro_rules! refuse {
    ($($method:ident($($arg:ty),*) -> $ok:ty;)*) => {$(
        #[inline]
        fn $method(self, $(_: $arg),*) -> Result<$ok, NotPlain> {
            Err(NotPlain)
        }
    )*};
}

impl ser::Serializer for ToWord {
    type Ok = Word;
    type Error = NotPlain;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32,
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<Word, NotPlain> {
        Ok((if value <= i64::MAX.cast_unsigned() { Kind::I64 } else { Kind::U64 }, value))
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<Word, NotPlain> {
        Ok((Kind::Bool, u64::from(value)))
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<Word, NotPlain> {
        self.serialize_f64(f64::from(value))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<Word, NotPlain> {
        Ok((Kind::F64, value.to_bits()))
    }

    #[inline]
    fn serialize_some<T: ser::Serialize + ?Sized>(self, value: &T) -> Result<Word, NotPlain> {
        value.serialize(self.deeper()?)
    }

    #[inline]
    fn serialize_newtype_struct<T: ser::Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Word, NotPlain> {
        value.serialize(self.deeper()?)
    }

    fn serialize_newtype_variant<T: ser::Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Word, NotPlain> {
        Err(NotPlain)
    }

    refuse! {
        serialize_char(char) -> Word;
        serialize_str(&str) -> Word;
        serialize_bytes(&[u8]) -> Word;
        serialize_none() -> Word;
        serialize_unit() -> Word;
        serialize_unit_struct(&'static str) -> Word;
        serialize_unit_variant(&'static str, u32, &'static str) -> Word;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }
}

pub(super) struct OfWord {
    desc: Desc,
    word: u64,
    /// How many levels of `Some` and newtypes may follow.
    left: u32,
}

impl OfWord {
    #[inline]
    pub(super) fn new(desc: Desc, word: u64) -> Self {
        Self { desc, word, left: DEEPEST }
    }

    #[inline]
    fn deeper(self) -> Result<Self, NotPlain> {
        Ok(Self { left: self.left.checked_sub(1).ok_or(NotPlain)?, ..self })
    }

    #[inline]
    fn is(&self, kind: Kind) -> bool {
        // One comparison checks length, kind and flags: 8 bytes, this kind, no flag.
        self.desc == Desc::new(8, kind as u8)
    }
}

macro_rules! signed {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
            if !self.is(Kind::I64) {
                return Err(NotPlain);
            }
            visitor.$visit(<$type>::try_from(self.word.cast_signed()).map_err(|_| NotPlain)?)
        }
    )*};
}

macro_rules! unsigned {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
            let negative = self.word.cast_signed() < 0;
            if !(self.is(Kind::U64) || self.is(Kind::I64) && !negative) {
                return Err(NotPlain);
            }
            visitor.$visit(<$type>::try_from(self.word).map_err(|_| NotPlain)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for OfWord {
    type Error = NotPlain;

    signed! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
    }

    unsigned! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        if self.is(Kind::Bool) && self.word < 2 {
            visitor.visit_bool(self.word == 1)
        } else {
            Err(NotPlain)
        }
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        if self.is(Kind::F64) {
            visitor.visit_f64(f64::from_bits(self.word))
        } else {
            Err(NotPlain)
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        visitor.visit_some(self.deeper()?)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotPlain> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NotPlain> {
        Err(NotPlain)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}
