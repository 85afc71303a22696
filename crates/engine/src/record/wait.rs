//! Waiting for a variable to change: `docs/FORMAT.md`, "Waiting for a change".

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{Desc, State, record, slot},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, SeqCst},
        StoreWords as _,
    },
    store::Store,
};
use std::time::Duration;

/// How long a thread sleeps at most before it looks again, should nobody have woken it.
pub const NAP: Duration = Duration::from_millis(100);

/// Where a variable stood when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The id of the variable.
    pub id: u64,
    /// Its version; of an `Atomic` its word.
    pub number: u64,
    /// Whether it is removed, its record still there.
    pub removed: bool,
}

impl Observed {
    /// Whether it is where the variable of this line, in this state, stands.
    fn is(self, line: impl Load, handle: Handle, state: State) -> bool {
        let number = if handle.atomic { line.load(record::VALUE, SeqCst) } else { state.version() };
        line.load(record::ID, Acquire) == self.id
            && number == self.number
            && (!handle.atomic || state.removed() == self.removed)
    }
}

impl<M: Mem> Store<M> {
    /// Where the variable of a handle stands; `None` where the record is no longer its.
    pub fn observed(&self, handle: Handle) -> Result<Option<Observed>, EngineError> {
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        for _ in 0..64 {
            // SYNC POINT S1.
            let state = State(line.load(record::STATE, Acquire));
            let word = line.load(record::VALUE, Acquire);
            let at = handle.slot_at(state.current());
            let slot = self.mem.words(at, slot::LEAST).ok_or_else(|| outside(at))?;
            let desc = Desc(slot.load(slot::DESC, Acquire));
            let owner = self.owner_at(at, desc);
            // SYNC POINT S2.
            self.mem.fence(Acquire);
            let whole = handle.atomic || slot.load(slot::VERSION, Acquire) == state.version();
            if line.load(record::ID, Acquire) != handle.id {
                return Ok(None);
            }
            if whole {
                let number = if handle.atomic { word } else { state.version() };
                let removed = if handle.atomic {
                    state.removed()
                } else {
                    // What ended with its process is removed, if not by anybody yet.
                    desc.kind() == slot::TOMBSTONE || (desc.is_ephemeral() && !self.lives(owner)?)
                };
                return Ok(Some(Observed { id: handle.id, number, removed }));
            }
            std::hint::spin_loop();
        }
        Err(EngineError::Contended)
    }

    /// Whether the variable is as it stood, by two loads.
    #[inline]
    pub fn is_as(&self, handle: Handle, stand: Observed) -> bool {
        let Some(line) = self.mem.mapped_words(handle.at, record::LINE) else { return false };
        // SYNC POINT S17: who sees the version sees the value.
        let state = State(line.load(record::STATE, Acquire));
        stand.is(line, handle, state)
    }

    /// Says in the variable's `state` that it is waited for; answers whether it is as it stood. The
    /// wake word's count was loaded before.
    ///
    /// Where WAIT stands already a load is enough: whose swap takes it away adds to the wake word,
    /// after the count that was seen, or this load would have found what the swap has published. On
    /// Windows what a waiter says of itself is published by the wake word's own bit.
    pub fn arm(&self, handle: Handle, stand: Observed) -> Result<bool, EngineError> {
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(EngineError::ReadOnly)?;
        // SYNC POINT S17.
        let mut state = State(line.load(record::STATE, Acquire));
        if !state.waited_for() {
            // A record that is another's by now, or its own kind of word, is not to be changed: the
            // bit would be harmless in a state, and is none in the epoch of a retired one.
            if line.load(record::ID, Acquire) != stand.id {
                return Ok(false);
            }
            let order = if handle.atomic { SeqCst } else { AcqRel };
            state = State(line.fetch_or(record::STATE, State::WAIT, order));
        }
        Ok(stand.is(line, handle, state))
    }

    /// One sleep of who waits for one variable: whether it was seen to have changed.
    pub fn doze(
        &self,
        handle: Handle,
        stand: Observed,
        at_most: Duration,
    ) -> Result<bool, EngineError> {
        // SYNC POINT S18.
        let seen = self.mem.wakes(handle.wake())?;
        if !self.arm(handle, stand)? {
            return Ok(true);
        }
        self.mem.park(handle.wake(), seen, at_most)?;
        Ok(!self.is_as(handle, stand))
    }
}
