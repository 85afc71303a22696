//! Reads of variables by name.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::EngineError,
    handle::Handle,
    index::{self, Query, words_are},
    layout::{
        Desc, Meta, RECORD_CLASSES, State, Table, index_word, live, record, slot, slot_bytes,
        slots_of,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    record::read::Seen,
    store::Store,
    value::{OwnedValue, SlotView},
};

/// Where the slots of a record begin, in units of [`SLOT_UNIT`]: those of each class, as many as a
/// record can have. By a table: it took half of the instructions of a computation.
const SLOT_AT: [u8; RECORD_CLASSES.len() * slot::MOST] = {
    let mut at = [0; RECORD_CLASSES.len() * slot::MOST];
    let mut place = 0;
    #[allow(clippy::indexing_slicing, reason = "a constant cannot be computed otherwise")]
    while place < at.len() {
        let class = place / slot::MOST;
        // A forged state can name a slot that the record does not have.
        let number = place % slot::MOST % slots_of(class);
        let bytes = record::LINE * 8 + number * slot_bytes(class);
        assert!(bytes.is_multiple_of(SLOT_UNIT) && bytes / SLOT_UNIT <= u8::MAX as usize);
        at[place] = (bytes / SLOT_UNIT) as u8;
        place += 1;
    }
    at
};

/// Each slot begins at a multiple of so many bytes from the record's beginning.
const SLOT_UNIT: usize = 16;

/// Returns the offset of a slot from its record's beginning.
#[inline(always)]
fn slot_at(class: usize, number: usize) -> u64 {
    let at = SLOT_AT.get(class * slot::MOST + number).copied();
    // The class has four bits, and the number two: no place is missing.
    u64::from(at.unwrap_or_default()) * SLOT_UNIT as u64
}

/// Names that are longer than this are compared by [`Load::are`].
const WIDE: usize = 16;

/// How often an operation is retried when a record has become another variable's.
pub const AGAIN: usize = 64;

impl<M: Mem> Store<M> {
    /// Reads the variable of a name; returns its handle, the result and the version of the value.
    /// `None` if there is no such variable. `take` is as for [`read`](Self::read).
    #[inline]
    pub fn read_named<R>(
        &self,
        query: Query<'_>,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<(Handle, R, u64)>, EngineError> {
        for _ in 0..AGAIN {
            let Some(handle) = self.find(query)? else { return Ok(None) };
            match self.read(handle, &mut take)? {
                Seen::Value(taken, version) => return Ok(Some((handle, taken, version))),
                Seen::Absent => return Ok(None),
                // The record became another variable's between the lookup and the read.
                Seen::Stale => {}
            }
        }
        Err(EngineError::Contended)
    }

    /// Returns the unchecked description and the first word of a name's value, if one attempt finds
    /// them; see [`glance`](Self::glance).
    #[inline(always)]
    pub fn try_read_named(&self, name: &[u8]) -> Option<(Desc, u64)> {
        let take = |desc, slot: M::Words<'_>| (desc, slot.load(slot::DATA, Relaxed));
        self.glance(name, take).map(|(read, _)| read)
    }

    /// Makes one attempt to read the value of a name: of a short name in its home line of the index,
    /// by the first word there that has its fingerprint.
    /// `take` gets the description and the first words of the slot; its result comes with the
    /// version of the value. `None` says nothing.
    ///
    /// Lookup and read are one pass. What is read belongs to the variable of the name if the
    /// record's id was one before the name was compared, and is the same at the end. Nothing is
    /// written, so it does not matter whether a record can lie there.
    #[inline(always)]
    pub fn glance<R>(
        &self,
        name: &[u8],
        take: impl FnMut(Desc, M::Words<'_>) -> R,
    ) -> Option<(R, u64)> {
        if name.len() > record::NAME_BYTES {
            return None;
        }
        // Names that are compared word by word have a copy of the code of their own: in one copy
        // for all, the others take a tenth more instructions.
        if name.len() > WIDE { self.glance_of(name, take) } else { self.glance_short(name, take) }
    }

    #[inline(never)]
    fn glance_short<R>(
        &self,
        name: &[u8],
        take: impl FnMut(Desc, M::Words<'_>) -> R,
    ) -> Option<(R, u64)> {
        self.glance_of(name, take)
    }

    #[inline(always)]
    fn glance_of<R>(
        &self,
        name: &[u8],
        take: impl FnMut(Desc, M::Words<'_>) -> R,
    ) -> Option<(R, u64)> {
        let hash = index::hash_of(name, self.seed());
        self.glance_hashed(name, hash, take).map(|(_, read, version)| (read, version))
    }

    /// Reads nil, a bool or a number of a name by one attempt; as [`read_named`](Self::read_named).
    /// `None` says nothing.
    #[inline]
    pub fn try_read_number(&self, query: &Query<'_>) -> Option<(Handle, OwnedValue, u64)> {
        let take = |desc, slot: M::Words<'_>| {
            (desc, slot.load(slot::TYPE, Relaxed), slot.load(slot::DATA, Relaxed))
        };
        let (handle, (desc, of_type, word), version) =
            self.glance_hashed(query.name, query.hash, take)?;
        let value = OwnedValue::of_word(desc, (of_type >> 32) as u32, word)?;
        Some((handle, value, version))
    }

    #[inline(always)]
    fn glance_hashed<R>(
        &self,
        name: &[u8],
        hash: u64,
        mut take: impl FnMut(Desc, M::Words<'_>) -> R,
    ) -> Option<(Handle, R, u64)> {
        if name.len() > record::NAME_BYTES {
            return None;
        }
        let words = self.mem.mapped_now();
        let live = words(live::AT, live::WORDS)?;
        // SYNC POINT S6, as in `hit`.
        let root = live.load(live::ROOT, Acquire);
        let line = words(Table::home_line(root, hash), 8)?;
        let alike = line.alike(hash);
        if alike == 0 {
            return None;
        }
        // Another word with the fingerprint is left to the slow path, as it is one in millions.
        // What was compared is a hint, so the word is loaded again. It may be another one then, and
        // lead anywhere: only the record tells whether it has the name.
        let word = line.load(alike.trailing_zeros() as usize & 7, Acquire);
        let at = index_word::record(word);
        let line = words(at, record::LINE)?;
        // Only the line tells which slot is current. In the smallest records, which numbers have,
        // it is one of the next two lines. Their fetch does not wait for the record's line.
        line.fetch(record::LINE);
        line.fetch(record::LINE + slot::LEAST);
        // SYNC POINT S4: name, meta and first slot are seen as they were before the id.
        let id = line.load(record::ID, Acquire);
        let class = Meta(line.load(record::META, Relaxed)).class_of_named(name.len())?;
        if !words_are(line, record::NAME, name) {
            return None;
        }
        // SYNC POINT S1, S2 and S3, as in `read_slot`.
        let state = State(line.load(record::STATE, Acquire));
        let slot_at = slot_at(class, state.current());
        let slot = words(at + slot_at, slot::LEAST)?;
        let read = take(Desc(slot.load(slot::DESC, Relaxed)), slot);
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        let same = line.load(record::ID, Relaxed) == id;
        let named = id != 0 && id & record::RETIRED == 0;
        let handle = Handle::new(at, id, class, false);
        (whole && same && named).then_some((handle, read, state.version()))
    }
}
