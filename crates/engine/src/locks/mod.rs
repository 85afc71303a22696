//! The structure lock (L), the transaction lock (T) and the locks of records. A process that takes
//! L or T first completes or undoes what the last owner left half-done.

pub mod insertion;
pub mod collection;
pub mod transaction;

use crate::{
    error::EngineError,
    handle::Handle,
    layout::{self, journal, live, room, seat},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};
use mapvar_os::{Locks, Refused, Taken};

/// RAII guard for the structure lock (L).
#[derive(Debug)]
pub struct Structure<'a, M: Mem>(&'a Store<M>);

impl<M: Mem> Drop for Structure<'_, M> {
    fn drop(&mut self) {
        self.0.mem.unlock(live::LOCK_L);
    }
}

/// How often a record's lock is tried again after a mark was removed from it.
const TRIES: usize = 64;

/// RAII guard for the transaction lock (T).
#[derive(Debug)]
pub struct Transactions<'a, M: Mem>(&'a Store<M>);

impl<M: Mem> Drop for Transactions<'_, M> {
    fn drop(&mut self) {
        self.0.mem.unlock(live::LOCK_T);
    }
}

impl<M: Mem> Store<M> {
    /// Takes the structure lock (L), and replays the journal of its last owner.
    pub fn lock_structure(&self) -> Result<Structure<'_, M>, EngineError> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(EngineError::ReadOnly);
        }
        self.hold_structure(self.mem.lock(live::LOCK_L))
    }

    /// As [`lock_structure`](Self::lock_structure), if that needs no wait for a living owner.
    pub(crate) fn lock_structure_now(&self) -> Result<Structure<'_, M>, EngineError> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(EngineError::ReadOnly);
        }
        self.hold_structure(self.mem.lock_now(live::LOCK_L))
    }

    /// Completes the operation of an owner of L or T that died in it. Waits for no living owner.
    pub fn finish_of_dead(&self) -> Result<(), EngineError> {
        if self.journal()?.load(journal::OPERATION, Acquire) != journal::NOTHING {
            // A living owner is about to finish it by itself.
            let _ = self.lock_structure_now();
        }
        if self.live()?.load(live::TSEQ, Acquire) & 1 == 1 {
            let _ = self.hold_transactions(self.mem.lock_now(live::LOCK_T));
        }
        Ok(())
    }

    fn hold_structure(
        &self,
        taken: Result<Taken, Refused>,
    ) -> Result<Structure<'_, M>, EngineError> {
        // SYNC POINT S5, S8.
        let taken = taken.map_err(EngineError::Lock)?;
        let held = Structure(self);
        if taken == Taken::Recovered {
            self.counts()?.store(room::DOUBTFUL, 1, Release);
        }
        // Always, and not only if the last owner died: the journal is the truth, the kernel's word
        // only a hint. The guard comes first: it unlocks L if the replay fails.
        self.replay()?;
        Ok(held)
    }

    /// Takes the lock of a record. A mark on it stands for L or T. Taking that lock replays its
    /// journal, which removes the mark.
    #[inline]
    pub fn lock_record(&self, handle: Handle) -> Result<(), EngineError> {
        match self.mem.lock(handle.lock()) {
            Ok(Taken::Clean) => Ok(()),
            other => self.lock_record_slowly(handle, other),
        }
    }

    #[cold]
    fn lock_record_slowly(
        &self,
        handle: Handle,
        mut taken: Result<Taken, Refused>,
    ) -> Result<(), EngineError> {
        let mut tries = 0..TRIES;
        loop {
            match taken {
                Ok(Taken::Clean) => return Ok(()),
                // The owner may have died between its publication and the wake of the waiters.
                Ok(Taken::Recovered) => {
                    self.force_wake_waiters(handle);
                    return Ok(());
                }
                Err(Refused::Marked(Locks::MARK_L)) => drop(self.lock_structure()?),
                Err(Refused::Marked(Locks::MARK_T)) => drop(self.lock_transactions()?),
                Err(refused) => return Err(EngineError::Lock(refused)),
            }
            // Checked before the next attempt: a lock taken by the last one would never be
            // released.
            if tries.next().is_none() {
                return Err(EngineError::Contended);
            }
            taken = self.mem.lock(handle.lock());
        }
    }

    /// Completes or undoes the operation of the last owner of L. Bounded, and every word of the
    /// journal is validated: a hostile peer may have written it.
    fn replay(&self) -> Result<(), EngineError> {
        let journal = self.journal()?;
        // SYNC POINT S8. Pairs with the Release store of the operation: the words that describe it
        // are seen.
        let operation = journal.load(journal::OPERATION, Acquire);
        if operation == journal::NOTHING {
            return Ok(());
        }
        let at = journal.load(journal::RECORD, Relaxed);
        // The dead owner may have cleared a sleeper's bit without waking it, in any operation.
        self.force_wake_at(at);
        match operation {
            journal::INSERT => self.replay_insert(at, journal.load(journal::BLOCK, Relaxed)),
            journal::UNLINK => self.finish_collect_if_record(at),
            journal::ROOT => self.replay_root(),
            journal::RUN => self.replay_run(),
            _ => {
                journal.store(journal::OPERATION, journal::NOTHING, Release);
                Ok(())
            }
        }
    }

    /// Frees L and T whatever their words say, and replays both journals. For a process that is
    /// alone in the region.
    pub fn quiesce(&self) -> Result<(), EngineError> {
        self.mem.reset(live::LOCK_L);
        self.mem.reset(live::LOCK_T);
        drop(self.lock_structure()?);
        drop(self.lock_transactions()?);
        Ok(())
    }

    /// Clears the tokens of the seats. For a process that is alone in the region and has no seat: the
    /// tokens are those of dead processes, whose ids other programs may have meanwhile.
    pub fn forget_seats(&self) -> Result<(), EngineError> {
        for number in 0..layout::PARTICIPANT_SLOTS {
            let words = self.mem.words_mut(seat::at(number), seat::WORDS);
            words.ok_or(EngineError::ReadOnly)?.store(seat::TOKEN, 0, Release);
        }
        self.lose_seats()
    }

    /// Takes the transaction lock (T), and completes or undoes what its last owner left.
    pub fn lock_transactions(&self) -> Result<Transactions<'_, M>, EngineError> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(EngineError::ReadOnly);
        }
        self.hold_transactions(self.mem.lock(live::LOCK_T))
    }

    fn hold_transactions(
        &self,
        taken: Result<Taken, Refused>,
    ) -> Result<Transactions<'_, M>, EngineError> {
        // SYNC POINT S5, S13.
        let _ = taken.map_err(EngineError::Lock)?;
        let held = Transactions(self);
        self.replay_transaction()?;
        Ok(held)
    }
}
