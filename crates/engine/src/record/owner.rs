//! The owner process of an ephemeral value.

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
use mapvar_os::{Holder, machine};
use std::time::{Duration, SystemTime};

impl<M: Mem> Store<M> {
    /// Returns the token of the owner process and the version; `None` if the value is not
    /// ephemeral, or is being written.
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

    /// Returns the token in the slot at `at` if its value is ephemeral, else 0, which stands for no
    /// process.
    pub(crate) fn owner_at(&self, at: u64, desc: Desc) -> u64 {
        if !desc.is_ephemeral() {
            return 0;
        }
        // With an invalid length this loads another word, or none. It stands for no process either:
        // the caller's check of the version, or of the seat, rejects it.
        let at = at.saturating_add(slot::DATA_AT + desc.words_before_owner() * 8);
        self.mem.words(at, 1).map_or(0, |word| word.load(0, Relaxed))
    }

    /// Whether the current value claims to be ephemeral.
    pub fn is_ephemeral(&self, handle: Handle) -> bool {
        let desc = self.mem.words(handle.at, handle.words()).map(|words| {
            let state = State(words.load(record::STATE, Acquire));
            Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed))
        });
        desc.is_some_and(Desc::is_ephemeral)
    }

    /// Whether the process that this token stands for lives: its seat is taken, and the seat's
    /// token is the same.
    pub fn lives(&self, filler: u64) -> Result<bool, EngineError> {
        let number = (filler >> 56) as usize;
        if number >= layout::PARTICIPANT_SLOTS {
            return Ok(false);
        }
        let words = self.mem.words(seat::at(number), seat::WORDS);
        let words = words.ok_or_else(|| outside(seat::at(number)))?;
        // Both tests are needed: the seat alone may already belong to another process, and a dead
        // process's token stays in the region. Acquire pairs with the SeqCst store of the token.
        Ok(self.mem.is_seat_taken(number) && words.load(seat::TOKEN, Acquire) == filler)
    }

    /// Returns the process that has the seat with this token, for messages; `None` if the process is
    /// dead, or another process has the seat by now.
    pub fn process_of(&self, token: u64) -> Result<Option<Holder>, EngineError> {
        if token == 0 || !self.lives(token)? {
            return Ok(None);
        }
        let at = seat::at((token >> 56) as usize);
        let words = self.mem.words(at, seat::WORDS).ok_or_else(|| outside(at))?;
        let process = words.load(seat::PROCESS, Acquire);
        // Loaded again: if the token changed meanwhile, the word may describe another process.
        if words.load(seat::TOKEN, Acquire) != token {
            return Ok(None);
        }
        let pid = process as u32;
        let mut holder = Holder::new(pid).with_program(machine::program(pid));
        holder.since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(process >> 32));
        Ok(Some(holder))
    }
}
