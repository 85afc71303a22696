//! The structure lock (L), the transaction lock (T) and the records' own. A process that takes one first ends, or undoes, what its last owner left half done.

pub mod insertion;
pub mod collection;
pub mod transaction;

use crate::{
    error::EngineError,
    handle::Handle,
    layout::{journal, live},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};
use mapvar_os::{Locks, Refused, Taken};

/// L, held. Unlocked when dropped.
#[derive(Debug)]
pub struct Structure<'a, M: Mem>(&'a Store<M>);

impl<M: Mem> Drop for Structure<'_, M> {
    fn drop(&mut self) {
        self.0.mem.unlock(live::LOCK_L);
    }
}

/// How often an operation begins again because of others.
const TRIES: usize = 64;

/// T, held. Unlocked when dropped.
#[derive(Debug)]
pub struct Transactions<'a, M: Mem>(&'a Store<M>);

impl<M: Mem> Drop for Transactions<'_, M> {
    fn drop(&mut self) {
        self.0.mem.unlock(live::LOCK_T);
    }
}

impl<M: Mem> Store<M> {
    /// Takes L, and replays what its last holder left half-done.
    pub fn lock_structure(&self) -> Result<Structure<'_, M>, EngineError> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(EngineError::ReadOnly);
        }
        // SYNC POINT S5, S8.
        let _ = self.mem.lock(live::LOCK_L).map_err(EngineError::Lock)?;
        let held = Structure(self);
        // Always, and not only when the last holder died: the journal is the truth, the kernel's
        // word only a hint.
        self.replay()?;
        Ok(held)
    }

    /// Takes the lock of a record. A mark on it stands for L or T: taking that one replays, which
    /// takes the mark away.
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
                // Its holder may have published and died before it woke those who wait for it.
                Ok(Taken::Recovered) => {
                    self.force_wake_waiters(handle);
                    return Ok(());
                }
                Err(Refused::Marked(Locks::MARK_L)) => drop(self.lock_structure()?),
                Err(Refused::Marked(Locks::MARK_T)) => drop(self.lock_transactions()?),
                Err(refused) => return Err(EngineError::Lock(refused)),
            }
            // Before the next attempt: what the last one took, nobody would give back.
            if tries.next().is_none() {
                return Err(EngineError::Contended);
            }
            taken = self.mem.lock(handle.lock());
        }
    }

    /// Ends, or undoes, what the last holder of L was about. Bounded, and every word of the journal
    /// is checked: a hostile peer may have written it.
    fn replay(&self) -> Result<(), EngineError> {
        let journal = self.journal()?;
        // SYNC POINT S8.
        let operation = journal.load(journal::OPERATION, Acquire);
        if operation == journal::NOTHING {
            return Ok(());
        }
        let at = journal.load(journal::RECORD, Relaxed);
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

    /// Ends what was half-done: for who is alone in a region, whatever its lock words say.
    pub fn quiesce(&self) -> Result<(), EngineError> {
        self.mem.reset(live::LOCK_L);
        self.mem.reset(live::LOCK_T);
        drop(self.lock_structure()?);
        drop(self.lock_transactions()?);
        Ok(())
    }

    /// Takes T, and ends or undoes what its last holder left.
    pub fn lock_transactions(&self) -> Result<Transactions<'_, M>, EngineError> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(EngineError::ReadOnly);
        }
        // SYNC POINT S5, S13.
        let _ = self.mem.lock(live::LOCK_T).map_err(EngineError::Lock)?;
        let held = Transactions(self);
        self.replay_transaction()?;
        Ok(held)
    }
}
