//! The replay of an insertion whose process died: completed if it was published, else undone.

use crate::{
    error::{EngineError, outside},
    layout::{journal, live, record},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Release},
        StoreWords as _,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    pub(crate) fn replay_insert(&self, at: u64, block: u64) -> Result<(), EngineError> {
        let journal = self.journal()?;
        if let Some(line) = self.mem.words(at, record::LINE)
            && let Some(part) = self.record_at(at)?
        {
            if line.load(record::ID, Acquire) == 0 {
                // Not published. The index word goes first, then the bits: a reused record must not
                // be found by the old name.
                self.unlink(at)?;
                self.clear_bit(part)?;
                if block != 0 {
                    self.free_block(block)?;
                }
            } else {
                // Published, perhaps not counted: the journal has what the count is then.
                let born = journal.load(journal::BORN, Acquire);
                self.live_mut()?.store(live::BORN, born, Release);
                // Perhaps without the dirty bit: without it no flush would find the variable.
                if self.file {
                    self.mark_dirty(at).ok_or_else(|| outside(at))?;
                }
                self.wake_for_birth(at);
            }
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }
}
