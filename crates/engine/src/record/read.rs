//! Lock-free reads of a slot, in attempts. Each attempt detects by itself whether it read a whole
//! value.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Desc, State, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
        mapped::Mapped,
    },
    store::Store,
    value::{Kind, SlotView},
};
use mapvar_os::Words;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<R> {
    /// The value, whole, and its version.
    Value(R, u64),
    /// The variable is removed.
    Absent,
    /// The record no longer holds the variable of the handle.
    Stale,
}

/// The result of a read that does not remove expired values.
#[derive(Debug)]
#[must_use = "an expired value stays until a process removes it"]
pub(crate) enum ReadOutcome<R> {
    Seen(Seen<R>),
    /// The owner process of the value with this version is gone. The value counts as absent; a
    /// process that holds no lock must remove it.
    Expired(u64),
}

/// The outcome of one attempt.
pub(crate) enum AttemptOutcome<R> {
    /// The result of `take`, on a slot that did not change, and its version.
    Whole(R, u64),
    Changed,
    Stale,
    /// The record or the slot lies beyond the region.
    Outside,
}

impl<R> AttemptOutcome<(Option<R>, Desc)> {
    fn seen(self, handle: Handle) -> Result<Seen<R>, EngineError> {
        match self {
            Self::Whole((Some(taken), _), version) => Ok(Seen::Value(taken, version)),
            Self::Whole((None, desc), _) if desc.kind() == slot::TOMBSTONE => Ok(Seen::Absent),
            Self::Whole((None, _), _) => {
                Err(EngineError::Corrupt("the description of the value is invalid", handle.at))
            }
            Self::Changed => {
                // Only an attempt under the record's lock reaches this arm. No writer is active
                // then, so the slot contradicts the state.
                Err(EngineError::Corrupt("a value's version is not the one published", handle.at))
            }
            Self::Stale => Ok(Seen::Stale),
            Self::Outside => Err(outside(handle.at)),
        }
    }
}

/// Where a record lies.
pub(crate) trait Place<W>: Copy {
    /// Returns its line; `None` if that is not mapped.
    fn line(self) -> Option<W>;
    /// Returns the first words of a slot; `None` if they are not mapped.
    fn slot(self, number: usize) -> Option<W>;
    /// Returns words of a slot's data from word `from` on; `None` if the slot has fewer, or if they
    /// are not mapped.
    fn data(self, number: usize, from: usize, count: usize) -> Option<W>;
}

/// A record by its handle: each access compares its bounds with what is mapped.
pub(crate) struct ByHandle<'a, M> {
    pub(crate) mem: &'a M,
    pub(crate) handle: Handle,
}

impl<M> Clone for ByHandle<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for ByHandle<'_, M> {}

impl<'a, M: Mem> Place<M::Words<'a>> for ByHandle<'a, M> {
    #[inline(always)]
    fn line(self) -> Option<M::Words<'a>> {
        self.mem.mapped_words(self.handle.at, record::LINE)
    }

    #[inline(always)]
    fn slot(self, number: usize) -> Option<M::Words<'a>> {
        self.mem.mapped_words(self.handle.slot_at(number), slot::LEAST)
    }

    #[inline(always)]
    fn data(self, number: usize, from: usize, count: usize) -> Option<M::Words<'a>> {
        if from.checked_add(count)?.checked_mul(8)? > self.handle.room() {
            return None;
        }
        let at = self.handle.slot_at(number) + slot::DATA_AT + from as u64 * 8;
        self.mem.mapped_words(at, count)
    }
}

/// The place of a record, checked when it was found: by a handle's packed word.
pub type Spot<K> = mapvar_os::Spot<K, { record::LINE }, { slot::MOST }, { slot::LEAST }>;

/// A record at a [`Spot`].
pub type Here<'a> = mapvar_os::Here<'a, { record::LINE }, { slot::MOST }, { slot::LEAST }>;

impl<'a> Place<Words<'a>> for Here<'a> {
    #[inline(always)]
    fn line(self) -> Option<Words<'a>> {
        Some(self.head())
    }

    #[inline(always)]
    fn slot(self, number: usize) -> Option<Words<'a>> {
        Some(self.part(number))
    }

    #[inline(always)]
    fn data(self, number: usize, from: usize, count: usize) -> Option<Words<'a>> {
        self.rest(number, slot::DATA + from, count)
    }
}

impl Store<Mapped> {
    /// As [`try_read_fast`](Self::try_read_fast), of the variable with this id.
    #[inline(always)]
    pub fn try_read_here(&self, here: Here<'_>, id: u64) -> Option<(Desc, u64)> {
        if here.flag() {
            return None;
        }
        match self.read_slot(here, id, |desc, slot, _| (desc, slot.load(slot::DATA, Relaxed))) {
            AttemptOutcome::Whole(read, _) => Some(read),
            _ => None,
        }
    }

    /// As [`try_read_fast_into`](Self::try_read_fast_into), of the variable with this id.
    #[inline(always)]
    pub fn try_read_into_here(&self, here: Here<'_>, id: u64, into: &mut [u8]) -> Option<usize> {
        if here.flag() { None } else { self.try_copy(here, id, into) }
    }

    /// Copies a part of a plain struct into `into`, in one attempt: the bytes from `from` on.
    /// Returns whether the value of the variable with this id is of this type, has `len` bytes, and
    /// was read whole; otherwise the caller must use [`read`](Self::read).
    #[inline(always)]
    pub fn try_read_plain_here(
        &self,
        here: Here<'_>,
        id: u64,
        (type_id, len): (u32, usize),
        from: usize,
        into: &mut [u8],
    ) -> bool {
        if here.flag() || from + into.len() > len {
            return false;
        }
        let described = Desc::new(len, Kind::Plain as u8);
        let copy = |desc: Desc, slot: Words<'_>, number: usize| {
            if desc != described || slot.load(slot::TYPE, Relaxed) >> 32 != u64::from(type_id) {
                return false;
            }
            let (skip, first) = (from % 8, from / 8);
            let Some(words) = here.data(number, first, (skip + into.len()).div_ceil(8)) else {
                return false;
            };
            words.copy_part_to(skip, into);
            true
        };
        matches!(self.read_slot(here, id, copy), AttemptOutcome::Whole(true, _))
    }

    /// As [`try_load_fast`](Self::try_load_fast), of the variable with this id.
    #[inline(always)]
    pub fn try_load_here(here: Here<'_>, id: u64) -> Option<u64> {
        here.flag().then(|| Self::load_atomic(here.head(), id)).flatten()
    }
}

impl<M: Mem> Store<M> {
    /// As [`read`](Self::read), but never takes a lock. Returns `None` if a writer changed the slot
    /// in every attempt. Callers that hold a lock use it, since a thread waits for one lock at a
    /// time.
    #[inline]
    pub fn read_at_once<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<Seen<R>>, EngineError> {
        Ok(self.try_read(handle, &mut take)?.map(|outcome| match outcome {
            ReadOutcome::Seen(seen) => seen,
            ReadOutcome::Expired(_) => Seen::Absent,
        }))
    }

    /// Makes a few attempts; `None` if a writer changed the slot in each of them.
    #[inline]
    pub(crate) fn try_read<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        for _ in 0..M::ATTEMPTS {
            match self.read_attempt(handle, &mut take) {
                AttemptOutcome::Changed => std::hint::spin_loop(),
                attempt => match self.judge(handle, attempt)? {
                    None => std::hint::spin_loop(),
                    outcome => return Ok(outcome),
                },
            }
        }
        Ok(None)
    }

    /// Judges an attempt. For an ephemeral value it checks whether the owner process lives. Returns
    /// `None` if the caller must try again.
    #[inline]
    pub(crate) fn judge<R>(
        &self,
        handle: Handle,
        attempt: AttemptOutcome<(Option<R>, Desc)>,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        match attempt {
            AttemptOutcome::Whole((Some(taken), desc), version) if desc.is_ephemeral() => {
                self.judge_ephemeral(handle, taken, version)
            }
            attempt => match attempt.seen(handle) {
                Ok(seen) => Ok(Some(ReadOutcome::Seen(seen))),
                Err(met) => Err(self.beyond_reach(met)),
            },
        }
    }

    /// The error of a value that this process takes for damaged. If the region has grown beyond what
    /// this process can map, the value may lie there.
    #[cold]
    #[inline(never)]
    pub(crate) fn beyond_reach(&self, met: EngineError) -> EngineError {
        let (EngineError::Corrupt(..), Ok(words)) = (&met, self.live()) else { return met };
        let region = words.load(live::CHUNKS, Acquire).min(layout::MOST_CHUNKS) * layout::CHUNK;
        if self.mem.reach(region) { met } else { self.mem.out_of_reach(region).unwrap_or(met) }
    }

    #[cold]
    #[inline(never)]
    fn judge_ephemeral<R>(
        &self,
        handle: Handle,
        taken: R,
        version: u64,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        let Some((owner, _)) = self.owner(handle)?.filter(|(_, of)| *of == version) else {
            return Ok(None);
        };
        Ok(Some(if self.lives(owner)? {
            ReadOutcome::Seen(Seen::Value(taken, version))
        } else {
            ReadOutcome::Expired(version)
        }))
    }

    /// Copies the value's bytes into `into`, as many as fit, in one attempt. Returns the length of
    /// the value; `None` if the caller must use [`read`](Self::read).
    #[inline(always)]
    pub fn try_read_fast_into(&self, handle: Handle, into: &mut [u8]) -> Option<usize> {
        if handle.atomic {
            return None;
        }
        self.try_copy(ByHandle { mem: &self.mem, handle }, handle.id, into)
    }

    #[inline(always)]
    fn try_copy<'a>(
        &'a self,
        place: impl Place<M::Words<'a>>,
        id: u64,
        into: &mut [u8],
    ) -> Option<usize> {
        // Corrupt values are left to the slow path.
        let copy = |desc: Desc, slot, number: usize| {
            let len = usize::try_from(desc.len()).ok()?;
            // Lists and dictionaries are no bytes of the caller's.
            let packed = [Kind::List as u8, Kind::Dict as u8].contains(&desc.kind());
            if desc.flags() != 0 || desc.kind() == slot::TOMBSTONE || packed {
                return if packed { None } else { self.copy_of_extent(desc, slot, into) };
            }
            // As many words as the value has: that they lie in the slot is a check of its length.
            let words = place.data(number, 0, len.div_ceil(8))?;
            words.copy_to(into.get_mut(..len.min(into.len()))?);
            Some(len)
        };
        match self.read_slot(place, id, copy) {
            AttemptOutcome::Whole(len, _) => len,
            _ => None,
        }
    }

    /// Copies the bytes of a value that lies in an extent, as many as fit; returns the length of the
    /// value. `None` if the value is left to the slow path: an ephemeral one, one with a table
    /// between its chunks, and one that is not mapped yet.
    #[inline(never)]
    fn copy_of_extent(&self, desc: Desc, slot: M::Words<'_>, into: &mut [u8]) -> Option<usize> {
        let len = usize::try_from(desc.len()).ok()?;
        if desc.flags() != slot::EXTENT || desc.kind() == slot::TOMBSTONE {
            return None;
        }
        let (at, capacity) = (slot.load(slot::DATA, Relaxed), slot.load(slot::DATA + 1, Relaxed));
        if desc.len() > capacity || desc.len() > layout::until_table(at) {
            return None;
        }
        let words = self.mem.mapped_words(at, len.div_ceil(8))?;
        words.copy_to(into.get_mut(..len.min(into.len()))?);
        Some(len)
    }

    /// Returns the unchecked description of the value, and its first word, if one attempt finds
    /// them; `None` if the caller must use [`read`](Self::read). The result is small and has no
    /// destructor, because this is the fast path.
    #[inline(always)]
    pub fn try_read_fast(&self, handle: Handle) -> Option<(Desc, u64)> {
        if handle.atomic {
            return None;
        }
        let place = ByHandle { mem: &self.mem, handle };
        let take = |desc, slot: M::Words<'_>, _| (desc, slot.load(slot::DATA, Relaxed));
        match self.read_slot(place, handle.id, take) {
            AttemptOutcome::Whole(read, _) => Some(read),
            _ => None,
        }
    }

    /// Makes one attempt. The description is returned in any case, also if it describes no value.
    #[inline(always)]
    pub(crate) fn read_attempt<'a, R>(
        &'a self,
        handle: Handle,
        take: &mut impl FnMut(SlotView<'a, M>) -> R,
    ) -> AttemptOutcome<(Option<R>, Desc)> {
        self.read_view(handle, |view| {
            let desc = view.desc;
            (view.is_value().then(|| take(view)), desc)
        })
    }

    #[inline(always)]
    fn read_view<'a, R>(
        &'a self,
        handle: Handle,
        take: impl FnOnce(SlotView<'a, M>) -> R,
    ) -> AttemptOutcome<R> {
        let place = ByHandle { mem: &self.mem, handle };
        self.read_slot(place, handle.id, |desc, slot, number| {
            let (data, room) = if handle.atomic {
                // An Atomic's value is a word of the record and not of the slot.
                (handle.at + record::VALUE_AT, 8)
            } else if desc.flags() & slot::EXTENT == 0 {
                (handle.slot_at(number) + slot::DATA_AT, handle.room())
            } else {
                self.referred(slot, desc)
            };
            take(SlotView { mem: &self.mem, desc, slot, data, room, type_id: None })
        })
    }

    /// Makes one attempt at the current slot. `take` gets its description, its first words and its
    /// number. Touches only what is already mapped; [`read`](Self::read) maps the rest before.
    ///
    /// The id is compared once, at the end. No id ever comes back, and a handle was made by an
    /// Acquire load of the id: if the record has the id at the end, it had it all the time.
    #[inline(always)]
    fn read_slot<'a, R>(
        &'a self,
        place: impl Place<M::Words<'a>>,
        id: u64,
        take: impl FnOnce(Desc, M::Words<'a>, usize) -> R,
    ) -> AttemptOutcome<R> {
        let Some(line) = place.line() else {
            return AttemptOutcome::Outside;
        };
        // SYNC POINT S1. Pairs with the Release store of state in `publish`: the slot's content is
        // seen as it was published.
        let state = State(line.load(record::STATE, Acquire));
        let Some(slot) = place.slot(state.current()) else {
            return AttemptOutcome::Outside;
        };
        let taken = take(Desc(slot.load(slot::DESC, Relaxed)), slot, state.current());
        // SYNC POINT S2. Pairs with the Release fence in `fill_slot`: if `take` read a word of a
        // newer value, the load below sees the slot's version changed. Without the fence the load
        // could come first, and a torn value would count.
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        // SYNC POINT S3: if the record was remade, its id has changed.
        let same = line.load(record::ID, Relaxed) == id;
        if !same {
            return AttemptOutcome::Stale;
        }
        if !whole {
            return AttemptOutcome::Changed;
        }
        AttemptOutcome::Whole(taken, state.version())
    }

    /// Returns the offset of the value in its extent, and its readable length. The length is 0 if
    /// the value does not lie within the region.
    #[inline(never)]
    pub(crate) fn referred(&self, slot: M::Words<'_>, desc: Desc) -> (u64, usize) {
        let at = slot.load(slot::DATA, Relaxed);
        let capacity = slot.load(slot::DATA + 1, Relaxed);
        let lies_within = || {
            layout::pieces(at, desc.len()).all(|(at, len)| {
                usize::try_from(len).is_ok_and(|len| self.mem.words(at, len.div_ceil(8)).is_some())
            })
        };
        match usize::try_from(desc.len()) {
            Ok(len) if desc.len() <= capacity && at < self.mem.limit() && lies_within() => {
                (at, len)
            }
            _ => (at, 0),
        }
    }
}
