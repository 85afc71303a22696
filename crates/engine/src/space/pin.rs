//! Pins: a reader that copies a large value keeps its extent from being freed.

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

/// The extent of a variable's value, which nobody takes back while it is pinned.
#[derive(Debug)]
pub struct Pinned {
    desc: Desc,
    type_id: u32,
    /// The token of whose process it ends with; 0: it stays.
    owner: u64,
    /// Where the data of the extent begin.
    pub at: u64,
    room: usize,
    version: u64,
    seat: usize,
    slot: u64,
}

impl<M: Mem> Store<M> {
    /// Pins the extent of the variable's value, if it lies in one. With the record's lock, so that
    /// what the slot says is so; and with `pinning`.
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
        // Set once, and left: who frees then looks at the seat's pin.
        let bit = 1 << (number % 64);
        let pins = live::PINS + number / 64 % 2;
        if self.live()?.load(pins, Relaxed) & bit == 0 {
            self.live_mut()?.fetch_or(pins, bit, SeqCst);
        }
        // SYNC POINT S12.
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

    /// Copies what is pinned, and lets it go.
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
                return Err(EngineError::Corrupt(
                    "a value's description makes no sense",
                    pinned.slot,
                ));
            }
            Ok(Seen::Value(take(view), pinned.version))
        });
        if let Some(words) = self.mem.words_mut(seat::at(pinned.seat), seat::WORDS) {
            // Release: the copy is made before it goes.
            words.store(seat::PIN, 0, Release);
        }
        if pinned.owner != 0 && !self.lives(pinned.owner)? {
            return Ok(Seen::Absent);
        }
        seen
    }

    /// A process has one pin: its threads take turns.
    pub(crate) fn pinning(&self) -> MutexGuard<'_, ()> {
        self.pinning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
