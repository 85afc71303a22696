//! Writes to a record at a [`Spot`](crate::record::read::Spot): nothing is looked up, and no bounds
//! are compared but those of the slot.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the write")]

use crate::{
    layout::{Desc, State, record, slot},
    mem::{Ordering::Relaxed, mapped::Mapped},
    record::read::Here,
    record::write::{RecordMut, Replaced, SlotMut},
    store::Store,
    value::{Kind, Raw},
    version::{Expect, Wrote},
};
use mapvar_os::WordsMut;

/// A record at a [`Spot`](crate::record::read::Spot), in a map that may be written to.
type HereMut<'a> = mapvar_os::HereMut<'a, { record::LINE }, { slot::COUNT }, { slot::LEAST }>;

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

impl Store<Mapped> {
    /// As [`try_write_fast`](Self::try_write_fast), of the variable with this id; a removed variable
    /// is set again.
    #[inline(always)]
    pub fn try_write_here(&self, here: Here<'_>, id: u64, raw: &Raw<'_>) -> bool {
        // Ephemeral values take the slow path. This tells the compiler that the owner is 0.
        let raw = &Raw { owner: 0, ..*raw };
        self.try_locked_here(here, |record| self.write_record_locked(record, id, raw, Expect::Any))
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
        self.try_locked_here(here, |record| {
            let _ = struct_in(record, type_id, bytes.len())?;
            self.write_record_locked(record, id, raw, Expect::Any)
        })
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
        self.try_locked_here(here, |record| {
            // The lock keeps the current slot as it is: a flush, which needs no lock, writes none of
            // its data.
            struct_in(record, type_id, len)?.read().copy_to(bytes);
            bytes.get_mut(from..from.checked_add(part.len())?)?.copy_from_slice(part);
            let raw = &Raw::bytes(Kind::Plain, type_id, bytes);
            self.write_record_locked(record, id, raw, Expect::Any)
        })
    }

    /// Runs `write` under the record's lock, if that is free at once; returns whether it wrote.
    #[inline(always)]
    fn try_locked_here<'a>(
        &self,
        here: Here<'a>,
        write: impl FnOnce(HereMut<'a>) -> Option<(Wrote, Replaced)>,
    ) -> bool {
        if here.flag() {
            return false;
        }
        let Some(record) = here.for_writing() else { return false };
        // SYNC POINT S5.
        let Some(grip) = record.try_lock::<LOCK>(self.mem.locks()) else { return false };
        let wrote = write(record);
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
fn struct_in(record: HereMut<'_>, type_id: u32, len: usize) -> Option<WordsMut<'_>> {
    let current = State(record.head().load(record::STATE, Relaxed)).current();
    let slot = record.part(current);
    let is_one = slot.load(slot::DESC, Relaxed) == Desc::new(len, Kind::Plain as u8).0
        && slot.load(slot::TYPE, Relaxed) >> 32 == u64::from(type_id);
    if is_one { record.rest(current, slot::DATA, len.div_ceil(8)) } else { None }
}
