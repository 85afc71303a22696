//! Writes to a record at a [`Spot`](crate::record::read::Spot): nothing is looked up, and no bounds
//! are compared but those of the slot.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the write")]

use crate::{
    layout::{self, Desc, State, record, slot},
    mem::{Ordering::Relaxed, mapped::Mapped},
    record::read::Here,
    record::write::{RecordMut, Replaced, SlotMut},
    store::Store,
    value::{Kind, Payload, Raw},
    version::{Expect, Wrote},
};
use mapvar_os::{Grip, WordsMut};

/// A record at a [`Spot`](crate::record::read::Spot), in a map that may be written to.
type HereMut<'a> = mapvar_os::HereMut<'a, { record::LINE }, { slot::MOST }, { slot::LEAST }>;

#[derive(Clone, Copy)]
pub(crate) struct SlotHere<'a> {
    here: HereMut<'a>,
    number: usize,
}

impl<'a> SlotMut<WordsMut<'a>> for SlotHere<'a> {
    #[inline(always)]
    fn head(self) -> Option<WordsMut<'a>> {
        Some(self.here.part(self.number))
    }

    #[inline(always)]
    fn data(self, from: usize, count: usize) -> Option<WordsMut<'a>> {
        self.here.rest(self.number, slot::DATA + from, count)
    }
}

/// Of a variable that is no `Atomic`.
impl<'a> RecordMut<WordsMut<'a>> for HereMut<'a> {
    type Slot = SlotHere<'a>;

    #[inline(always)]
    fn line(self) -> Option<WordsMut<'a>> {
        Some(self.head())
    }

    #[inline(always)]
    fn slot(self, number: usize) -> SlotHere<'a> {
        SlotHere { here: self, number }
    }

    #[inline(always)]
    fn free_slot(self, state: State) -> usize {
        state.free_slot_of(self.parts())
    }

    #[inline(always)]
    fn at(self) -> u64 {
        HereMut::at(self)
    }

    #[inline(always)]
    fn is_atomic(self) -> bool {
        false
    }
}

const LOCK: usize = record::LOCK as usize;

/// The longest struct of which a part is written by one attempt.
const LONGEST: usize = 512;

// No closures between lock and unlock: the compiler makes functions of them, with all arguments in
// memory.
impl Store<Mapped> {
    /// As [`try_write_fast`](Self::try_write_fast), of the variable with this id. `raw` is no
    /// tombstone.
    #[inline(always)]
    pub fn try_write_here(&self, here: Here<'_>, id: u64, raw: &Raw<'_>) -> bool {
        // Ephemeral values take the slow path. This tells the compiler that the owner is 0.
        let raw = &Raw { owner: 0, ..*raw };
        // A value for an extent would only be refused once the lock is taken.
        if matches!(raw.payload, Payload::Bytes(bytes) if bytes.len() > layout::MOST_INLINE) {
            return false;
        }
        let Some((record, state, grip)) = self.try_lock_here(here) else { return false };
        let wrote = self.write_in_state(record, id, state, raw, Expect::Any, false);
        self.unlock_here(grip, wrote)
    }

    /// Writes a plain struct, if the variable with this id holds one of this type and length and
    /// its lock is free at once; else the caller uses [`set`](Self::set).
    #[inline(always)]
    pub fn try_write_plain_here(
        &self,
        here: Here<'_>,
        id: u64,
        type_id: u32,
        bytes: &[u8],
    ) -> bool {
        let raw = &Raw::bytes(Kind::Plain, type_id, bytes);
        let Some((record, state, grip)) = self.try_lock_here(here) else { return false };
        let wrote = match struct_in(record, state, type_id, bytes.len()) {
            Some(_) => self.write_in_state(record, id, state, raw, Expect::Any, false),
            None => None,
        };
        self.unlock_here(grip, wrote)
    }

    /// As [`try_write_plain_here`](Self::try_write_plain_here), of the bytes of the struct from
    /// `from` on; the others stay. `len` is the length of the struct.
    #[inline]
    pub fn try_write_part_here(
        &self,
        here: Here<'_>,
        id: u64,
        (type_id, len): (u32, usize),
        from: usize,
        part: &[u8],
    ) -> bool {
        let mut bytes = [0; LONGEST];
        let Some(bytes) = bytes.get_mut(..len) else { return false };
        let Some((record, state, grip)) = self.try_lock_here(here) else { return false };
        let wrote = match struct_in(record, state, type_id, len) {
            Some(data) => {
                // The lock keeps the current slot as it is: a flush, which needs no lock, writes
                // none of its data.
                data.read().copy_to(bytes);
                let to = bytes.iter_mut().skip(from);
                to.zip(part).for_each(|(to, from)| *to = *from);
                let raw = &Raw::bytes(Kind::Plain, type_id, bytes);
                self.write_in_state(record, id, state, raw, Expect::Any, false)
            }
            None => None,
        };
        self.unlock_here(grip, wrote)
    }

    /// Takes the record's lock, if that is free at once; returns its `state` too. A removed variable
    /// is left to the slow path, as it is then one more (see [`turns`](crate::record::turns)).
    #[inline(always)]
    fn try_lock_here<'a>(&self, here: Here<'a>) -> Option<(HereMut<'a>, State, Grip<'a>)> {
        if here.flag() {
            return None;
        }
        let record = here.for_writing()?;
        // A guess: so the processor need not wait for the lock before it knows which slot to fill.
        // What counts is the load under the lock.
        let guess = record.head().load(record::STATE, Relaxed);
        if State(guess).removed() {
            return None;
        }
        // SYNC POINT S5.
        let grip = record.try_lock::<LOCK>(self.mem.locks())?;
        let right = record.head().load(record::STATE, Relaxed) == guess;
        right.then_some((record, State(guess), grip))
    }

    /// Returns whether the value was written.
    #[inline(always)]
    fn unlock_here(&self, grip: Grip<'_>, wrote: Option<(Wrote, Replaced)>) -> bool {
        drop(grip);
        match wrote {
            Some((Wrote::Version(_), replaced)) => {
                self.release_quietly(replaced);
                true
            }
            _ => false,
        }
    }
}

/// Returns the data of the current slot of a record whose lock the caller holds, if that is a struct
/// of this type and length.
#[inline(always)]
fn struct_in(record: HereMut<'_>, state: State, type_id: u32, len: usize) -> Option<WordsMut<'_>> {
    let current = state.current();
    let slot = record.part(current);
    let is_one = slot.load(slot::DESC, Relaxed) == Desc::new(len, Kind::Plain as u8).0
        && slot.load(slot::TYPE, Relaxed) >> 32 == u64::from(type_id);
    if is_one { record.rest(current, slot::DATA, len.div_ceil(8)) } else { None }
}
