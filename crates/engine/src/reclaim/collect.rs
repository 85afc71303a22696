//! Collecting the records of removed variables.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    index::inline_bytes,
    layout::{self, Meta, journal, live, record, record_bytes, room},
    locks::Structure,
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};
use mapvar_os::{Locks, Taken};

impl<M: Mem> Store<M> {
    /// Collects the record of a removed variable. Tries once: nothing happens if a thread holds the
    /// record, or if it holds a variable again. With L held, a wait could be for the mark of a dead
    /// transaction, and every insertion would hang.
    pub fn collect(&self, handle: Handle) -> Result<(), EngineError> {
        let held = self.lock_structure()?;
        self.collect_within(handle, &held)
    }

    /// Collects the records of removed variables, until a wait for L times out: beside a stopped
    /// owner each would wait as long. A later search for free space collects the others.
    pub fn collect_each(&self, removed: impl IntoIterator<Item = Handle>) {
        for handle in removed {
            if self.collect(handle).is_err_and(|met| met.is_timeout()) {
                return;
            }
        }
    }

    /// As [`collect`](Self::collect), for the owner of L.
    pub(crate) fn collect_within(
        &self,
        handle: Handle,
        _: &Structure<'_, M>,
    ) -> Result<(), EngineError> {
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        if words.load(record::ID, Relaxed) != handle.id {
            return Ok(());
        }
        if !self.collectable(handle, words) {
            if self.file {
                self.count_left()?;
            }
            return Ok(());
        }
        let journal = self.journal()?;
        journal.store(journal::RECORD, handle.at, Release);
        // SYNC POINT S8. Before the mark: a mark that no journal names would never be removed.
        journal.store(journal::OPERATION, journal::UNLINK, Release);
        match self.mem.mark(handle.lock(), Locks::MARK_L) {
            Ok(taken) => {
                if taken == Taken::Recovered {
                    self.force_wake_waiters(handle);
                }
                self.finish_collect(handle.at)
            }
            Err(_) => {
                journal.store(journal::OPERATION, journal::NOTHING, Release);
                Ok(())
            }
        }
    }

    /// Counts one more record that is left behind until a flush.
    fn count_left(&self) -> Result<(), EngineError> {
        let counts = self.mem.words_mut(room::AT, room::WORDS).ok_or(EngineError::ReadOnly)?;
        counts.fetch_add(room::LEFT, 1, Relaxed);
        Ok(())
    }

    /// Frees the records that were retired before the last complete flush began; returns the bytes
    /// freed.
    fn free_retired(&self) -> Result<u64, EngineError> {
        let mut freed = 0;
        for number in layout::META_CHUNKS..self.chunk_count()? {
            let (layout::kind::RECORDS, class) = self.chunk_kind(number)? else { continue };
            let class = class & (layout::RECORD_CLASSES.len() - 1);
            let base = number * layout::CHUNK + layout::CHUNK_HEADER;
            for within in 0..layout::records_in_chunk(class) {
                let at = base + (within * record_bytes(class)) as u64;
                if self.is_over(at)? && self.free_retired_record(at)? {
                    freed += record_bytes(class) as u64;
                }
            }
        }
        Ok(freed)
    }

    /// Whether the record at `at` is retired, and the file no longer needs it.
    fn is_over(&self, at: u64) -> Result<bool, EngineError> {
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let state = line.load(record::STATE, Acquire);
        let atomic = Meta(line.load(record::META, Relaxed)).atomic();
        Ok(line.load(record::ID, Acquire) & record::RETIRED != 0
            && state & !record::QUIET <= complete
            // A lock-free operation on an `Atomic` may still be running, and it checks the id only
            // once.
            && (!atomic || state & record::QUIET != 0))
    }

    fn free_retired_record(&self, at: u64) -> Result<bool, EngineError> {
        let _held = self.lock_structure()?;
        let line = self.mem.words_mut(at, record::LINE).ok_or_else(|| outside(at))?;
        let meta = Meta(line.load(record::META, Relaxed));
        let Some(room) = self.record_at(at)?.filter(|_| self.is_over(at).unwrap_or(false)) else {
            return Ok(false);
        };
        let inline = inline_bytes(meta);
        let block = if meta.name_len() > inline {
            line.load(record::NAME + inline / 8 - 1, Relaxed)
        } else {
            0
        };
        // Journalled as an insertion. Once the id is 0, the replay undoes it, which frees bit and
        // block.
        let journal = self.journal()?;
        journal.store(journal::RECORD, at, Release);
        journal.store(journal::BLOCK, block, Relaxed);
        // It changes no count. Without this a successor would store that of an earlier insertion.
        let born = self.live()?.load(live::BORN, Relaxed);
        journal.store(journal::BORN, born, Relaxed);
        journal.store(journal::OPERATION, journal::INSERT, Release);
        line.store(record::ID, 0, Release);
        self.clear_bit(room)?;
        if block != 0 {
            self.free_block(block)?;
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(true)
    }

    /// Collects the removed variables that are not collected yet; returns about how many bytes they
    /// took.
    pub fn collect_all(&self) -> Result<u64, EngineError> {
        let mut removed = Vec::new();
        self.each_record(|handle| {
            if !handle.atomic
                && let Some(words) = self.mem.words(handle.at, handle.words())
                && self.collectable(handle, words)
            {
                removed.push(handle);
            }
            true
        })?;
        let mut waits = true;
        for handle in &removed {
            // Where the kernel sets no flag in a dead owner's word, only taking the lock reveals
            // the death. That must happen before L is taken: a thread waits for one lock at a time.
            // After a time-out no more of them are waited for: a stopped process can hold many.
            if waits {
                match self.lock_record(*handle) {
                    Ok(()) => self.mem.unlock(handle.lock()),
                    Err(met) => waits = !met.is_timeout(),
                }
            }
            self.collect(*handle)?;
        }
        let freed: u64 = removed.iter().map(|handle| handle.words() as u64 * 8).sum();
        Ok(freed + if self.file { self.free_retired()? } else { 0 })
    }
}
