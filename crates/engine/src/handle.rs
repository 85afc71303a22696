//! A record that was checked to be one, as operations refer to it.

use crate::{
    layout::{self, Meta, record, record_bytes, slot, slot_bytes},
    mem::Mem,
};

/// A record that was found to be one: where it lies, of which class it is, and the id of the
/// variable that it stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Where its record lies.
    pub at: u64,
    /// The variable's id.
    pub id: u64,
    /// Words of one of its slots: what its class comes to.
    pub(crate) slot_words: u8,
    /// Whether it is an `Atomic`.
    pub atomic: bool,
}

impl Handle {
    /// Checks that a record of the class in `meta` can lie at `at`.
    #[inline]
    pub(crate) fn checked<M: Mem>(at: u64, id: u64, meta: Meta, mem: &M) -> Option<Self> {
        let class = meta.class();
        if class >= layout::RECORD_CLASSES.len()
            || !meta.is_known()
            || at < layout::META_CHUNKS * layout::CHUNK
        {
            return None;
        }
        let end = at.checked_add(record_bytes(class) as u64)?;
        let within = at % layout::CHUNK + record_bytes(class) as u64 <= layout::CHUNK;
        (within && (end <= mem.size() || mem.reach(end)))
            .then(|| Self::new(at, id, class, meta.atomic()))
    }

    /// A record of `class` at `at`, as the caller found it.
    #[inline]
    pub fn new(at: u64, id: u64, class: usize, atomic: bool) -> Self {
        Self { at, id, slot_words: (slot_bytes(class) / 8) as u8, atomic }
    }

    /// All of it but the id in one word: the offset, the words of a slot from bit 56, and the flag in
    /// bit 0.
    pub fn packed(self) -> u64 {
        u64::from(self.slot_words) << 56 | self.at | u64::from(self.atomic)
    }

    /// The handle of which [`packed`](Self::packed) gave this word, and with this id.
    #[inline]
    pub fn from_packed(packed: u64, id: u64) -> Self {
        Self {
            at: packed & 0x00ff_ffff_ffff_ffc0,
            id,
            slot_words: (packed >> 56) as u8,
            atomic: packed & 1 != 0,
        }
    }

    /// Words of its record.
    #[inline]
    pub fn words(self) -> usize {
        record::LINE + slot::COUNT * usize::from(self.slot_words)
    }

    /// Index of the first word of slot `number`.
    #[inline]
    pub fn slot(self, number: usize) -> usize {
        record::LINE + (number & 3) * usize::from(self.slot_words)
    }

    /// Offset of slot `number` in the region.
    #[inline]
    pub fn slot_at(self, number: usize) -> u64 {
        self.at + self.slot(number) as u64 * 8
    }

    /// Bytes of a value that its slots hold.
    #[inline]
    pub fn room(self) -> usize {
        // The smallest slot is larger than its header.
        usize::from(self.slot_words).wrapping_sub(slot::DATA) * 8
    }

    /// Whether records of `class` are of its size.
    pub(crate) fn is_of(self, class: usize) -> bool {
        usize::from(self.slot_words) == slot_bytes(class) / 8
    }

    /// Offset of its lock word.
    #[inline]
    pub fn lock(self) -> u64 {
        self.at + record::LOCK
    }

    /// Offset of its wake word.
    #[inline]
    pub fn wake(self) -> u64 {
        self.at + record::WAKE
    }
}

const _: () = assert!(layout::MOST_CHUNKS * layout::CHUNK <= 1 << 56, "an offset fits its bits");
