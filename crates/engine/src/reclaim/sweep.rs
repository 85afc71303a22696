//! The sweep: it frees the extents to which no value refers.

use crate::{
    error::EngineError,
    layout::{self, CHUNK, CHUNK_HEADER, extent, journal, kind, record},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Release},
        StoreWords as _,
    },
    record::write::Replaced,
    space::chunks::SizeClass,
    store::Store,
};
use mapvar_os::Locks;

/// Chunks that a sweep checks before it unlocks L.
const BATCH: u64 = 256;

impl<M: Mem> Store<M> {
    /// Frees every extent that is not in use, and those of old values that no reader or flush
    /// needs; returns the bytes freed. Unlocks L from time to time, so that insertions proceed.
    pub fn sweep(&self) -> Result<u64, EngineError> {
        self.sweep_in_batches(BATCH)
    }

    /// As [`sweep`](Self::sweep), but unlocks L after each `batch` of chunks.
    pub fn sweep_in_batches(&self, batch: u64) -> Result<u64, EngineError> {
        self.trim_all()?;
        let mut freed = 0;
        let mut number = layout::META_CHUNKS;
        while number < self.chunk_count()? {
            let _held = self.lock_structure()?;
            let end = self.chunk_count()?.min(number.saturating_add(batch));
            number = self.past_run(number)?;
            while number < end {
                let (found, class) = self.chunk_kind(number)?;
                let mut next = number + 1;
                match found {
                    kind::EXTENTS => {
                        let cut = SizeClass::extents(class);
                        for at in self.taken(number, cut)? {
                            if self.reclaim(at + extent::HEAD)? {
                                freed += cut.bytes();
                            }
                        }
                        // Its process died before it reserved the first extent, or after it freed
                        // the last.
                        if self.chunk_kind(number)?.0 == kind::EXTENTS
                            && self.free_if_empty(number, cut)?
                        {
                            freed += CHUNK;
                        }
                    }
                    kind::RUN => {
                        let span = self.run_len(number)?;
                        next = number.saturating_add(span.max(1));
                        if self.reclaim(number * CHUNK + CHUNK_HEADER)? {
                            freed += span * CHUNK;
                        }
                    }
                    // Not after a head: a process died while it freed the run.
                    kind::REST => {
                        self.hint_free(number, 1)?;
                        self.set_chunk(number, kind::FREE, 0)?;
                        freed += CHUNK;
                    }
                    _ => {}
                }
                number = next;
            }
        }
        Ok(freed)
    }

    /// Returns the end of the run that chunk `number` lies within, else `number`. A run may have
    /// been reserved across this boundary while L was unlocked. The caller holds L.
    fn past_run(&self, number: u64) -> Result<u64, EngineError> {
        let mut first = number;
        while first > layout::META_CHUNKS {
            match self.chunk_kind(first)?.0 {
                kind::REST | kind::TABLE => first -= 1,
                kind::RUN if first < number => {
                    return Ok(number.max(first.saturating_add(self.run_len(first)?)));
                }
                _ => break,
            }
        }
        Ok(number)
    }

    /// Frees the extents of old values, of every record whose lock is free.
    fn trim_all(&self) -> Result<(), EngineError> {
        let mut trimmed = Vec::new();
        self.each_record(|handle| {
            if self.has_stale(handle) {
                trimmed.push(handle);
            }
            true
        })?;
        for handle in trimmed {
            let _held = self.lock_structure()?;
            let line = self.mem.words(handle.at, record::LINE);
            if line.is_none_or(|line| line.load(record::ID, Acquire) != handle.id) {
                // Collected since. A replay would collect it again, and its block may belong to
                // another record.
                continue;
            }
            let journal = self.journal()?;
            journal.store(journal::RECORD, handle.at, Release);
            // The journal names the mark before it is set. Without that, a replay could not find
            // it. The entry of a collection serves here too: a replay collects only a removed
            // variable.
            journal.store(journal::OPERATION, journal::UNLINK, Release);
            if let Ok(taken) = self.mem.mark(handle.lock(), Locks::MARK_L) {
                if taken == mapvar_os::Taken::Recovered {
                    self.force_wake_waiters(handle);
                }
                for Replaced(at) in self.drop_stale(handle, None) {
                    self.reclaim(at)?;
                }
                self.mem.unmark(handle.lock());
            }
            journal.store(journal::OPERATION, journal::NOTHING, Release);
        }
        Ok(())
    }
}
