//! Encodes values of any serde type into a kind and bytes, and decodes them.
//!
//! Plain values have kinds of their own, so that every language and the command can show them.
//! Every other value is a list or a dictionary: MessagePack with field names. What is stored reads
//! back equal through the same type; a value that would not is refused.

mod rule;
mod error;
mod number;
mod plain;
mod pack;
mod unpack;
mod encode;
mod decode;

pub(crate) use error::NO_MEMORY;
pub(crate) use rule::{EXTENSION, VALUE};

use error::Stop;
use mapvar_engine::{
    layout::Desc,
    value::{Kind, OwnedValue, Raw},
};
use mapvar_os::Result;
use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeOwned},
};

/// The kind and word of a number or `bool`; `None` for any other value. The fast path of writing.
#[inline]
pub(crate) fn plain<T: Serialize + ?Sized>(value: &T) -> Option<(Kind, u64)> {
    value.serialize(plain::ToWord::default()).ok()
}

/// A `T` from the description and word of a number or `bool`; `None` if it is none or does not fit.
/// The fast path of reading.
#[inline]
pub(crate) fn of_plain<T: DeserializeOwned>(desc: Desc, word: u64) -> Option<T> {
    T::deserialize(plain::OfWord::new(desc, word)).ok()
}

/// Calls `take` with the encoded `value`, and returns its result. Numbers and text are not copied.
#[inline]
pub(crate) fn encode<T, R>(value: &T, take: &mut impl FnMut(&Raw<'_>) -> R) -> Result<R>
where
    T: Serialize + ?Sized,
{
    match encode::encode_plain(value, take) {
        Err(Stop::Composite) => encode_composite(value, take),
        done => done.map_err(Stop::into_error),
    }
}

fn encode_composite<T, R>(value: &T, take: &mut impl FnMut(&Raw<'_>) -> R) -> Result<R>
where
    T: Serialize + ?Sized,
{
    let mut bytes = Vec::new();
    pack::pack(value, &mut bytes).map_err(Stop::into_error)?;
    let kind = match bytes.first() {
        Some(0x80..=0x8f | 0xde | 0xdf) => Kind::Dict,
        _ => Kind::List,
    };
    Ok(take(&Raw::bytes(kind, 0, &bytes)))
}

/// Decodes a value that was copied out of a slot.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(captured: OwnedValue) -> Result<T> {
    decode::decode(captured).map_err(error::Mismatch::into_error)
}

/// Decodes a value for a field of this type: its errors ask for another value, and not for another
/// type.
pub(crate) fn decode_for_field<T: DeserializeOwned>(captured: OwnedValue) -> Result<T> {
    decode::decode(captured).map_err(error::Mismatch::into_error_of_a_write)
}

/// Whether the bytes are one MessagePack value, not nested too deeply to decode, and nothing else.
pub(crate) fn is_message_pack(bytes: &[u8]) -> bool {
    unpack::unpack::<de::IgnoredAny>(bytes).is_ok()
}

/// Decodes a `T` from the MessagePack value of which the bytes consist.
///
/// # Errors
/// `Corrupt` if the bytes are anything else; `TooLarge` if the system refuses the memory.
pub(crate) fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T> {
    unpack::unpack(bytes).map_err(error::Mismatch::into_error)
}

#[cfg(test)]
mod tests;
