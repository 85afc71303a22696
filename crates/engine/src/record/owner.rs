//! The process that an ephemeral value ends with.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Desc, State, record, seat, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    /// The token of whose process the variable ends with, and its version; `None` where it is no
    /// such, or is being written.
    pub fn owner(&self, handle: Handle) -> Result<Option<(u64, u64)>, EngineError> {
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        // SYNC POINT S1.
        let state = State(words.load(record::STATE, Acquire));
        let (number, at) = (handle.slot(state.current()), handle.slot_at(state.current()));
        let desc = Desc(words.load(number + slot::DESC, Relaxed));
        let owner = self.owner_at(at, desc);
        // SYNC POINT S2.
        self.mem.fence(Acquire);
        let same = words.load(number + slot::VERSION, Relaxed) == state.version()
            && words.load(record::ID, Relaxed) == handle.id;
        let ephemeral = desc.is_ephemeral() && !handle.atomic;
        Ok((same && ephemeral).then_some((owner, state.version())))
    }

    /// The token in the slot at `at` of an ephemeral value, else 0, which is nobody's.
    pub(crate) fn owner_at(&self, at: u64, desc: Desc) -> u64 {
        if !desc.is_ephemeral() {
            return 0;
        }
        // Of a length that makes no sense another word, or none: of nobody either.
        let at = at.saturating_add(slot::DATA_AT + desc.words_before_owner() * 8);
        self.mem.words(at, 1).map_or(0, |word| word.load(0, Relaxed))
    }

    /// Whether the variable seems to end with a process.
    pub fn is_ephemeral(&self, handle: Handle) -> bool {
        let desc = self.mem.words(handle.at, handle.words()).map(|words| {
            let state = State(words.load(record::STATE, Acquire));
            Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed))
        });
        desc.is_some_and(Desc::is_ephemeral)
    }

    /// Whether the process that this word in an extent's head names lives.
    pub fn lives(&self, filler: u64) -> Result<bool, EngineError> {
        let number = (filler >> 56) as usize;
        if number >= layout::PARTICIPANT_SLOTS {
            return Ok(false);
        }
        let words = self.mem.words(seat::at(number), seat::WORDS);
        let words = words.ok_or_else(|| outside(seat::at(number)))?;
        Ok(self.mem.is_seat_taken(number) && words.load(seat::TOKEN, Acquire) == filler)
    }
}
