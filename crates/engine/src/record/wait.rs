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

/// How long a thread sleeps at most that found the variable [`Busy`](Arming::Busy).
pub const BUSY_NAP: Duration = Duration::from_millis(1);

/// How often a thread yields to the owner of the record's lock before it sleeps.
pub(crate) const YIELDS: u32 = 8;

/// The result of [`Store::arm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only who is armed is woken"]
pub enum Arming {
    /// The variable is unchanged, and whoever changes it wakes its waiters.
    Armed,
    /// The variable has changed.
    Changed,
    /// The variable is unchanged, but a thread owns its lock, which may change it without a wake.
    /// The caller checks again after [`BUSY_NAP`].
    Busy,
}

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

    /// Whether the variable is unchanged, and WAIT stands that the caller has set, or found set, when
    /// the record's lock was free: then its next change is told. Writes nothing, so no page of a file
    /// has to be written for it.
    pub fn is_armed(&self, handle: Handle, observed: Observed) -> bool {
        let Some(line) = self.mem.mapped_words(handle.at, record::LINE) else { return false };
        let state = State(line.load(record::STATE, Acquire));
        state.waited_for() && observed.is(line, handle, state)
    }

    /// Sets WAIT in the variable's `state`, and checks whether the variable is unchanged. The caller
    /// has loaded the count of the wake word before.
    ///
    /// If a thread owns the record's lock, yields to it a few times.
    pub fn arm(&self, handle: Handle, observed: Observed) -> Result<Arming, EngineError> {
        let mut armed = self.try_arm(handle, observed)?;
        // A waiter that is woken while the writer still owns the lock finds it held for a moment.
        for round in 0..YIELDS {
            if armed != Arming::Busy || !self.mem.pause(round) {
                break;
            }
            armed = self.try_arm(handle, observed)?;
        }
        Ok(armed)
    }

    fn try_arm(&self, handle: Handle, observed: Observed) -> Result<Arming, EngineError> {
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(EngineError::ReadOnly)?;
        let Some(busy) = self.set_wait(line, handle, observed.id) else {
            return Ok(Arming::Changed);
        };
        // SYNC POINT S21. After the look at the lock: sees what its earlier owners have published.
        let state = State(line.load(record::STATE, Acquire));
        Ok(match observed.is(line, handle, state) {
            false => Arming::Changed,
            true if busy => Arming::Busy,
            true => Arming::Armed,
        })
    }

    /// Sets WAIT in `state` of the variable `id`, and returns whether a thread owns the record's
    /// lock, which may then change the variable without a wake. `None` if the record no longer holds
    /// the variable. The caller looks at the variable after this call.
    ///
    /// If WAIT is already set, a load is enough. The writer that overwrites WAIT increments the wake
    /// word, and takes a number in the ring, or has owned the lock since before WAIT was set. If it
    /// increments the word before the caller loads the count (S18), the caller sees the change.
    /// Otherwise the count differs, and the caller does not sleep. On Windows the read-modify-write
    /// of the wake word publishes the waiter's entry.
    pub(crate) fn set_wait(&self, line: M::WordsMut<'_>, handle: Handle, id: u64) -> Option<bool> {
        if !State(line.load(record::STATE, Acquire)).waited_for() {
            // If the record now holds another variable, its `state` is not changed. WAIT would do
            // no harm in a `state`, but in a retired record this word is an epoch.
            if line.load(record::ID, Acquire) != id {
                return None;
            }
            // SYNC POINT S17. Of an Atomic: pairs with the SeqCst load of state in `operate`, and
            // with the swap in `publish`.
            line.fetch_or(record::STATE, State::WAIT, if handle.atomic { SeqCst } else { AcqRel });
        }
        // SYNC POINT S21. Pairs with the lock of the record. If the lock is free, its next owner
        // sees WAIT. If it is not, its owner may have loaded `state` before WAIT was set.
        Some(!handle.atomic && self.mem.is_held(handle.lock()))
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
        let at_most = match self.arm(handle, observed)? {
            Arming::Changed => return Ok(true),
            Arming::Armed => at_most,
            Arming::Busy => at_most.min(BUSY_NAP),
        };
        self.mem.park(handle.wake(), seen, at_most)?;
        Ok(!self.is_unchanged(handle, observed))
    }
}
