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

/// Bytes of a slot, by class.
const SLOT_BYTES: [usize; RECORD_CLASSES.len()] = {
    let mut bytes = [0; RECORD_CLASSES.len()];
    let mut class = 0;
    #[allow(clippy::indexing_slicing, reason = "a constant cannot be computed otherwise")]
    while class < bytes.len() {
        bytes[class] = slot_bytes(class);
        class += 1;
    }
    bytes
};

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

    /// Makes one attempt to read the value of a name: of a short name in its home line of the index.
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
        let live = self.mem.mapped_words(live::AT, live::WORDS)?;
        // SYNC POINT S6, as in `hit`.
        let table = Table::of_root(live.load(live::ROOT, Acquire));
        let line = self.mem.mapped_words(table.line(hash, 0), 8)?;
        for at in 0..8 {
            let word = line.load(at, Acquire);
            if word == index_word::EMPTY {
                return None;
            }
            if index_word::fits(word, hash)
                && let Some(read) = self.glance_at(index_word::record(word), name, &mut take)
            {
                return Some(read);
            }
        }
        None
    }

    #[inline(always)]
    fn glance_at<R>(
        &self,
        at: u64,
        name: &[u8],
        take: &mut impl FnMut(Desc, M::Words<'_>) -> R,
    ) -> Option<(Handle, R, u64)> {
        let line = self.mem.mapped_words(at, record::LINE)?;
        // SYNC POINT S4: name, meta and first slot are seen as they were before the id.
        let id = line.load(record::ID, Acquire);
        let class = Meta(line.load(record::META, Relaxed)).class_of_named(name.len())?;
        if !words_are(line, record::NAME, name) {
            return None;
        }
        // SYNC POINT S1, S2 and S3, as in `read_slot`.
        let state = State(line.load(record::STATE, Acquire));
        let number = state.current() & (slots_of(class) - 1);
        let slot_at = at + (record::LINE * 8 + number * SLOT_BYTES.get(class)?) as u64;
        let slot = self.mem.mapped_words(slot_at, slot::LEAST)?;
        let read = take(Desc(slot.load(slot::DESC, Relaxed)), slot);
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        let same = line.load(record::ID, Relaxed) == id;
        let named = id != 0 && id & record::RETIRED == 0;
        let handle = Handle::new(at, id, class, false);
        (whole && same && named).then_some((handle, read, state.version()))
    }
}
