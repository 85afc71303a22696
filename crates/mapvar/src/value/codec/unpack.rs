//! Reads lists and dictionaries, which are MessagePack, as any serde type.
//!
//! Another process may have written the bytes. Each length is checked before it counts, and what
//! remains bounds it.

use super::{
    error::Mismatch,
    number::{exact_f32, exact_f64, rounded},
    rule::{DEEPEST, EXTENSION, VALUE},
};
use rmp::Marker;
use serde::{
    Deserialize, de,
    de::{
        Deserializer as _, IntoDeserializer, Visitor,
        value::{BytesDeserializer, SeqAccessDeserializer, SeqDeserializer},
    },
};

/// Reads a `T` from the MessagePack value of which the bytes consist.
pub(super) fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Mismatch> {
    unpack_by(bytes, |unpacker| T::deserialize(unpacker))
}

/// As [`unpack`], by the call of a deserializer's method.
pub(super) fn unpack_by<T>(
    bytes: &[u8],
    visit: impl FnOnce(&mut Unpacker<'_>) -> Result<T, Mismatch>,
) -> Result<T, Mismatch> {
    let mut unpacker = Unpacker { rest: bytes, left: DEEPEST };
    let value = visit(&mut unpacker)?;
    match unpacker.rest {
        [] => Ok(value),
        rest => Err(Mismatch::trailing(rest)),
    }
}

pub(super) struct Unpacker<'a> {
    rest: &'a [u8],
    /// How many levels may follow.
    left: u32,
}

/// A value without its elements.
enum Head<'a> {
    Nil,
    Bool(bool),
    Integer(i128),
    F32(f32),
    F64(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    List(usize),
    Dict(usize),
    Extension(i8, &'a [u8]),
}

impl Head<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Integer(_) => "int",
            Self::F32(_) | Self::F64(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Extension(..) => "extension",
        }
    }

    #[cold]
    fn refused(&self, wanted: &str) -> Mismatch {
        Mismatch::found(self.name(), wanted)
    }
}

#[cold]
fn invalid() -> Mismatch {
    Mismatch::corrupt("its MessagePack is invalid")
}

impl<'a> Unpacker<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Mismatch> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(invalid)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Mismatch> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(invalid)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len_8(&mut self) -> Result<usize, Mismatch> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn len_16(&mut self) -> Result<usize, Mismatch> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn len_32(&mut self) -> Result<usize, Mismatch> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| invalid())
    }

    fn text(&mut self, len: usize) -> Result<Head<'a>, Mismatch> {
        let text = std::str::from_utf8(self.take(len)?);
        Ok(Head::Str(text.map_err(|_| Mismatch::corrupt("a text within it is not UTF-8"))?))
    }

    fn bytes(&mut self, len: usize) -> Result<Head<'a>, Mismatch> {
        Ok(Head::Bytes(self.take(len)?))
    }

    /// A list or dictionary of which each element takes at least `least` bytes.
    fn elements(&self, len: usize, least: usize) -> Result<usize, Mismatch> {
        if len > self.rest.len() / least { Err(invalid()) } else { Ok(len) }
    }

    fn list(&self, len: usize) -> Result<Head<'a>, Mismatch> {
        Ok(Head::List(self.elements(len, 1)?))
    }

    fn dict(&self, len: usize) -> Result<Head<'a>, Mismatch> {
        Ok(Head::Dict(self.elements(len, 2)?))
    }

    fn extension(&mut self, len: usize) -> Result<Head<'a>, Mismatch> {
        let tag = i8::from_be_bytes(self.array()?);
        Ok(Head::Extension(tag, self.take(len)?))
    }

    #[inline]
    fn head(&mut self) -> Result<Head<'a>, Mismatch> {
        let [first] = self.array()?;
        Ok(match Marker::from_u8(first) {
            Marker::Null => Head::Nil,
            Marker::True => Head::Bool(true),
            Marker::False => Head::Bool(false),
            Marker::FixPos(number) => Head::Integer(number.into()),
            Marker::FixNeg(number) => Head::Integer(number.into()),
            Marker::U8 => Head::Integer(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Head::Integer(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Head::Integer(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Head::Integer(u64::from_be_bytes(self.array()?).into()),
            Marker::I8 => Head::Integer(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Head::Integer(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Head::Integer(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Head::Integer(i64::from_be_bytes(self.array()?).into()),
            Marker::F32 => Head::F32(f32::from_be_bytes(self.array()?)),
            Marker::F64 => Head::F64(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(len) => self.text(len.into())?,
            Marker::Str8 => self.len_8().and_then(|len| self.text(len))?,
            Marker::Str16 => self.len_16().and_then(|len| self.text(len))?,
            Marker::Str32 => self.len_32().and_then(|len| self.text(len))?,
            Marker::Bin8 => self.len_8().and_then(|len| self.bytes(len))?,
            Marker::Bin16 => self.len_16().and_then(|len| self.bytes(len))?,
            Marker::Bin32 => self.len_32().and_then(|len| self.bytes(len))?,
            Marker::FixArray(len) => self.list(len.into())?,
            Marker::Array16 => self.len_16().and_then(|len| self.list(len))?,
            Marker::Array32 => self.len_32().and_then(|len| self.list(len))?,
            Marker::FixMap(len) => self.dict(len.into())?,
            Marker::Map16 => self.len_16().and_then(|len| self.dict(len))?,
            Marker::Map32 => self.len_32().and_then(|len| self.dict(len))?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.len_8().and_then(|len| self.extension(len))?,
            Marker::Ext16 => self.len_16().and_then(|len| self.extension(len))?,
            Marker::Ext32 => self.len_32().and_then(|len| self.extension(len))?,
            Marker::Reserved => return Err(invalid()),
        })
    }

    /// Runs `visit` one level deeper.
    #[inline]
    fn deeper<T>(
        &mut self,
        visit: impl FnOnce(&mut Self) -> Result<T, Mismatch>,
    ) -> Result<T, Mismatch> {
        self.left = self.left.checked_sub(1).ok_or_else(Mismatch::deep)?;
        let visited = visit(self);
        self.left += 1;
        visited
    }

    fn visit_list<'de, V: Visitor<'de>>(
        &mut self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deeper(|from| {
            let mut items = Items { from, left: len };
            let value = visitor.visit_seq(&mut items)?;
            items.end(len)?;
            Ok(value)
        })
    }

    fn visit_dict<'de, V: Visitor<'de>>(
        &mut self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deeper(|from| {
            let mut items = Items { from, left: len };
            let value = visitor.visit_map(&mut items)?;
            items.end(len)?;
            Ok(value)
        })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            match self.head()? {
                Head::Integer(number) => match <$type>::try_from(number) {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(Mismatch::range(number, stringify!($type))),
                },
                other => Err(other.refused(stringify!($type))),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Unpacker<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => Err(invalid()),
            },
            Head::F32(value) => visitor.visit_f32(value),
            Head::F64(value) => visitor.visit_f64(value),
            Head::Str(text) => visitor.visit_str(text),
            Head::Bytes(bytes) => visitor.visit_bytes(bytes),
            Head::List(len) => self.visit_list(len, visitor),
            Head::Dict(len) => self.visit_dict(len, visitor),
            Head::Extension(tag, bytes) => visit_extension(tag, bytes, visitor),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::F64(value) => visitor.visit_f64(value),
            Head::F32(value) => visitor.visit_f64(value.into()),
            Head::Integer(number) => visitor.visit_f64(exact_f64(number)?),
            other => Err(other.refused("f64")),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::F32(value) => visitor.visit_f32(value),
            Head::F64(value) => visitor.visit_f32(rounded(value)?),
            Head::Integer(number) => visitor.visit_f32(exact_f32(number)?),
            other => Err(other.refused("f32")),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Bool(value) => visitor.visit_bool(value),
            other => Err(other.refused("bool")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Str(text) => visitor.visit_str(text),
            other => Err(other.refused("str")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Bytes(bytes) => visitor.visit_bytes(bytes),
            // A sequence of `u8`.
            Head::List(len) => self.visit_list(len, visitor),
            other => Err(other.refused("bytes")),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if let [first, rest @ ..] = self.rest
            && *first == Marker::Null.to_u8()
        {
            self.rest = rest;
            return visitor.visit_none();
        }
        self.deeper(|from| visitor.visit_some(from))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            other => Err(other.refused("nil")),
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
        if name == EXTENSION || name == VALUE {
            return self.deserialize_any(visitor);
        }
        self.deeper(|from| visitor.visit_newtype_struct(from))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::List(len) => self.visit_list(len, visitor),
            Head::Bytes(bytes) => {
                let mut bytes = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut bytes)?;
                bytes.end()?;
                Ok(value)
            }
            other => Err(other.refused("list")),
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
        match self.head()? {
            Head::Dict(len) => self.visit_dict(len, visitor),
            other => Err(other.refused("dict")),
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
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.head()? {
            Head::Str(variant) => visitor.visit_enum(variant.into_deserializer()),
            Head::Dict(1) => self.deeper(|from| visitor.visit_enum(Variant { from })),
            Head::Dict(_) => Err(Mismatch::found("a dict that has not one entry", "enum")),
            other => Err(other.refused("enum")),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_any(visitor)
    }
}

/// The elements of a list, or the entries of a dictionary.
struct Items<'a, 'b> {
    from: &'a mut Unpacker<'b>,
    left: usize,
}

impl Items<'_, '_> {
    /// Refuses elements that the type does not have.
    fn end(&self, len: usize) -> Result<(), Mismatch> {
        if self.left == 0 {
            return Ok(());
        }
        let (found, wanted) = (format!("{len} elements"), format!("{}", len - self.left));
        Err(Mismatch::found(&found, &wanted))
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Mismatch;

    #[inline]
    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.from).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, '_> {
    type Error = Mismatch;

    #[inline]
    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Mismatch> {
        seed.deserialize(&mut *self.from)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The one entry of a dictionary that stands for a variant with content.
struct Variant<'a, 'b> {
    from: &'a mut Unpacker<'b>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, '_> {
    type Error = Mismatch;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Mismatch> {
        let variant = seed.deserialize(&mut *self.from)?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, '_> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        <()>::deserialize(self.from)
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Mismatch> {
        seed.deserialize(self.from)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.from.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.from.deserialize_map(visitor)
    }
}

/// Calls the visitor with an extension, as rmp-serde does: as a newtype of a number and bytes.
pub(super) fn visit_extension<'de, V: Visitor<'de>>(
    tag: i8,
    bytes: &[u8],
    visitor: V,
) -> Result<V::Value, Mismatch> {
    let parts = ExtensionParts { tag: Some(tag), bytes: Some(bytes) };
    visitor.visit_newtype_struct(SeqAccessDeserializer::new(parts))
}

/// An extension as the list of its number and its bytes.
struct ExtensionParts<'a> {
    tag: Option<i8>,
    bytes: Option<&'a [u8]>,
}

impl<'de> de::SeqAccess<'de> for ExtensionParts<'_> {
    type Error = Mismatch;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        if let Some(tag) = self.tag.take() {
            return seed.deserialize(tag.into_deserializer()).map(Some);
        }
        let Some(bytes) = self.bytes.take() else { return Ok(None) };
        seed.deserialize(BytesDeserializer::new(bytes)).map(Some)
    }
}
