//! Transactions: many variables written as one. The owner of the transaction lock (T) marks the
//! records, compares them with what the transaction expects, and fills a free slot of each. Then it
//! stores the word COMMITTED and publishes them all. If it dies after that word, the next owner of
//! T publishes in its place; before it, nothing has happened.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{State, commit, live, marks, record},
    locks::Transactions,
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        StoreWords as _,
    },
    record::write::Replaced,
    store::Store,
    value::{Payload, Raw},
    version::{Expect, Wrote},
};
use mapvar_os::{Locks, Taken};

/// The change of a transaction to one variable.
#[derive(Clone, Copy, Debug)]
pub struct TxEntry<'a> {
    /// The variable's record.
    pub handle: Handle,
    /// The condition that the variable must meet.
    pub expect: Expect,
    /// The new value; `None` = the variable is only compared.
    pub raw: Option<Raw<'a>>,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is done.
    Committed,
    /// Nothing is done: a variable does not meet its condition.
    Conflict,
    /// Nothing is done: a record no longer holds the variable of its handle.
    Stale,
}

/// The reason why not all records could be marked.
pub(crate) enum Blocked {
    /// The owner of L has marked the record.
    Structure,
    /// Another thread holds the record's lock.
    Holder(Handle),
}

/// How often marking is retried because other threads hold records.
const TRIES: usize = 10_000;

/// How often a locked record is retried before all marks are removed: sets are short.
const SPINS: usize = 200;

impl<M: Mem> Store<M> {
    /// Makes all of `changes`, or none. Each change has a record of its own. Large values already
    /// lie in extents, which remain the caller's unless the transaction commits.
    pub fn transact(&self, changes: &mut [TxEntry<'_>]) -> Result<CommitOutcome, EngineError> {
        if changes.len() > marks::MOST {
            return Err(EngineError::TooMany { given: changes.len(), most: marks::MOST });
        }
        if changes.iter().any(|change| change.handle.atomic) {
            return Err(EngineError::WrongKind(
                "it is an Atomic, which takes no part in transactions; use a variable",
            ));
        }
        // Sorted by offset, so that the journal does not depend on the caller's order, and
        // `same_place` finds duplicates as neighbors.
        changes.sort_by_key(|change| change.handle.at);
        if let Some(outcome) = same_place(changes) {
            return Ok(outcome);
        }
        let mut replaced = Vec::with_capacity(changes.len());
        let outcome = {
            let _held = self.mark_all(changes)?;
            match self.unexpected(changes)? {
                Some(outcome) => {
                    self.unmark_all()?;
                    outcome
                }
                None => match self.commit(changes, &mut replaced) {
                    Ok(()) => CommitOutcome::Committed,
                    Err(trouble) => {
                        self.unmark_all()?;
                        return Err(trouble);
                    }
                },
            }
        };
        self.release_all(replaced);
        Ok(outcome)
    }

    /// Runs `read` while no process can write to these records.
    pub fn with_all_marked<R>(
        &self,
        handles: &[Handle],
        read: impl FnOnce() -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        if handles.len() > marks::MOST {
            return Err(EngineError::TooMany { given: handles.len(), most: marks::MOST });
        }
        let changes: Vec<_> = handles
            .iter()
            .map(|handle| TxEntry { handle: *handle, expect: Expect::Any, raw: None })
            .collect();
        let _held = self.mark_all(&changes)?;
        let seen = read();
        self.unmark_all()?;
        seen
    }

    /// Takes T and marks every record. If one is locked, removes all marks, unlocks T, waits, and
    /// starts again.
    fn mark_all(&self, changes: &[TxEntry<'_>]) -> Result<Transactions<'_, M>, EngineError> {
        for _ in 0..TRIES {
            let held = self.lock_transactions()?;
            let met = self.try_mark_all(changes);
            match met {
                Ok(None) => return Ok(held),
                Ok(Some(met)) => {
                    self.unmark_all()?;
                    // No record is waited for while T is held: every other transaction and every
                    // flush would wait too.
                    drop(held);
                    self.wait_for(&met)?;
                }
                Err(trouble) => {
                    self.unmark_all()?;
                    return Err(trouble);
                }
            }
        }
        Err(EngineError::Contended)
    }

    /// Waits for the owner of a record. T is unlocked.
    pub(crate) fn wait_for(&self, met: &Blocked) -> Result<(), EngineError> {
        match met {
            Blocked::Structure => drop(self.lock_structure()?),
            // Waits for the lock, or takes it over from a dead owner.
            Blocked::Holder(handle) => {
                self.lock_record(*handle)?;
                self.mem.unlock(handle.lock());
            }
        }
        Ok(())
    }

    /// Marks one record; returns the obstacle, if there is one. The caller holds T, and calls
    /// [`unmark_all`](Self::unmark_all) in both cases.
    pub(crate) fn mark_one(&self, handle: Handle) -> Result<Option<Blocked>, EngineError> {
        self.try_mark_all(&[TxEntry { handle, expect: Expect::Any, raw: None }])
    }

    fn try_mark_all(&self, changes: &[TxEntry<'_>]) -> Result<Option<Blocked>, EngineError> {
        let (commits, entries) = (self.commits()?, self.entries()?);
        for (number, change) in changes.iter().enumerate() {
            // The journal names the mark before it is set. Without that, a replay could not find
            // and remove it.
            entries.store(number, change.handle.at, Relaxed);
            // SYNC POINT S13.
            commits.store(commit::COUNT, number as u64 + 1, Release);
            if let Some(met) = self.try_mark(change.handle) {
                return Ok(Some(met));
            }
        }
        Ok(None)
    }

    fn try_mark(&self, handle: Handle) -> Option<Blocked> {
        for spin in 0..SPINS {
            match self.mem.mark(handle.lock(), Locks::MARK_T) {
                Ok(taken) => {
                    if taken == Taken::Recovered {
                        self.force_wake_waiters(handle);
                    }
                    return None;
                }
                Err(Locks::MARK_L) => return Some(Blocked::Structure),
                Err(_) if spin < SPINS / 2 => std::hint::spin_loop(),
                Err(_) => {
                    let _ = self.mem.pause(0);
                }
            }
        }
        Some(Blocked::Holder(handle))
    }

    /// Returns the outcome if a record does not meet its condition. The records are marked, so no
    /// process can write to them.
    fn unexpected(&self, changes: &[TxEntry<'_>]) -> Result<Option<CommitOutcome>, EngineError> {
        for change in changes {
            let TxEntry { handle, expect, .. } = *change;
            let lost = || outside(handle.at);
            let line = self.mem.words_mut(handle.at, record::LINE).ok_or_else(lost)?;
            // The record may have been collected and reused before it was marked.
            if line.load(record::ID, Acquire) != handle.id {
                return Ok(Some(gone(expect)));
            }
            let state = State(line.load(record::STATE, Relaxed));
            match expect.refuses(state.version(), state.removed(), false) {
                None => {}
                Some(Wrote::Absent | Wrote::Other(_)) => return Ok(Some(CommitOutcome::Conflict)),
                Some(_) => return Ok(Some(CommitOutcome::Stale)),
            }
        }
        Ok(None)
    }

    fn commit(
        &self,
        changes: &[TxEntry<'_>],
        replaced: &mut Vec<Replaced>,
    ) -> Result<(), EngineError> {
        let (commits, entries) = (self.commits()?, self.entries()?);
        for (number, change) in changes.iter().enumerate() {
            let (Some(raw), handle) = (&change.raw, change.handle) else { continue };
            let lost = || outside(handle.at);
            let line = self.mem.words_mut(handle.at, record::LINE).ok_or_else(lost)?;
            let state = State(line.load(record::STATE, Relaxed));
            let to = handle.free_slot(state);
            let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
            replaced
                .push(self.fill_slot(handle.slot_at(to), version, raw, false).ok_or_else(lost)?);
            entries.store(number, handle.at | marks::WRITES | to as u64, Relaxed);
            if self.file {
                self.mark_dirty(handle.at).ok_or_else(lost)?;
            }
        }
        // From here on a snapshot waits, since it must not see a part of the transaction.
        self.live_mut()?.fetch_add(live::TSEQ, 1, AcqRel);
        // SYNC POINT S13: the commit. From here on the next owner of T publishes.
        commits.store(commit::STATUS, commit::COMMITTED, Release);
        self.apply(|number| changes.get(number).map(|change| change.handle))?;
        for change in changes {
            if let Some(Raw { payload: Payload::Extent { extent, .. }, .. }) = change.raw {
                self.filled(extent);
            }
        }
        Ok(())
    }
}

/// Returns the outcome for a variable that no longer exists: `Conflict` if the transaction has read
/// it, else `Stale`. After `Stale` the caller looks up the name again.
fn gone(expect: Expect) -> CommitOutcome {
    if matches!(expect, Expect::Version(_)) {
        CommitOutcome::Conflict
    } else {
        CommitOutcome::Stale
    }
}

/// Returns the outcome if two changes are of one record. Two variables never have the same record
/// at once, so one of them no longer exists. The second mark would meet the first and never
/// succeed. `changes` are sorted by offset.
fn same_place(changes: &[TxEntry<'_>]) -> Option<CommitOutcome> {
    let same = |pair: &&[TxEntry<'_>]| match pair {
        [one, two] => one.handle.at == two.handle.at,
        _ => false,
    };
    let pair = changes.windows(2).find(same)?;
    let read = pair.iter().find(|change| matches!(change.expect, Expect::Version(_)));
    Some(read.map_or(CommitOutcome::Stale, |change| gone(change.expect)))
}
