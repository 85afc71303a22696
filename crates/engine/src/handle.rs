//! A validated reference to a record, on which operations work.

use crate::{
    layout::{self, Meta, State, record, record_bytes, slot, slot_bytes, slots_of},
    mem::Mem,
};

/// A reference to a record whose position and class were validated, with the id of the variable
/// that it held then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Offset of the record.
    pub at: u64,
    /// Id of the variable.
    pub id: u64,
    /// Words of one slot, which follow from the record's class.
    pub(crate) slot_words: u8,
    /// Number of the record's last slot, which follows from its class too: all of its bits are set.
    pub(crate) last_slot: u8,
    /// Whether it is an `Atomic`.
    pub atomic: bool,
}

impl Handle {
    /// The handle of no variable: it lies outside every region and has no room for a value, so the
    /// operations that make one attempt refuse it.
    pub const NOWHERE: Self = Self {
        at: 0x00ff_ffff_ffff_ffc0,
        id: 0,
        slot_words: slot::DATA as u8,
        last_slot: 1,
        atomic: false,
    };

    /// Returns a handle if a record of the class in `meta` can lie at `at`. Every word may be
    /// forged, so a position outside the chunks or across the end of one is refused.
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

    /// Returns the handle of a record of `class` at `at`, which the caller has validated.
    #[inline]
    pub fn new(at: u64, id: u64, class: usize, atomic: bool) -> Self {
        Self {
            at,
            id,
            slot_words: (slot_bytes(class) / 8) as u8,
            last_slot: slots_of(class) as u8 - 1,
            atomic,
        }
    }

    /// Packs all fields but the id into one word, the place of a [`Spot`](mapvar_os::Spot): the
    /// offset, the words of a slot from bit 56, bit 1 for four slots, and the `Atomic` flag in
    /// bit 0.
    pub fn packed(self) -> u64 {
        let four = u64::from(self.last_slot & 2);
        u64::from(self.slot_words) << 56 | self.at | four | u64::from(self.atomic)
    }

    /// Unpacks a word of [`packed`](Self::packed), with this id.
    #[inline]
    pub fn from_packed(packed: u64, id: u64) -> Self {
        Self {
            at: packed & 0x00ff_ffff_ffff_ffc0,
            id,
            slot_words: (packed >> 56) as u8,
            last_slot: packed as u8 & 2 | 1,
            atomic: packed & 1 != 0,
        }
    }

    /// Returns the number of slots.
    #[inline]
    pub fn slots(self) -> usize {
        usize::from(self.last_slot) + 1
    }

    /// Returns the number of the current slot. A forged state can name one that the record does not
    /// have; the bits beyond do not count.
    #[inline]
    pub(crate) fn current(self, state: State) -> usize {
        state.current() & usize::from(self.last_slot)
    }

    /// Returns the slot that a writer takes.
    #[inline]
    pub fn free_slot(self, state: State) -> usize {
        state.free_slot_of(self.slots())
    }

    /// Returns the number of words of the record.
    #[inline]
    pub fn words(self) -> usize {
        record::LINE + self.slots() * usize::from(self.slot_words)
    }

    /// Returns the index of the first word of slot `number`. Of the number as many bits count as
    /// the record's slots need, so no number leads out of the record.
    #[inline]
    pub fn slot(self, number: usize) -> usize {
        record::LINE + (number & usize::from(self.last_slot)) * usize::from(self.slot_words)
    }

    /// Returns the offset of slot `number` in the region.
    #[inline]
    pub fn slot_at(self, number: usize) -> u64 {
        self.at + self.slot(number) as u64 * 8
    }

    /// Returns how many bytes of a value each slot holds.
    #[inline]
    pub fn room(self) -> usize {
        // Cannot wrap: the smallest slot is larger than its header.
        usize::from(self.slot_words).wrapping_sub(slot::DATA) * 8
    }

    /// Whether records of `class` are as this one.
    pub(crate) fn is_of(self, class: usize) -> bool {
        let of_class = Self::new(self.at, self.id, class, self.atomic);
        (self.slot_words, self.last_slot) == (of_class.slot_words, of_class.last_slot)
    }

    /// Returns the offset of the record's lock word.
    #[inline]
    pub fn lock(self) -> u64 {
        self.at + record::LOCK
    }

    /// Returns the offset of the record's wake word.
    #[inline]
    pub fn wake(self) -> u64 {
        self.at + record::WAKE
    }
}

const _: () = assert!(layout::MOST_CHUNKS * layout::CHUNK <= 1 << 56, "an offset fits its bits");
