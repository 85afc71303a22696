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

/// How long a thread sleeps at most before it checks again. This bounds the delay after a lost
/// wake.
pub const NAP: Duration = Duration::from_millis(100);

/// The identity and version of a variable at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Id of the variable.
    pub id: u64,
    /// Its version; the word of an `Atomic`.
    pub number: u64,
    /// Whether the variable is removed while its record is still there.
    pub removed: bool,
}

impl Observed {
    /// Whether the variable of this line, in this state, is unchanged.
    fn is(self, line: impl Load, handle: Handle, state: State) -> bool {
        let number = if handle.atomic { line.load(record::VALUE, SeqCst) } else { state.version() };
        line.load(record::ID, Acquire) == self.id
            && number == self.number
            && (!handle.atomic || state.removed() == self.removed)
    }
}

impl<M: Mem> Store<M> {
    /// Observes the variable of a handle; `None` if the record no longer holds it.
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
                    // A value whose owner process is gone counts as removed, even before any
                    // process removes it.
                    desc.kind() == slot::TOMBSTONE || (desc.is_ephemeral() && !self.lives(owner)?)
                };
                return Ok(Some(Observed { id: handle.id, number, removed }));
            }
            std::hint::spin_loop();
        }
        Err(EngineError::Contended)
    }

    /// Whether the variable is unchanged. Takes no lock.
    #[inline]
    pub fn is_unchanged(&self, handle: Handle, observed: Observed) -> bool {
        let Some(line) = self.mem.mapped_words(handle.at, record::LINE) else { return false };
        // SYNC POINT S17: a thread that sees the version sees the value.
        let state = State(line.load(record::STATE, Acquire));
        observed.is(line, handle, state)
    }

    /// Sets WAIT in the variable's `state`; returns whether the variable is unchanged. The caller
    /// has loaded the count of the wake word before.
    ///
    /// If WAIT is already set, a load is enough. The writer whose swap clears WAIT increments the
    /// wake word. If the writer did so before the caller loaded the count (S18), this load sees the
    /// new state. Otherwise the count differs, and the caller does not sleep. On Windows the
    /// read-modify-write of the wake word publishes the waiter's entry. So if WAIT is set, this
    /// function needs no read-modify-write.
    pub fn arm(&self, handle: Handle, observed: Observed) -> Result<bool, EngineError> {
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(EngineError::ReadOnly)?;
        // SYNC POINT S17.
        let mut state = State(line.load(record::STATE, Acquire));
        if !state.waited_for() {
            // If the record now holds another variable, its `state` is not changed. WAIT would do
            // no harm in a `state`, but in a retired record this word is an epoch.
            if line.load(record::ID, Acquire) != observed.id {
                return Ok(false);
            }
            // Pairs with the swap in `publish` (for an Atomic, with the SeqCst load of state in
            // `operate`). Either the writer sees WAIT, or this thread sees the change.
            let order = if handle.atomic { SeqCst } else { AcqRel };
            state = State(line.fetch_or(record::STATE, State::WAIT, order));
        }
        Ok(observed.is(line, handle, state))
    }

    /// Sleeps once, for a single variable; returns whether the variable was seen to have changed.
    pub fn sleep_once(
        &self,
        handle: Handle,
        observed: Observed,
        at_most: Duration,
    ) -> Result<bool, EngineError> {
        // SYNC POINT S18: the count first. Loaded after the comparison, it could already include
        // the change, and the thread would sleep through it.
        let seen = self.mem.wakes(handle.wake())?;
        if !self.arm(handle, observed)? {
            return Ok(true);
        }
        self.mem.park(handle.wake(), seen, at_most)?;
        Ok(!self.is_unchanged(handle, observed))
    }
}
