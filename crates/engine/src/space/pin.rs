//! Pins: they keep an extent from being freed while a reader copies a large value.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{Desc, State, live, record, seat, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    record::read::Seen,
    store::Store,
    value::SlotView,
};
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// The pinned extent of a variable's value: no process frees or rewrites it.
#[derive(Debug)]
pub struct Pinned {
    desc: Desc,
    type_id: u32,
    /// The token of the owner process; 0 = the value is not ephemeral.
    owner: u64,
    /// Offset of the extent's data.
    pub at: u64,
    room: usize,
    version: u64,
    seat: usize,
    slot: u64,
}

impl<M: Mem> Store<M> {
    /// Pins the extent of the variable's value, if it lies in one. The caller holds the record's
    /// lock, so that the slot does not change, and `pinning`.
    pub fn pin(&self, handle: Handle) -> Result<Option<Pinned>, EngineError> {
        let lost = || outside(handle.at);
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(lost)?;
        let state = State(line.load(record::STATE, Relaxed));
        if handle.atomic || line.load(record::ID, Acquire) != handle.id {
            return Ok(None);
        }
        let at = handle.slot_at(state.current());
        let slot = self.mem.words(at, slot::LEAST).ok_or_else(lost)?;
        let desc = Desc(slot.load(slot::DESC, Relaxed));
        if !desc.is_extent() || desc.kind() == slot::TOMBSTONE {
            return Ok(None);
        }
        let filler = self.mem.seat()?;
        let number = (filler >> 56) as usize;
        let (data, room) = self.referred(slot, desc);
        let words = self.mem.words_mut(seat::at(number), seat::WORDS).ok_or_else(lost)?;
        words.store(seat::PIN, data, SeqCst);
        // Set once and kept: a process that frees an extent then checks the pin of this seat.
        let bit = 1 << (number % 64);
        let pins = live::PINS + number / 64 % 2;
        if self.live()?.load(pins, Relaxed) & bit == 0 {
            self.live_mut()?.fetch_or(pins, bit, SeqCst);
        }
        // SYNC POINT S12. Pairs with the fence in `is_pinned`.
        self.mem.fence(SeqCst);
        Ok(Some(Pinned {
            desc,
            type_id: (slot.load(slot::TYPE, Relaxed) >> 32) as u32,
            owner: self.owner_at(at, desc),
            at: data,
            room,
            version: state.version(),
            seat: number,
            slot: at,
        }))
    }

    /// Copies the pinned value, and unpins it.
    pub fn take_pinned<R>(
        &self,
        pinned: &Pinned,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Seen<R>, EngineError> {
        let slot = self.mem.words(pinned.slot, slot::LEAST).ok_or_else(|| outside(pinned.slot));
        let seen = slot.and_then(|slot| {
            let view = SlotView {
                mem: &self.mem,
                desc: pinned.desc,
                slot,
                data: pinned.at,
                room: pinned.room,
                type_id: Some(pinned.type_id),
            };
            if !view.is_value() {
                return Err(self.beyond_reach(EngineError::Corrupt(
                    "the description of the value is invalid",
                    pinned.slot,
                )));
            }
            Ok(Seen::Value(take(view), pinned.version))
        });
        if let Some(words) = self.mem.words_mut(seat::at(pinned.seat), seat::WORDS) {
            // Release: the copy is complete before the pin is gone.
            words.store(seat::PIN, 0, Release);
        }
        if pinned.owner != 0 && !self.lives(pinned.owner)? {
            return Ok(Seen::Absent);
        }
        seen
    }

    /// Takes this process's turn to pin: it has one pin for all its threads.
    pub(crate) fn pinning(&self) -> MutexGuard<'_, ()> {
        self.pinning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
