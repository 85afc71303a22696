//! Reads plain values by their kinds; lists and dictionaries are MessagePack.

use super::{
    error::Mismatch,
    number::{exact_f32, exact_f64, rounded},
    rule::{DEEPEST, SEQUENCE, VALUE},
    unpack::{Unpacker, unpack_by, visit_extension},
};
use mapvar_engine::value::{Data, Kind, OwnedValue};
use mapvar_os::ErrorKind;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::SeqDeserializer};

pub(super) fn decode<T: DeserializeOwned>(value: OwnedValue) -> Result<T, Mismatch> {
    T::deserialize(Decoder { value, left: DEEPEST })
}

/// Reads a value that was copied out of a slot.
struct Decoder {
    value: OwnedValue,
    /// How many levels of `Some` and newtypes may follow.
    left: u32,
}

impl Decoder {
    #[inline]
    fn is(&self, kind: Kind) -> bool {
        self.value.kind == kind as u8
    }

    #[inline]
    fn word(&self) -> u64 {
        match self.value.data {
            Data::Word(word) => word,
            Data::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self.value.data {
            Data::Word(_) => Vec::new(),
            Data::Bytes(bytes) => bytes,
        }
    }

    /// The integer, in a type that holds both kinds.
    #[inline]
    fn integer(&self, wanted: &str) -> Result<i128, Mismatch> {
        if self.is(Kind::I64) {
            Ok(i128::from(self.word().cast_signed()))
        } else if self.is(Kind::U64) {
            Ok(i128::from(self.word()))
        } else {
            Err(Mismatch::kind(self.value.kind, wanted))
        }
    }

    fn text(self, wanted: &str) -> Result<String, Mismatch> {
        if !self.is(Kind::Str) {
            return Err(Mismatch::kind(self.value.kind, wanted));
        }
        String::from_utf8(self.bytes()).map_err(|_| Mismatch {
            kind: ErrorKind::Corrupt,
            detail: "its text is not UTF-8".into(),
        })
    }

    fn deeper(self) -> Result<Self, Mismatch> {
        Ok(Self { left: self.left.checked_sub(1).ok_or_else(Mismatch::deep)?, ..self })
    }

    /// Calls `visit` with a deserializer over the value's MessagePack.
    fn unpack<T>(
        self,
        visit: impl FnOnce(&mut Unpacker<'_>) -> Result<T, Mismatch>,
    ) -> Result<T, Mismatch> {
        unpack_by(&self.bytes(), visit)
    }
}

macro_rules! decode_integers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            let number = self.integer(stringify!($type))?;
            match <$type>::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Mismatch::range(number, stringify!($type))),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Decoder {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match Kind::of(self.value.kind) {
            Some(Kind::Nil) => visitor.visit_unit(),
            Some(Kind::Bool) => self.deserialize_bool(visitor),
            Some(Kind::I64) => visitor.visit_i64(self.word().cast_signed()),
            Some(Kind::U64) => visitor.visit_u64(self.word()),
            Some(Kind::F64) => visitor.visit_f64(f64::from_bits(self.word())),
            Some(Kind::Str) => visitor.visit_string(self.text("str")?),
            Some(Kind::Bytes) if self.value.type_id == SEQUENCE => self.deserialize_seq(visitor),
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => visitor.visit_byte_buf(self.bytes()),
            Some(Kind::List | Kind::Dict) => {
                self.unpack(|unpacker| serde::Deserializer::deserialize_any(unpacker, visitor))
            }
            _ => Err(Mismatch::kind(self.value.kind, "a known kind")),
        }
    }

    decode_integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if !self.is(Kind::Bool) {
            return Err(Mismatch::kind(self.value.kind, "bool"));
        }
        match self.word() {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            word => Err(Mismatch {
                kind: ErrorKind::Corrupt,
                detail: format!("its bool is {word}, neither 0 nor 1"),
            }),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::F64) {
            return visitor.visit_f32(rounded(f64::from_bits(self.word()))?);
        }
        visitor.visit_f32(exact_f32(self.integer("f32")?)?)
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::F64) {
            return visitor.visit_f64(f64::from_bits(self.word()));
        }
        visitor.visit_f64(exact_f64(self.integer("f64")?)?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_string(self.text("char")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_string(self.text("str")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_string(self.text("str")?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match Kind::of(self.value.kind) {
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => visitor.visit_byte_buf(self.bytes()),
            Some(Kind::List) => self.deserialize_seq(visitor),
            _ => Err(Mismatch::kind(self.value.kind, "bytes")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::Nil) { visitor.visit_none() } else { visitor.visit_some(self.deeper()?) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::Nil) {
            visitor.visit_unit()
        } else {
            Err(Mismatch::kind(self.value.kind, "nil"))
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if name == VALUE {
            return match Kind::of(self.value.kind) {
                Some(Kind::Bytes) => visitor.visit_byte_buf(self.bytes()),
                // The number of the type or language precedes the bytes, as in a list.
                Some(kind @ (Kind::Pod | Kind::Opaque)) => {
                    let number = self.value.type_id.to_le_bytes();
                    let bytes = [&number, self.bytes().as_slice()].concat();
                    visit_extension(kind as i8, &bytes, visitor)
                }
                _ => self.deserialize_any(visitor),
            };
        }
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match Kind::of(self.value.kind) {
            Some(Kind::List) => {
                self.unpack(|unpacker| serde::Deserializer::deserialize_seq(unpacker, visitor))
            }
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => {
                let mut bytes = SeqDeserializer::new(self.bytes().into_iter());
                let value = visitor.visit_seq(&mut bytes)?;
                bytes.end()?;
                Ok(value)
            }
            _ => Err(Mismatch::kind(self.value.kind, "list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::Dict) {
            self.unpack(|unpacker| serde::Deserializer::deserialize_map(unpacker, visitor))
        } else {
            Err(Mismatch::kind(self.value.kind, "dict"))
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match Kind::of(self.value.kind) {
            Some(Kind::Str) => visitor.visit_enum(self.text("str")?.into_deserializer()),
            Some(Kind::Dict) => self.unpack(|unpacker| {
                serde::Deserializer::deserialize_enum(unpacker, name, variants, visitor)
            }),
            _ => Err(Mismatch::kind(self.value.kind, "enum")),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }
}
