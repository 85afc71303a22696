//! The journal of a transaction: its publication once it is committed, and the removal of its
//! marks.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{Desc, Meta, State, commit, live, marks, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    record::read::ByHandle,
    store::Store,
};
use mapvar_os::Locks;

impl<M: Mem> Store<M> {
    pub(crate) fn commits(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(commit::AT, commit::WORDS).ok_or(EngineError::ReadOnly)
    }

    pub(crate) fn entries(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(marks::AT, marks::MOST).ok_or(EngineError::ReadOnly)
    }

    /// Publishes a committed transaction. Idempotent: a record without the mark was published
    /// before, and other writers may have changed it since. `own` returns the record of an entry of
    /// the journal if this thread has committed it; a successor knows it by the journal alone.
    pub(crate) fn apply(&self, own: impl Fn(usize) -> Option<Handle>) -> Result<(), EngineError> {
        let (commits, entries) = (self.commits()?, self.entries()?);
        let count = self.entry_count()?;
        for number in 0..count {
            let entry = entries.load(number, Relaxed);
            let Some(handle) = self.record_of(own(number), entry)? else { continue };
            let marked = self.mem.is_marked(handle.lock(), Locks::MARK_T);
            if entry & marks::WRITES == 0 || !marked {
                continue;
            }
            let lost = || outside(handle.at);
            let line = self.mem.words_mut(handle.at, record::LINE).ok_or_else(lost)?;
            let state = State(line.load(record::STATE, Relaxed));
            let to = (entry & 3) as usize;
            let at = handle.slot_at(to);
            let slot = self.mem.words_mut(at, slot::LEAST).ok_or_else(lost)?;
            // Not above the state's: the dead owner has already published this record.
            let version = slot.load(slot::VERSION, Relaxed);
            if version > state.version() && version <= State::LARGEST {
                let removing = Desc(slot.load(slot::DESC, Relaxed)).kind() == slot::TOMBSTONE;
                let record = ByHandle { mem: &self.mem, handle };
                self.publish(line, record, state, version, to, removing);
            }
        }
        for number in 0..count {
            self.unmark(self.record_of(own(number), entries.load(number, Relaxed))?);
        }
        self.end_transaction(commits)
    }

    /// Removes every mark in the journal, and publishes nothing.
    pub(crate) fn unmark_all(&self) -> Result<(), EngineError> {
        let (commits, entries) = (self.commits()?, self.entries()?);
        for number in 0..self.entry_count()? {
            self.unmark(self.journalled(entries.load(number, Relaxed))?);
        }
        self.end_transaction(commits)
    }

    fn unmark(&self, handle: Option<Handle>) {
        if let Some(handle) = handle
            && self.mem.is_marked(handle.lock(), Locks::MARK_T)
        {
            // No wake: the publication has woken, and so has whoever found the lock with a dead
            // owner, or took over the journal of a dead owner of T. If one of them died before its
            // wake, the mark is still there, and its successor wakes.
            self.mem.unmark(handle.lock());
        }
    }

    fn end_transaction(&self, commits: M::WordsMut<'_>) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        if live.load(live::TSEQ, Relaxed) & 1 == 1 {
            live.fetch_add(live::TSEQ, 1, Release);
        }
        // After the last unmark: the next owner of T publishes only while the status stands.
        commits.store(commit::STATUS, 0, Release);
        commits.store(commit::COUNT, 0, Release);
        Ok(())
    }

    fn entry_count(&self) -> Result<usize, EngineError> {
        let said = self.commits()?.load(commit::COUNT, Relaxed);
        Ok(usize::try_from(said).unwrap_or(marks::MOST).min(marks::MOST))
    }

    fn record_of(&self, own: Option<Handle>, entry: u64) -> Result<Option<Handle>, EngineError> {
        if own.is_some() { Ok(own) } else { self.journalled(entry) }
    }

    /// Returns the record of an entry of the journal; `None` if the entry is invalid: a hostile
    /// peer may have written it.
    fn journalled(&self, entry: u64) -> Result<Option<Handle>, EngineError> {
        let at = entry & !63;
        let Some(line) = self.mem.words(at, record::LINE) else { return Ok(None) };
        let meta = Meta(line.load(record::META, Relaxed));
        let id = line.load(record::ID, Acquire);
        match Handle::checked(at, id, meta, &self.mem) {
            Some(handle) if self.records_lie_at(handle)? => Ok(Some(handle)),
            _ => Ok(None),
        }
    }

    pub(crate) fn replay_transaction(&self) -> Result<(), EngineError> {
        let commits = self.commits()?;
        // SYNC POINT S13. Pairs with the Release store of the status in `commit`: the entries and
        // the filled slots are seen.
        if commits.load(commit::STATUS, Acquire) == commit::COMMITTED {
            self.force_wake_journalled()?;
            return self.apply(|_| None);
        }
        if commits.load(commit::COUNT, Relaxed) != 0
            || self.live()?.load(live::TSEQ, Relaxed) & 1 == 1
        {
            self.force_wake_journalled()?;
            return self.unmark_all();
        }
        Ok(())
    }

    /// Wakes the waiters that the dead owner of T was about to wake. Their records still have the
    /// mark, because it is removed after the wake.
    fn force_wake_journalled(&self) -> Result<(), EngineError> {
        let entries = self.entries()?;
        for number in 0..self.entry_count()? {
            if let Some(handle) = self.journalled(entries.load(number, Relaxed))?
                && self.mem.is_marked(handle.lock(), Locks::MARK_T)
            {
                self.force_wake_waiters(handle);
            }
        }
        Ok(())
    }

    /// Returns a number that is even between transactions, and differs after each.
    pub fn transactions_seen(&self) -> Result<u64, EngineError> {
        Ok(self.live()?.load(live::TSEQ, Acquire))
    }
}
