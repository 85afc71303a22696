//! Writing a slot and publishing it. The caller holds the record's lock, or has marked it.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    handle::Handle,
    layout::{Desc, State, record, slot},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        StoreWords as _,
    },
    record::read::ByHandle,
    store::Store,
    value::{Payload, Raw},
    version::{Expect, Wrote},
};

/// The extent, by the offset of its data, to which a slot referred before it was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it leaks until the next sweep unless it is released"]
pub(crate) struct Replaced(pub(crate) u64);

impl Replaced {
    pub(crate) const NOTHING: Self = Self(0);
}

/// Where a slot lies that is to be written.
pub(crate) trait SlotMut<W>: Copy {
    /// Returns its first words; `None` if they are not mapped for writing.
    fn head(self) -> Option<W>;
    /// Returns words of its data from word `from` on; `None` if the slot has fewer, or if they are
    /// not mapped for writing.
    fn data(self, from: usize, count: usize) -> Option<W>;
}

/// Where a record lies that is to be written.
pub(crate) trait RecordMut<W>: Copy {
    type Slot: SlotMut<W>;
    /// Returns its line; `None` if that is not mapped for writing.
    fn line(self) -> Option<W>;
    fn slot(self, number: usize) -> Self::Slot;
    /// Returns the slot that a writer takes.
    fn free_slot(self, state: State) -> usize;
    /// Returns its offset in the region.
    fn at(self) -> u64;
    fn is_atomic(self) -> bool;
}

/// A slot by its offset: each access compares its bounds with what is mapped. Its caller has
/// compared the length of the value with the room in the slot.
pub(crate) struct SlotAt<'a, M> {
    mem: &'a M,
    at: u64,
}

impl<M> Clone for SlotAt<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for SlotAt<'_, M> {}

impl<'a, M: Mem> SlotMut<M::WordsMut<'a>> for SlotAt<'a, M> {
    #[inline(always)]
    fn head(self) -> Option<M::WordsMut<'a>> {
        self.mem.mapped_words_mut(self.at, slot::LEAST)
    }

    #[inline(always)]
    fn data(self, from: usize, count: usize) -> Option<M::WordsMut<'a>> {
        self.mem.mapped_words_mut(self.at + slot::DATA_AT + from as u64 * 8, count)
    }
}

impl<'a, M: Mem> RecordMut<M::WordsMut<'a>> for ByHandle<'a, M> {
    type Slot = SlotAt<'a, M>;

    #[inline(always)]
    fn line(self) -> Option<M::WordsMut<'a>> {
        self.mem.mapped_words_mut(self.handle.at, record::LINE)
    }

    #[inline(always)]
    fn slot(self, number: usize) -> SlotAt<'a, M> {
        SlotAt { mem: self.mem, at: self.handle.slot_at(number) }
    }

    #[inline(always)]
    fn free_slot(self, state: State) -> usize {
        self.handle.free_slot(state)
    }

    #[inline(always)]
    fn at(self) -> u64 {
        self.handle.at
    }

    #[inline(always)]
    fn is_atomic(self) -> bool {
        self.handle.atomic
    }
}

impl<M: Mem> Store<M> {
    /// Writes a value that fits the record. The caller holds the record's lock. Returns the
    /// outcome, and the extent to which the written slot referred before, which the caller
    /// releases. `None` if the record cannot be written.
    #[inline(always)]
    pub(crate) fn write_locked(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Option<(Wrote, Replaced)> {
        self.write_record_locked(ByHandle { mem: &self.mem, handle }, handle.id, raw, expect)
    }

    /// As [`write_locked`](Self::write_locked), of the variable with this id.
    #[inline(always)]
    pub(crate) fn write_record_locked<'a>(
        &'a self,
        record: impl RecordMut<M::WordsMut<'a>>,
        id: u64,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Option<(Wrote, Replaced)> {
        let state = State(record.line()?.load(record::STATE, Relaxed));
        self.write_in_state(record, id, state, raw, expect, raw.kind == slot::TOMBSTONE)
    }

    /// As [`write_record_locked`](Self::write_record_locked), for a caller that has loaded `state`,
    /// and knows whether `raw` is a tombstone.
    #[inline(always)]
    pub(crate) fn write_in_state<'a>(
        &'a self,
        record: impl RecordMut<M::WordsMut<'a>>,
        id: u64,
        state: State,
        raw: &Raw<'_>,
        expect: Expect,
        removing: bool,
    ) -> Option<(Wrote, Replaced)> {
        let line = record.line()?;
        // The record may have been collected and reused since the caller found it.
        if line.load(record::ID, Acquire) != id {
            return Some((Wrote::Stale, Replaced::NOTHING));
        }
        if (expect != Expect::Any || removing)
            && let Some(refused) = expect.refuses(state.version(), state.removed(), removing)
        {
            return Some((refused, Replaced::NOTHING));
        }
        let number = record.free_slot(state);
        // The base keeps it above the versions that an earlier incarnation gave out and never made
        // durable.
        let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
        let replaced = self.fill_place(record.slot(number), version, raw, false)?;
        if self.file {
            self.mark_dirty(record.at())?;
        }
        self.publish(line, record, state, version, number, removing);
        Some((Wrote::Version(version), replaced))
    }

    /// Publishes slot `number`, and wakes the variable's waiters. The caller holds the record's
    /// lock, or has marked it, since before it loaded `state`.
    #[inline(always)]
    pub(crate) fn publish<'a>(
        &'a self,
        line: M::WordsMut<'a>,
        record: impl RecordMut<M::WordsMut<'a>>,
        state: State,
        version: u64,
        number: usize,
        removing: bool,
    ) {
        // SYNC POINT S1: the publication. Pairs with the Acquire load of state in `read_slot`.
        let mut new = state.publish(version, number);
        if removing {
            new = new.of_tombstone();
        }
        let turns = state.removed() != removing;
        if turns {
            self.begin_turn();
        }
        let old = if record.is_atomic() {
            // SYNC POINT S17. Pairs with the fetch_or of WAIT in `arm`. The swap tests WAIT in the
            // same step that publishes; a separate load could miss a waiter that sets it in between.
            State(line.swap(record::STATE, new.0, AcqRel))
        } else {
            // SYNC POINT S21. Pairs with `is_held` in `arm`. A waiter that has set WAIT since
            // `state` was loaded finds the lock held, and does not rely on a wake.
            line.store(record::STATE, new.0, Release);
            state
        };
        if old.waited_for() {
            // Before the record is unlocked. If this process dies here, the next owner of the lock
            // learns of the death and wakes in its place; after the unlock no process would.
            self.wake_at(record.at());
        }
        if turns {
            self.end_turn(record.at(), removing);
        }
    }

    /// Writes all of the slot at `at`, and returns the extent to which it referred before. A
    /// `fresh` slot belongs to a record without an id, which no reader reads. `None` if the slot
    /// cannot be written.
    #[inline(always)]
    pub(crate) fn fill_slot(
        &self,
        at: u64,
        version: u64,
        raw: &Raw<'_>,
        fresh: bool,
    ) -> Option<Replaced> {
        self.fill_place(SlotAt { mem: &self.mem, at }, version, raw, fresh)
    }

    #[inline(always)]
    fn fill_place<'a>(
        &'a self,
        place: impl SlotMut<M::WordsMut<'a>>,
        version: u64,
        raw: &Raw<'_>,
        fresh: bool,
    ) -> Option<Replaced> {
        let slot = place.head()?;
        let data = match raw.payload {
            Payload::Word(_) | Payload::Extent { .. } => None,
            Payload::Bytes(bytes) => Some((bytes, place.data(0, bytes.len().div_ceil(8))?)),
        };
        let mut replaced = Replaced::NOTHING;
        if !fresh {
            if Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
                replaced = Replaced(slot.load(slot::DATA, Relaxed));
            }
            slot.store(slot::VERSION, slot::INVALID, Relaxed);
            // SYNC POINT S2. Pairs with the Acquire fence in `read_slot`: a reader that sees a word
            // of the new value sees that the slot is invalid.
            self.mem.fence(Release);
        }
        // No seal: with the old one the next flush would take the slot for durable, and not choose
        // it.
        slot.store(slot::SEAL, 0, Relaxed);
        slot.store(slot::TYPE, u64::from(raw.type_id) << 32, Relaxed);
        let desc = raw.desc();
        if raw.owner != 0 {
            self.note_owner(raw.owner);
            let before = usize::try_from(desc.words_before_owner()).ok()?;
            place.data(before, 1)?.store(0, raw.owner, Relaxed);
        }
        if let Payload::Extent { extent, .. } = raw.payload {
            slot.store(slot::DATA, extent.at, Relaxed);
            slot.store(slot::DATA + 1, extent.capacity, Relaxed);
            // Pairs with the Acquire load of desc in `refers`: a sweep that sees the flag sees the
            // offset.
            slot.store(slot::DESC, desc.0, Release);
            if replaced.0 == extent.at {
                // The value was written in place.
                replaced = Replaced::NOTHING;
            }
        } else {
            slot.store(slot::DESC, desc.0, Relaxed);
        }
        match data {
            None if matches!(raw.payload, Payload::Extent { .. }) => {}
            None => slot.store(slot::DATA, raw.first_word(), Relaxed),
            Some((bytes, data)) => data.copy_from(bytes),
        }
        // Last: if this process dies before, the slot stays invalid.
        slot.store(slot::VERSION, version, Release);
        Some(replaced)
    }

    /// Invalidates the slots that refer to extents and are neither current, nor `former`ly current,
    /// nor durable; returns their extents. The caller holds the record's lock, or has marked it.
    pub(crate) fn drop_stale(&self, handle: Handle, former: Option<State>) -> Vec<Replaced> {
        let Some(line) = self.mem.words(handle.at, record::LINE) else { return Vec::new() };
        let state = State(line.load(record::STATE, Relaxed));
        let kept = [
            Some(handle.current(state)),
            former.map(|state| handle.current(state)),
            self.file.then_some(state.a()),
            self.file.then_some(state.b()),
        ];
        let mut stale = Vec::new();
        for number in (0..handle.slots()).filter(|number| !kept.contains(&Some(*number))) {
            let Some(slot) = self.mem.words_mut(handle.slot_at(number), slot::LEAST) else {
                continue;
            };
            if Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
                stale.push(Replaced(slot.load(slot::DATA, Relaxed)));
                slot.store(slot::VERSION, slot::INVALID, Relaxed);
                // SYNC POINT S2.
                self.mem.fence(Release);
                slot.store(slot::SEAL, 0, Relaxed);
                // Last: while it stands, the extent is in use.
                slot.store(slot::DESC, 0, Release);
            }
        }
        stale
    }

    pub(crate) fn has_stale(&self, handle: Handle) -> bool {
        let Some(words) = self.mem.words(handle.at, handle.words()) else { return false };
        let state = State(words.load(record::STATE, Relaxed));
        (0..handle.slots())
            .filter(|number| *number != handle.current(state))
            .filter(|number| !self.file || (*number != state.a() && *number != state.b()))
            .any(|number| Desc(words.load(handle.slot(number) + slot::DESC, Relaxed)).is_extent())
    }
}
