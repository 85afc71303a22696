//! Encodes values of any serde type into a kind and bytes, and decodes them.
//!
//! Plain values have kinds of their own, so that every language and the command can show them.
//! Every other value is MessagePack with field names.

use mapvar_engine::{
    layout::Desc,
    value::{Data, Kind, OwnedValue, Raw},
};
use mapvar_os::{Error, ErrorKind};
use serde::{
    Deserialize, Serialize,
    de::value::SeqDeserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor},
    ser::{self, Impossible},
};
use std::fmt;

/// How deeply lists and dictionaries may be nested when they are decoded.
const DEEPEST: usize = 128;

/// The message with which decoding a [`Value`](super::Value) ends when the system refuses the
/// memory. The errors of serde carry only text, so the codec recognizes this one by its text.
pub(crate) const NO_MEMORY: &str = "decoded, it takes more memory than the system gives this \
    process; free memory, raise the process's limit, or ask for a smaller type";

/// The kind of an error with this text: [`NO_MEMORY`] is `TooLarge`, any other text `otherwise`.
#[cold]
fn kind_of(error: &impl fmt::Display, otherwise: ErrorKind) -> ErrorKind {
    if error.to_string() == NO_MEMORY { ErrorKind::TooLarge } else { otherwise }
}

/// The kind and word of a number or `bool`; `None` for any other value. The fast path of writing.
#[inline]
pub(crate) fn plain<T: Serialize + ?Sized>(value: &T) -> Option<(Kind, u64)> {
    value.serialize(plain::ToWord).ok()
}

/// A `T` from the description and word of a number or `bool`; `None` if it is none or does not fit.
/// The fast path of reading.
#[inline]
pub(crate) fn of_plain<T: DeserializeOwned>(desc: Desc, word: u64) -> Option<T> {
    T::deserialize(plain::OfWord { desc, word }).ok()
}

/// Calls `take` with the encoded `value`, and returns its result. Numbers and text are not copied.
#[inline]
pub(crate) fn encode<T, R>(value: &T, take: &mut impl FnMut(&Raw<'_>) -> R) -> Result<R, Error>
where
    T: Serialize + ?Sized,
{
    match value.serialize(Encoder { take: &mut *take }) {
        Ok(done) => Ok(done),
        Err(Stop::Composite) => encode_composite(value, take),
        Err(Stop::Failed(kind, detail)) => {
            Err(Error::new(kind, "encode a value", "").detail(detail))
        }
    }
}

fn encode_composite<T, R>(value: &T, take: &mut impl FnMut(&Raw<'_>) -> R) -> Result<R, Error>
where
    T: Serialize + ?Sized,
{
    let mut bytes = Vec::new();
    let mut packer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_bytes(rmp_serde::config::BytesMode::ForceIterables);
    value.serialize(&mut packer).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, "encode a value", "")
            .detail("the type cannot be written as MessagePack")
            .because(error)
    })?;
    let kind = match bytes.first() {
        Some(0x80..=0x8f | 0xde | 0xdf) => Kind::Dict,
        _ => Kind::List,
    };
    Ok(take(&Raw::bytes(kind, 0, &bytes)))
}

/// Why the encoder stopped.
#[derive(Debug)]
enum Stop {
    /// The value is not a plain one.
    Composite,
    Failed(ErrorKind, String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Composite => f.write_str("not a plain value"),
            Self::Failed(_, detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self::Failed(ErrorKind::InvalidArgument, detail.to_string())
    }
}

/// Encodes plain values, and refuses others.
struct Encoder<'a, F> {
    take: &'a mut F,
}

impl<F: FnMut(&Raw<'_>) -> R, R> Encoder<'_, F> {
    #[inline]
    #[allow(clippy::unnecessary_wraps, reason = "every caller returns a `Result`")]
    fn word(self, kind: Kind, word: u64) -> Result<R, Stop> {
        Ok((self.take)(&Raw::word(kind, word)))
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
    type SerializeTuple = Octets<'a, F>;
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
            Err(Stop::Failed(
                ErrorKind::OutOfRange,
                format!("{value} does not fit 64 bits; store it as text"),
            ))
        }
    }

    fn serialize_u128(self, value: u128) -> Result<R, Stop> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => Err(Stop::Failed(
                ErrorKind::OutOfRange,
                format!("{value} does not fit 64 bits; store it as text"),
            )),
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
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<R, Stop> {
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
        _: &'static str,
        value: &T,
    ) -> Result<R, Stop> {
        value.serialize(self)
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

    fn serialize_tuple(self, len: usize) -> Result<Octets<'a, F>, Stop> {
        self.serialize_seq(Some(len))
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

/// A sequence of `u8` (`Vec<u8>`, `[u8; N]`) is bytes; any other is a list.
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
        Ok((self.take)(&Raw::bytes(Kind::Bytes, 0, &self.bytes)))
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

impl<F: FnMut(&Raw<'_>) -> R, R> ser::SerializeTuple for Octets<'_, F> {
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

/// Decodes a value that was copied out of a slot.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(captured: OwnedValue) -> Result<T, Error> {
    T::deserialize(Decoder(captured)).map_err(Mismatch::into_error)
}

/// The error of decoding: the value does not convert to the requested type.
#[derive(Debug)]
pub(crate) struct Mismatch {
    kind: ErrorKind,
    detail: String,
}

impl Mismatch {
    #[cold]
    pub(crate) fn into_error(self) -> Error {
        Error::new(self.kind, "decode a value", "").detail(self.detail)
    }

    #[cold]
    fn kind(found: u8, wanted: &str) -> Self {
        let found = Kind::of(found).map_or("a kind of a newer version", Kind::name);
        Self { kind: ErrorKind::WrongKind, detail: format!("expected {wanted}, found {found}") }
    }

    #[cold]
    fn range(number: impl fmt::Display, wanted: &str) -> Self {
        Self {
            kind: ErrorKind::OutOfRange,
            detail: format!("{number} does not fit {wanted}; ask for a wider type"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        let detail = detail.to_string();
        Self { kind: kind_of(&detail, ErrorKind::WrongKind), detail }
    }
}

struct Decoder(OwnedValue);

impl Decoder {
    #[inline]
    fn is(&self, kind: Kind) -> bool {
        self.0.kind == kind as u8
    }

    #[inline]
    fn word(&self) -> u64 {
        match self.0.data {
            Data::Word(word) => word,
            Data::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self.0.data {
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
            Err(Mismatch::kind(self.0.kind, wanted))
        }
    }

    fn text(self, wanted: &str) -> Result<String, Mismatch> {
        if !self.is(Kind::Str) {
            return Err(Mismatch::kind(self.0.kind, wanted));
        }
        String::from_utf8(self.bytes()).map_err(|_| Mismatch {
            kind: ErrorKind::Corrupt,
            detail: "its text is not UTF-8".into(),
        })
    }

    /// Calls `visit` with a deserializer over the value's MessagePack.
    fn unpack<T>(
        self,
        visit: impl FnOnce(
            &mut rmp_serde::Deserializer<rmp_serde::decode::ReadReader<&[u8]>>,
        ) -> Result<T, rmp_serde::decode::Error>,
    ) -> Result<T, Mismatch> {
        let bytes = self.bytes();
        let mut unpacker = rmp_serde::Deserializer::new(bytes.as_slice());
        unpacker.set_max_depth(DEEPEST);
        let value =
            visit(&mut unpacker).map_err(|error| match kind_of(&error, ErrorKind::WrongKind) {
                ErrorKind::TooLarge => <Mismatch as de::Error>::custom(NO_MEMORY),
                kind => Mismatch {
                    kind,
                    detail: format!("its content is not of the type asked for: {error}"),
                },
            })?;
        match unpacker.get_ref() {
            [] => Ok(value),
            rest => Err(Mismatch { kind: ErrorKind::Corrupt, detail: trailing(rest) }),
        }
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
        match Kind::of(self.0.kind) {
            Some(Kind::Nil) => visitor.visit_unit(),
            Some(Kind::Bool) => self.deserialize_bool(visitor),
            Some(Kind::I64) => visitor.visit_i64(self.word().cast_signed()),
            Some(Kind::U64) => visitor.visit_u64(self.word()),
            Some(Kind::F64) => visitor.visit_f64(f64::from_bits(self.word())),
            Some(Kind::Str) => visitor.visit_string(self.text("str")?),
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => visitor.visit_byte_buf(self.bytes()),
            Some(Kind::List | Kind::Dict) => {
                self.unpack(|unpacker| serde::Deserializer::deserialize_any(unpacker, visitor))
            }
            _ => Err(Mismatch::kind(self.0.kind, "a known kind")),
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
            return Err(Mismatch::kind(self.0.kind, "bool"));
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
        if !self.is(Kind::F64) {
            return Err(Mismatch::kind(self.0.kind, "f32"));
        }
        let wide = f64::from_bits(self.word());
        // A loss of precision is accepted, as in a cast; overflow is an error.
        let narrow = wide as f32;
        if wide.is_finite() && !narrow.is_finite() {
            return Err(Mismatch::range(wide, "f32"));
        }
        visitor.visit_f32(narrow)
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if !self.is(Kind::F64) {
            return Err(Mismatch::kind(self.0.kind, "f64"));
        }
        visitor.visit_f64(f64::from_bits(self.word()))
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
        match Kind::of(self.0.kind) {
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => visitor.visit_byte_buf(self.bytes()),
            Some(Kind::List) => self.deserialize_seq(visitor),
            _ => Err(Mismatch::kind(self.0.kind, "bytes")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::Nil) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is(Kind::Nil) {
            visitor.visit_unit()
        } else {
            Err(Mismatch::kind(self.0.kind, "nil"))
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
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match Kind::of(self.0.kind) {
            Some(Kind::List) => {
                self.unpack(|unpacker| serde::Deserializer::deserialize_seq(unpacker, visitor))
            }
            Some(Kind::Bytes | Kind::Pod | Kind::Opaque) => {
                visitor.visit_seq(SeqDeserializer::new(self.bytes().into_iter()))
            }
            _ => Err(Mismatch::kind(self.0.kind, "list")),
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
            Err(Mismatch::kind(self.0.kind, "dict"))
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
        match Kind::of(self.0.kind) {
            Some(Kind::Str) => visitor.visit_enum(self.text("str")?.into_deserializer()),
            Some(Kind::Dict) => self.unpack(|unpacker| {
                serde::Deserializer::deserialize_enum(unpacker, name, variants, visitor)
            }),
            _ => Err(Mismatch::kind(self.0.kind, "enum")),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }
}

/// Whether the bytes are one MessagePack value, not nested too deeply to decode, and nothing else.
pub(crate) fn is_message_pack(bytes: &[u8]) -> bool {
    unpack::<de::IgnoredAny>(bytes).is_ok()
}

/// Decodes a `T` from the MessagePack value of which the bytes consist.
///
/// # Errors
/// `Corrupt` if the bytes are anything else; `TooLarge` if the system refuses the memory.
pub(crate) fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Error> {
    let failed = |kind| Error::new(kind, "decode a value", "");
    let mut unpacker = rmp_serde::Deserializer::new(bytes);
    unpacker.set_max_depth(DEEPEST);
    let value = T::deserialize(&mut unpacker).map_err(|error| {
        match kind_of(&error, ErrorKind::Corrupt) {
            ErrorKind::TooLarge => failed(ErrorKind::TooLarge).detail(NO_MEMORY),
            kind => failed(kind).detail("its MessagePack is invalid").because(error),
        }
    })?;
    match unpacker.get_ref() {
        [] => Ok(value),
        rest => Err(failed(ErrorKind::Corrupt).detail(trailing(rest))),
    }
}

/// The message for bytes after the value. No writer stores any, so the value is damaged or forged.
#[cold]
fn trailing(rest: &[u8]) -> String {
    format!("its MessagePack ends {} bytes before the value does", rest.len())
}

mod plain;

#[cfg(test)]
mod tests;
