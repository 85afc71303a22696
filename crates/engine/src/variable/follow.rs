//! A variable as a watch observes it.

use crate::{
    error::EngineError,
    handle::Handle,
    layout::record,
    mem::Mem,
    record::read::Seen,
    record::wait::{Observed, YIELDS},
    store::Store,
    value::{Data, OwnedValue},
};

/// An observation of a variable that is being followed.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The variable exists: its value, and the token of its owner process; 0 = it is not ephemeral.
    Value(OwnedValue, Observed, u64),
    /// The variable is removed; its record is still there.
    Removed(Observed),
    /// The record no longer holds the variable.
    Stale,
}

/// The result of [`Store::ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a busy variable is asked for again"]
pub enum Asked {
    /// The ring tells of the next change.
    Told,
    /// A thread owns the record's lock, which may change the variable without an entry. The caller
    /// asks again within [`BUSY_NAP`](crate::record::wait::BUSY_NAP).
    Busy,
    /// The record no longer holds the variable.
    Gone,
}

impl<M: Mem> Store<M> {
    /// Has the next change of the variable of `handle` told by the ring. The caller looks at the
    /// variable after this call.
    ///
    /// A writer that sees WAIT takes a number in the ring that is not below the head that the caller
    /// loaded before. If a thread owns the record's lock, this yields to it a few times. It does not
    /// wait for the lock: a stopped writer would hold up the other changes.
    pub fn ask(&self, handle: Handle) -> Result<Asked, EngineError> {
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(EngineError::ReadOnly)?;
        for round in 0..YIELDS {
            match self.set_wait(line, handle, handle.id) {
                None => return Ok(Asked::Gone),
                Some(false) => return Ok(Asked::Told),
                Some(true) if !self.mem.pause(round) => break,
                Some(true) => {}
            }
        }
        Ok(Asked::Busy)
    }

    /// Returns the variable of a handle, and the version at which it was observed.
    pub fn follow(&self, handle: Handle) -> Result<Followed, EngineError> {
        for round in 0.. {
            match self.read(handle, |view| (view.capture(), view.desc.is_ephemeral()))? {
                Seen::Value((captured, ephemeral), version) => {
                    let captured = captured?;
                    let number = match captured.data {
                        Data::Word(word) if handle.atomic => word,
                        _ => version,
                    };
                    let observed = Observed { id: handle.id, number, removed: false };
                    // The variable may have changed since the read, and then this owner is a later
                    // value's, or none. A watch reads a changed variable again anyway.
                    let owner = if ephemeral { self.owner(handle)? } else { None };
                    let owner = owner.map_or(0, |(owner, _)| owner);
                    return Ok(Followed::Value(captured, observed, owner));
                }
                Seen::Stale => return Ok(Followed::Stale),
                Seen::Absent => {}
            }
            // `read` does not report the version of a removal.
            match self.observed(handle)? {
                Some(observed) if observed.removed => return Ok(Followed::Removed(observed)),
                None => return Ok(Followed::Stale),
                // The variable was set again in between.
                Some(_) if round < 64 => {}
                Some(_) => return Err(EngineError::Contended),
            }
        }
        Err(EngineError::Contended)
    }
}
