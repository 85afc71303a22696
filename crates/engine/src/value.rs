//! A value as the engine sees it: a kind, a type and bytes.

use crate::{
    error::EngineError,
    layout::{self, Desc, Extent, slot},
    mem::{Load, Mem, Ordering::Relaxed},
};
use mapvar_os::{Error, ErrorKind};
use std::fmt;

/// The kind of a variable's value. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// No value; 0 bytes.
    Nil = 1,
    /// True or false; one word.
    Bool = 2,
    /// A whole number from -2^63 to 2^63 - 1; one word.
    I64 = 3,
    /// A whole number from 2^63 to 2^64 - 1; one word.
    U64 = 4,
    /// A 64-bit floating-point number; one word.
    F64 = 5,
    /// Text, UTF-8.
    Str = 6,
    /// Bytes.
    Bytes = 7,
    /// A list, as MessagePack.
    List = 8,
    /// Keys and values, as MessagePack.
    Dict = 9,
    /// The bytes of a plain type, which programs know by a number.
    Pod = 10,
    /// Bytes that another language wrote and that only it understands.
    Opaque = 11,
    /// The fields of a plain struct, which its layout in the map describes.
    Plain = 12,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Kind] = &[
        Self::Nil,
        Self::Bool,
        Self::I64,
        Self::U64,
        Self::F64,
        Self::Str,
        Self::Bytes,
        Self::List,
        Self::Dict,
        Self::Pod,
        Self::Opaque,
        Self::Plain,
    ];

    /// Returns the kind with this number.
    #[doc(hidden)]
    #[inline]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }

    /// Returns the name that the command shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool => "bool",
            Self::I64 => "int",
            Self::U64 => "uint",
            Self::F64 => "float",
            Self::Str => "str",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Dict => "dict",
            Self::Pod => "pod",
            Self::Opaque => "opaque",
            Self::Plain => "struct",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value to be written to a slot.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Number of the value's kind.
    pub kind: u8,
    pub(crate) type_id: u32,
    /// The content.
    pub payload: Payload<'a>,
    /// The token of the seat of the owner process; 0 = the value is not ephemeral.
    pub(crate) owner: u64,
}

/// The bytes of a value.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// A number.
    Word(u64),
    /// Bytes of the caller.
    Bytes(&'a [u8]),
    /// `len` bytes that already lie in an extent.
    Extent {
        /// Position and capacity of the extent.
        extent: Extent,
        /// How many bytes of it are the value.
        len: usize,
    },
}

#[allow(clippy::len_without_is_empty, reason = "no caller needs `is_empty`")]
impl<'a> Raw<'a> {
    /// Returns a number of `kind`.
    #[inline]
    pub fn word(kind: Kind, word: u64) -> Self {
        Self { kind: kind as u8, type_id: 0, payload: Payload::Word(word), owner: 0 }
    }

    /// Returns a value of `kind` with these bytes.
    #[inline]
    pub fn bytes(kind: Kind, type_id: u32, bytes: &'a [u8]) -> Self {
        Self { kind: kind as u8, type_id, payload: Payload::Bytes(bytes), owner: 0 }
    }

    /// The value that marks a variable as removed.
    pub const TOMBSTONE: Raw<'static> =
        Raw { kind: slot::TOMBSTONE, type_id: 0, payload: Payload::Bytes(&[]), owner: 0 };

    /// Returns the length of the value in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self.payload {
            Payload::Word(_) => 8,
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Extent { len, .. } => len,
        }
    }

    /// Returns how many bytes the value takes in the slot itself.
    #[inline]
    pub fn inline_len(&self) -> usize {
        let len = match self.payload {
            Payload::Extent { .. } => 16,
            _ => self.len(),
        };
        if self.owner == 0 { len } else { len.next_multiple_of(8) + 8 }
    }

    /// Returns the first word, for an `Atomic`.
    #[inline]
    pub(crate) fn first_word(&self) -> u64 {
        match self.payload {
            Payload::Word(word) => word,
            Payload::Bytes(_) | Payload::Extent { .. } => 0,
        }
    }

    /// Returns the same value as an ephemeral one, whose owner process has the seat with this
    /// token.
    #[must_use]
    pub fn owned_by(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    /// Returns the `desc` word of a slot with this value.
    #[inline]
    pub(crate) fn desc(&self) -> Desc {
        let desc = Desc::new(self.len(), self.kind);
        let desc = match self.payload {
            Payload::Extent { .. } => desc.with(slot::EXTENT),
            _ => desc,
        };
        if self.owner == 0 { desc } else { desc.with(slot::EPHEMERAL) }
    }

    /// Returns the same value, after its bytes were copied to `extent`.
    pub fn lying_in(&self, extent: Extent) -> Raw<'static> {
        let payload = Payload::Extent { extent, len: self.len() };
        Raw { payload, ..*self }
    }
}

/// A view of the value in a slot, during a read. A writer may change any word at any moment, so a
/// result counts only once the read was found whole. Each word of the slot's header is loaded once,
/// then checked, then used: a second load could return a value that was never checked.
#[derive(Debug)]
pub struct SlotView<'a, M: Mem> {
    pub(crate) mem: &'a M,
    pub(crate) desc: Desc,
    /// The first words of the slot, as many as the smallest slot has.
    pub(crate) slot: M::Words<'a>,
    /// Offset of the data.
    pub(crate) data: u64,
    /// The space for the value, in bytes.
    pub(crate) room: usize,
    /// The type, copied under the record's lock. `Some` only if the reader has pinned the extent,
    /// since writers may then reuse the slot.
    pub(crate) type_id: Option<u32>,
}

#[allow(clippy::len_without_is_empty, reason = "no caller needs `is_empty`")]
impl<M: Mem> SlotView<'_, M> {
    /// Returns the number of the kind.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.desc.kind()
    }

    /// Returns the number of the type.
    #[inline]
    pub fn type_id(&self) -> u32 {
        self.type_id.unwrap_or_else(|| (self.slot.load(slot::TYPE, Relaxed) >> 32) as u32)
    }

    /// Whether the value ends with a process.
    #[inline]
    pub fn is_ephemeral(&self) -> bool {
        self.desc.is_ephemeral()
    }

    /// Returns the length of the value, at most as many bytes as the slot or extent holds.
    #[inline]
    pub fn len(&self) -> usize {
        usize::try_from(self.desc.len()).map_or(self.room, |len| len.min(self.room))
    }

    /// Whether the slot describes a value.
    #[inline]
    pub(crate) fn is_value(&self) -> bool {
        // For a slot that refers to no valid extent, `room` is 0.
        self.kind() != slot::TOMBSTONE
            && self.desc.is_known()
            && self.desc.len() <= self.room as u64
    }

    /// Returns the first word; 0 if there is none.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        match self.mem.mapped_words(self.data, 1) {
            Some(data) if self.len() >= 8 => data.load(0, Relaxed),
            _ => 0,
        }
    }

    /// Copies as many bytes as `into` holds.
    #[inline]
    pub fn copy_to(&self, into: &mut [u8]) {
        let len = into.len().min(self.len());
        let Some(into) = into.get_mut(..len) else { return };
        if self.desc.is_extent() {
            self.copy_pieces_to(into);
        } else if let Some(data) = self.mem.mapped_words(self.data, len.div_ceil(8)) {
            data.copy_to(into);
        }
    }

    /// Copies the bytes from `from` on, as many as `into` holds. Bytes beyond the value stay as they
    /// are.
    pub fn copy_part_to(&self, from: usize, into: &mut [u8]) {
        let len = into.len().min(self.len().saturating_sub(from));
        let Some(into) = into.get_mut(..len) else { return };
        let mut skip = from as u64;
        let mut filled = 0;
        for (at, piece) in layout::pieces(self.data, (from + len) as u64) {
            let skipped = skip.min(piece);
            skip -= skipped;
            let take = (piece - skipped) as usize;
            let Some(part) = into.get_mut(filled..filled + take) else { return };
            self.mem.copy_bytes(at + skipped, part);
            filled += take;
        }
    }

    fn copy_pieces_to(&self, mut into: &mut [u8]) {
        for (at, len) in layout::pieces(self.data, into.len() as u64) {
            let (piece, rest) = into.split_at_mut(into.len().min(len as usize));
            if let Some(data) = self.mem.words(at, piece.len().div_ceil(8)) {
                data.copy_to(piece);
            }
            into = rest;
        }
    }

    /// Copies the value out.
    ///
    /// # Errors
    /// No memory is left for the copy.
    #[inline]
    pub fn capture(&self) -> Result<OwnedValue, EngineError> {
        let type_id = self.type_id();
        let data = match (self.kind(), self.len()) {
            // Nil, bool and numbers.
            (1, 0) | (2..=5, 8) => Data::Word(self.word()),
            // Any other length is invalid for these kinds.
            (1..=5, _) => {
                return Ok(OwnedValue { kind: 0, type_id: 0, data: Data::Word(0) });
            }
            _ => {
                let len = self.len();
                // The length is bounded by the mapping. If memory is short, the caller gets an
                // error and the process does not abort.
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(len).map_err(|_| no_memory(len))?;
                bytes.resize(len, 0);
                self.copy_to(&mut bytes);
                Data::Bytes(bytes)
            }
        };
        Ok(OwnedValue { kind: self.kind(), type_id, data })
    }
}

/// A value that was copied out of a slot.
#[derive(Clone, Debug)]
pub struct OwnedValue {
    /// Number of its kind; 0 if the slot held no valid value.
    pub kind: u8,
    /// Number of its type.
    pub type_id: u32,
    /// The content.
    pub data: Data,
}

/// The bytes of an [`OwnedValue`].
#[derive(Clone, Debug)]
pub enum Data {
    /// A number.
    Word(u64),
    /// Every other value.
    Bytes(Vec<u8>),
}

impl OwnedValue {
    /// Returns nil, a bool or a number by its description and its word; `None` for any other value.
    #[inline]
    pub(crate) fn of_word(desc: Desc, type_id: u32, word: u64) -> Option<Self> {
        let fits = matches!((desc.kind(), desc.len()), (1, 0) | (2..=5, 8)) && desc.flags() == 0;
        fits.then_some(Self { kind: desc.kind(), type_id, data: Data::Word(word) })
    }

    /// Returns a copy of a value that is yet to be written.
    #[doc(hidden)]
    pub fn of(raw: &Raw<'_>) -> Self {
        let data = match raw.payload {
            Payload::Word(word) => Data::Word(word),
            Payload::Bytes(bytes) => Data::Bytes(bytes.to_vec()),
            // Callers pass no value that lies in an extent.
            Payload::Extent { .. } => Data::Bytes(Vec::new()),
        };
        Self { kind: raw.kind, type_id: raw.type_id, data }
    }

    /// Whether a write of `raw` would leave the value as it is.
    pub fn is(&self, raw: &Raw<'_>) -> bool {
        let same = match (&self.data, raw.payload) {
            _ if raw.kind == Kind::Nil as u8 => true,
            (Data::Word(word), Payload::Word(new)) => *word == new,
            (Data::Bytes(bytes), Payload::Bytes(new)) => bytes == new,
            _ => false,
        };
        same && self.kind == raw.kind && self.type_id == raw.type_id
    }

    /// Returns the value for another write. The new value is not ephemeral.
    pub fn raw(&self) -> Raw<'_> {
        let payload = match &self.data {
            Data::Word(word) => Payload::Word(*word),
            Data::Bytes(bytes) => Payload::Bytes(bytes),
        };
        Raw { kind: self.kind, type_id: self.type_id, payload, owner: 0 }
    }

    /// Returns the kind; an error if this version does not know its number.
    #[inline]
    pub fn kind(&self) -> Result<Kind, Error> {
        Kind::of(self.kind).ok_or_else(|| unknown_kind(self.kind))
    }
}

#[cold]
fn no_memory(len: usize) -> EngineError {
    EngineError::Explained(
        Error::new(ErrorKind::NoSpace, "get", "")
            .detail(format!("no memory for a copy of {len} bytes; read it in parts")),
    )
}

#[cold]
fn unknown_kind(number: u8) -> Error {
    Error::new(ErrorKind::WrongKind, "get", "").detail(format!(
        "the value is of kind {number}, which this version does not know; use a newer version"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_from_one() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at + 1);
            assert_eq!(Kind::of(*kind as u8), Some(*kind));
        }
        assert_eq!(Kind::of(0), None);
        assert_eq!(Kind::of(13), None);
        assert_eq!(Kind::of(slot::TOMBSTONE), None);
    }
}
