//! A variable as a watch finds it.

use crate::{
    error::EngineError,
    handle::Handle,
    mem::Mem,
    record::read::Seen,
    record::wait::Observed,
    store::Store,
    value::{Data, OwnedValue},
};

/// A variable as who follows it finds it.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Here, with its value, and the token of whose process it ends with, 0: it stays.
    Value(OwnedValue, Observed, u64),
    /// Removed, its record still there.
    Removed(Observed),
    /// The record is another variable's, or nobody's, by now.
    Stale,
}

impl<M: Mem> Store<M> {
    /// The variable of a handle, and where it stands.
    pub fn follow(&self, handle: Handle) -> Result<Followed, EngineError> {
        for round in 0.. {
            match self.read(handle, |view| (view.capture(), view.desc.is_ephemeral()))? {
                Seen::Value((captured, ephemeral), version) => {
                    let captured = captured?;
                    let number = match captured.data {
                        Data::Word(word) if handle.atomic => word,
                        _ => version,
                    };
                    let stand = Observed { id: handle.id, number, removed: false };
                    // Of a later value, which is looked at again anyway, it may be none.
                    let owner = if ephemeral { self.owner(handle)? } else { None };
                    let owner = owner.map_or(0, |(owner, _)| owner);
                    return Ok(Followed::Value(captured, stand, owner));
                }
                Seen::Stale => return Ok(Followed::Stale),
                Seen::Absent => {}
            }
            // Which removal it was, `read` does not tell.
            match self.observed(handle)? {
                Some(stand) if stand.removed => return Ok(Followed::Removed(stand)),
                None => return Ok(Followed::Stale),
                // Set again in between.
                Some(_) if round < 64 => {}
                Some(_) => return Err(EngineError::Contended),
            }
        }
        Err(EngineError::Contended)
    }
}
