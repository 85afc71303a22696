//! Writes lists and dictionaries of any serde types as MessagePack.
//!
//! What is written reads back through the same type, so a value that would not is refused: see
//! [`crate::Map::set`].

use super::{
    error::Stop,
    rule::{DEEPEST, EXTENSION, VALUE},
};
use rmp::encode::{self, ValueWriteError};
use serde::{Serialize, ser};

/// Appends the MessagePack of a value.
pub(super) fn pack<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), Stop> {
    value.serialize(Packer { bytes, left: DEEPEST, in_some: false, of_value: false })
}

struct Packer<'a> {
    bytes: &'a mut Vec<u8>,
    /// How many levels may follow.
    left: u32,
    /// Whether the value is the content of a `Some`.
    in_some: bool,
    /// Whether the value is the content of a dictionary of `Value`s.
    of_value: bool,
}

fn failed<E: rmp::encode::RmpWriteErr>(_: ValueWriteError<E>) -> Stop {
    // A `Vec` takes whatever is written.
    Stop::invalid("it cannot be written")
}

fn length(len: usize) -> Result<u32, Stop> {
    u32::try_from(len).map_err(|_| {
        Stop::Failed(
            mapvar_os::ErrorKind::TooLarge,
            "a list, a dictionary, text or bytes within it has more than 2^32 elements".into(),
        )
    })
}

impl<'a> Packer<'a> {
    fn deeper(self) -> Result<Self, Stop> {
        let left = self.left.checked_sub(1).ok_or_else(Stop::deep)?;
        Ok(Self { left, in_some: false, of_value: false, ..self })
    }

    fn signed(self, value: i64) -> Result<(), Stop> {
        encode::write_sint(self.bytes, value).map(drop).map_err(failed)
    }

    fn unsigned(self, value: u64) -> Result<(), Stop> {
        encode::write_uint(self.bytes, value).map(drop).map_err(failed)
    }

    fn nil(self) -> Result<(), Stop> {
        if self.in_some {
            return Err(Stop::some_nil());
        }
        self.bytes.push(rmp::Marker::Null.to_u8());
        Ok(())
    }

    fn begin(self, what: Container, len: Option<usize>) -> Result<Elements<'a>, Stop> {
        let of_value = self.of_value;
        let Self { bytes, left, .. } = self.deeper()?;
        let start = bytes.len();
        let announced = len.map(length).transpose()?;
        if let Some(announced) = announced {
            what.head(bytes, announced)?;
        }
        Ok(Elements {
            bytes,
            left,
            what,
            start,
            announced,
            keys: Vec::new(),
            first_key: None,
            of_value,
            key_count: 0,
            values: 0,
        })
    }

    /// Begins the dictionary of one entry that stands for a variant of an enum.
    fn variant(self, variant: &str) -> Result<Self, Stop> {
        let inner = self.deeper()?;
        Container::Dict.head(inner.bytes, 1)?;
        encode::write_str(inner.bytes, variant).map_err(failed)?;
        Ok(inner)
    }

    fn extension<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        let (tag, bytes) = extension(value)?;
        encode::write_ext_meta(self.bytes, length(bytes.len())?, tag).map(drop).map_err(failed)?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Returns the number and the bytes of an extension.
pub(super) fn extension<T: Serialize + ?Sized>(value: &T) -> Result<(i8, Vec<u8>), Stop> {
    let mut parts = Vec::new();
    pack(value, &mut parts)?;
    let mut rest = parts.as_slice();
    let pair = rmp::decode::read_array_len(&mut rest).ok().filter(|len| *len == 2);
    let tag = pair.and_then(|_| rmp::decode::read_int(&mut rest).ok());
    let len = rmp::decode::read_bin_len(&mut rest).ok();
    let (Some(tag), Some(_)) = (tag, len) else {
        return Err(Stop::invalid("an extension is a number and bytes"));
    };
    let before = parts.len() - rest.len();
    Ok((tag, parts.split_off(before)))
}

macro_rules! integers {
    ($($method:ident $type:ty => $write:ident,)*) => {$(
        fn $method(self, value: $type) -> Result<(), Stop> {
            self.$write(value.into())
        }
    )*};
}

impl<'a> ser::Serializer for Packer<'a> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Elements<'a>;
    type SerializeStructVariant = Elements<'a>;

    integers! {
        serialize_i8 i8 => signed, serialize_i16 i16 => signed,
        serialize_i32 i32 => signed, serialize_i64 i64 => signed,
        serialize_u8 u8 => unsigned, serialize_u16 u16 => unsigned,
        serialize_u32 u32 => unsigned, serialize_u64 u64 => unsigned,
    }

    fn serialize_i128(self, value: i128) -> Result<(), Stop> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.signed(value),
            (_, Ok(value)) => self.unsigned(value),
            _ => Err(Stop::wide(value)),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), Stop> {
        self.unsigned(u64::try_from(value).map_err(|_| Stop::wide(value))?)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Stop> {
        let marker = if value { rmp::Marker::True } else { rmp::Marker::False };
        self.bytes.push(marker.to_u8());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        encode::write_f32(self.bytes, value).map_err(failed)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        encode::write_f64(self.bytes, value).map_err(failed)
    }

    fn serialize_char(self, value: char) -> Result<(), Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Stop> {
        length(value.len())?;
        encode::write_str(self.bytes, value).map_err(failed)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Stop> {
        length(value.len())?;
        encode::write_bin(self.bytes, value).map_err(failed)
    }

    fn serialize_none(self) -> Result<(), Stop> {
        self.nil()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(Self { in_some: true, ..self.deeper()? })
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        self.nil()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stop> {
        self.nil()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Stop> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        if name == EXTENSION {
            return self.extension(value);
        }
        if name == VALUE {
            return value.serialize(Self { of_value: true, ..self });
        }
        let in_some = self.in_some;
        value.serialize(Self { in_some, ..self.deeper()? })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a>, Stop> {
        self.begin(Container::List, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'a>, Stop> {
        self.begin(Container::List, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Elements<'a>, Stop> {
        self.begin(Container::List, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'a>, Stop> {
        self.variant(variant)?.begin(Container::List, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'a>, Stop> {
        self.begin(Container::Dict, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Elements<'a>, Stop> {
        self.begin(Container::Dict, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'a>, Stop> {
        self.variant(variant)?.begin(Container::Dict, Some(len))
    }
}

#[derive(Clone, Copy)]
enum Container {
    List,
    Dict,
}

impl Container {
    fn head(self, bytes: &mut Vec<u8>, len: u32) -> Result<(), Stop> {
        match self {
            Self::List => encode::write_array_len(bytes, len),
            Self::Dict => encode::write_map_len(bytes, len),
        }
        .map(drop)
        .map_err(failed)
    }
}

/// The elements of a list, or the entries of a dictionary.
pub(super) struct Elements<'a> {
    bytes: &'a mut Vec<u8>,
    left: u32,
    what: Container,
    /// Where its first byte lies.
    start: usize,
    /// How many elements its type has announced, if it knows; they are in the first bytes.
    announced: Option<u32>,
    /// Where each key lies, if their number was not announced.
    keys: Vec<(usize, usize)>,
    /// Where the first key lies, if their number was announced.
    first_key: Option<(usize, usize)>,
    /// Whether it is the dictionary of a `Value`, which may have a key twice.
    of_value: bool,
    key_count: usize,
    values: usize,
}

impl Elements<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.values += 1;
        value.serialize(Packer {
            bytes: self.bytes,
            left: self.left,
            in_some: false,
            of_value: false,
        })
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        let from = self.bytes.len();
        key.serialize(Packer {
            bytes: self.bytes,
            left: self.left,
            in_some: false,
            of_value: false,
        })?;
        self.key_count += 1;
        self.note_key(from)
    }

    /// Notes the key that was written from `from` on.
    ///
    /// A type that announces its number of entries has none twice, but for one of `#[serde(tag)]`
    /// around a map or a struct that has an entry of the tag's name. The tag comes first.
    fn note_key(&mut self, from: usize) -> Result<(), Stop> {
        let to = self.bytes.len();
        if self.announced.is_none() {
            self.keys.push((from, to));
            return Ok(());
        }
        let Some((first, end)) = self.first_key else {
            self.first_key = Some((from, to));
            return Ok(());
        };
        if !self.of_value && self.bytes.get(first..end) == self.bytes.get(from..to) {
            return Err(Stop::repeated());
        }
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Stop> {
        let from = self.bytes.len();
        encode::write_str(self.bytes, key).map_err(failed)?;
        self.note_key(from)?;
        self.element(value)
    }

    fn finish(self) -> Result<(), Stop> {
        let len = length(self.values)?;
        match self.announced {
            Some(announced) if announced != len => Err(Stop::invalid(format!(
                "its type announced {announced} elements and has {len}; mend its `Serialize`"
            ))),
            Some(_) => Ok(()),
            None => {
                let mut head = Vec::with_capacity(5);
                self.what.head(&mut head, len)?;
                self.bytes.splice(self.start..self.start, head);
                Ok(())
            }
        }
    }

    /// Refuses two equal keys, of which a reader would reject the second. A type that does not know
    /// its number of entries may have such, as one with `#[serde(flatten)]`.
    fn finish_dict(self) -> Result<(), Stop> {
        if self.key_count != self.values {
            return Err(Stop::invalid("a dictionary has not as many keys as values"));
        }
        let mut keys: Vec<_> =
            self.keys.iter().map(|(from, to)| self.bytes.get(*from..*to)).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [one, two] if one == two)) {
            return Err(Stop::repeated());
        }
        self.finish()
    }
}

macro_rules! of_elements {
    ($($trait:ident $method:ident,)*) => {$(
        impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
                self.element(value)
            }

            fn end(self) -> Result<(), Stop> {
                self.finish()
            }
        }
    )*};
}

of_elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! of_fields {
    ($($trait:ident,)*) => {$(
        impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = Stop;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Stop> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Stop> {
                self.finish()
            }
        }
    )*};
}

of_fields! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.element(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.finish_dict()
    }
}
