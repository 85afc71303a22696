//! Writes plain values as kinds of their own: numbers, text, bytes.

use super::{
    error::Stop,
    pack::extension,
    rule::{DEEPEST, EXTENSION, SEQUENCE},
};
use mapvar_engine::value::{Kind, Raw};
use serde::{
    Serialize,
    ser::{self, Impossible},
};

/// Calls `take` with the value if it is a plain one.
#[inline]
pub(super) fn encode_plain<T, R>(value: &T, take: &mut impl FnMut(&Raw<'_>) -> R) -> Result<R, Stop>
where
    T: Serialize + ?Sized,
{
    value.serialize(Encoder { take, left: DEEPEST, in_some: false })
}

/// Encodes plain values, and refuses others.
struct Encoder<'a, F> {
    take: &'a mut F,
    /// How many levels of `Some` and newtypes may follow.
    left: u32,
    /// Whether the value is the content of a `Some`.
    in_some: bool,
}

impl<F: FnMut(&Raw<'_>) -> R, R> Encoder<'_, F> {
    #[inline]
    #[allow(clippy::unnecessary_wraps, reason = "every caller returns a `Result`")]
    fn word(self, kind: Kind, word: u64) -> Result<R, Stop> {
        Ok((self.take)(&Raw::word(kind, word)))
    }

    fn deeper(self) -> Result<Self, Stop> {
        Ok(Self { left: self.left.checked_sub(1).ok_or_else(Stop::deep)?, ..self })
    }
}

macro_rules! encode_integers {
    ($($method:ident $type:ty,)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<R, Stop> {
            self.word(Kind::I64, i64::from(value).cast_unsigned())
        }
    )*};
}

impl<'a, F: FnMut(&Raw<'_>) -> R, R> ser::Serializer for Encoder<'a, F> {
    type Ok = R;
    type Error = Stop;
    type SerializeSeq = Octets<'a, F>;
    type SerializeTuple = Impossible<R, Stop>;
    type SerializeTupleStruct = Impossible<R, Stop>;
    type SerializeTupleVariant = Impossible<R, Stop>;
    type SerializeMap = Impossible<R, Stop>;
    type SerializeStruct = Impossible<R, Stop>;
    type SerializeStructVariant = Impossible<R, Stop>;

    encode_integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32,
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<R, Stop> {
        let kind = if i64::try_from(value).is_ok() { Kind::I64 } else { Kind::U64 };
        self.word(kind, value)
    }

    fn serialize_i128(self, value: i128) -> Result<R, Stop> {
        if let Ok(value) = i64::try_from(value) {
            self.serialize_i64(value)
        } else if let Ok(value) = u64::try_from(value) {
            self.serialize_u64(value)
        } else {
            Err(Stop::wide(value))
        }
    }

    fn serialize_u128(self, value: u128) -> Result<R, Stop> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => Err(Stop::wide(value)),
        }
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<R, Stop> {
        self.word(Kind::Bool, u64::from(value))
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<R, Stop> {
        self.serialize_f64(f64::from(value))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<R, Stop> {
        self.word(Kind::F64, value.to_bits())
    }

    fn serialize_char(self, value: char) -> Result<R, Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<R, Stop> {
        Ok((self.take)(&Raw::bytes(Kind::Str, 0, value.as_bytes())))
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<R, Stop> {
        Ok((self.take)(&Raw::bytes(Kind::Bytes, 0, value)))
    }

    fn serialize_none(self) -> Result<R, Stop> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<R, Stop> {
        value.serialize(Self { in_some: true, ..self.deeper()? })
    }

    fn serialize_unit(self) -> Result<R, Stop> {
        if self.in_some {
            return Err(Stop::some_nil());
        }
        Ok((self.take)(&Raw::bytes(Kind::Nil, 0, &[])))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<R, Stop> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<R, Stop> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<R, Stop> {
        if name == EXTENSION {
            let (tag, bytes) = extension(value)?;
            let kind = u8::try_from(tag).ok().and_then(Kind::of);
            let kind = kind.filter(|kind| matches!(kind, Kind::Pod | Kind::Opaque));
            let (Some(kind), Some((number, bytes))) = (kind, bytes.split_first_chunk()) else {
                return Err(Stop::invalid("an extension that no kind of variable stands for"));
            };
            return Ok((self.take)(&Raw::bytes(kind, u32::from_le_bytes(*number), bytes)));
        }
        value.serialize(self.deeper()?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<R, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Octets<'a, F>, Stop> {
        let capacity = len.unwrap_or(0).min(1 << 16);
        Ok(Octets { bytes: Vec::with_capacity(capacity), take: self.take })
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<R, Stop>, Stop> {
        Err(Stop::Composite)
    }
}

/// A sequence of `u8` (`Vec<u8>`) is bytes; any other is a list, and so is a tuple or an array.
struct Octets<'a, F> {
    bytes: Vec<u8>,
    take: &'a mut F,
}

impl<F> Octets<'_, F> {
    #[inline]
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Stop> {
        self.bytes.push(element.serialize(Octet)?);
        Ok(())
    }

    fn finish<R>(self) -> Result<R, Stop>
    where
        F: FnMut(&Raw<'_>) -> R,
    {
        // An empty sequence has no element that tells bytes from a list, so it is stored as a list.
        // Decoding bytes accepts a list too.
        if self.bytes.is_empty() {
            return Err(Stop::Composite);
        }
        Ok((self.take)(&Raw::bytes(Kind::Bytes, SEQUENCE, &self.bytes)))
    }
}

impl<F: FnMut(&Raw<'_>) -> R, R> ser::SerializeSeq for Octets<'_, F> {
    type Ok = R;
    type Error = Stop;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Stop> {
        self.push(element)
    }

    fn end(self) -> Result<R, Stop> {
        self.finish()
    }
}

/// A serializer that accepts a `u8` and nothing else.
struct Octet;

macro_rules! refuse {
    ($($method:ident($($arg:ty),*) -> $ok:ty;)*) => {$(
        #[inline]
        fn $method(self, $(_: $arg),*) -> Result<$ok, Stop> {
            Err(Stop::Composite)
        }
    )*};
}

impl ser::Serializer for Octet {
    type Ok = u8;
    type Error = Stop;
    type SerializeSeq = Impossible<u8, Stop>;
    type SerializeTuple = Impossible<u8, Stop>;
    type SerializeTupleStruct = Impossible<u8, Stop>;
    type SerializeTupleVariant = Impossible<u8, Stop>;
    type SerializeMap = Impossible<u8, Stop>;
    type SerializeStruct = Impossible<u8, Stop>;
    type SerializeStructVariant = Impossible<u8, Stop>;

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<u8, Stop> {
        Ok(value)
    }

    refuse! {
        serialize_bool(bool) -> u8;
        serialize_i8(i8) -> u8;
        serialize_i16(i16) -> u8;
        serialize_i32(i32) -> u8;
        serialize_i64(i64) -> u8;
        serialize_u16(u16) -> u8;
        serialize_u32(u32) -> u8;
        serialize_u64(u64) -> u8;
        serialize_i128(i128) -> u8;
        serialize_u128(u128) -> u8;
        serialize_f32(f32) -> u8;
        serialize_f64(f64) -> u8;
        serialize_char(char) -> u8;
        serialize_str(&str) -> u8;
        serialize_bytes(&[u8]) -> u8;
        serialize_none() -> u8;
        serialize_unit() -> u8;
        serialize_unit_struct(&'static str) -> u8;
        serialize_unit_variant(&'static str, u32, &'static str) -> u8;
        serialize_seq(Option<usize>) -> Impossible<u8, Stop>;
        serialize_tuple(usize) -> Impossible<u8, Stop>;
        serialize_tuple_struct(&'static str, usize) -> Impossible<u8, Stop>;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<u8, Stop>;
        serialize_map(Option<usize>) -> Impossible<u8, Stop>;
        serialize_struct(&'static str, usize) -> Impossible<u8, Stop>;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<u8, Stop>;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<u8, Stop> {
        Err(Stop::Composite)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, Stop> {
        Err(Stop::Composite)
    }
}
