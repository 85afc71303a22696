//! Making space when it is short: first from removed variables and old values, then by growth at
//! the region's end.

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, dirty, kind, live, room, spare},
    mem::{
        Load, Mem,
        Ordering::{Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};

/// How often an operation is retried after space was made.
const TRIES: usize = 8;

/// The most chunks that are added at once, unless more are needed: 256 MiB.
const STEP: u64 = (256 << 20) / CHUNK;

/// While space is left, fewer left-behind records than this are not worth a search.
const MANY: u64 = 1_000;

/// Where an operation gets space from if the region is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// First from what removed variables and old values left, then by growth.
    Reclaimed,
    /// By growth alone. For a transaction: until it commits, its new records are those of removed
    /// variables, and it would collect them itself.
    Grown,
}

impl<M: Mem> Store<M> {
    /// Runs `attempt`, which needs about `bytes`. If the region is full, makes space and runs it
    /// again. With [`Space::Reclaimed`] it first reclaims what removed variables and old values left, then the region grows.
    /// So each growth pays for one pass over everything. That is the cost of a sweep, spread over
    /// many insertions.
    pub(crate) fn with_space<R>(
        &self,
        space: Space,
        bytes: u64,
        attempt: impl FnMut() -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        match self.with_space_or_full(space, bytes, attempt) {
            // How much is free is counted once, for the message, and without L.
            Err(EngineError::Full { needed, .. }) => Err(self.full(needed)?),
            done => done,
        }
    }

    fn with_space_or_full<R>(
        &self,
        space: Space,
        bytes: u64,
        mut attempt: impl FnMut() -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        if space == Space::Reclaimed {
            self.collect_what_was_left()?;
        }
        for round in 0..TRIES {
            let seen = self.chunk_count()?;
            let needed = match attempt() {
                Err(EngineError::Full { needed, .. }) => needed.max(bytes),
                done => return done,
            };
            let reclaims = round == 0 && space == Space::Reclaimed;
            let freed = if reclaims { self.reclaim_all()? } else { 0 };
            // A few freed bytes are not enough: without growth, the next pass over everything would
            // follow soon.
            let enough = freed >= needed.max(self.chunk_count()? * CHUNK / 8);
            if !enough {
                match self.grow(needed, seen) {
                    Ok(true) => {}
                    Ok(false) | Err(_) if freed > 0 => {}
                    Ok(false) => return attempt(),
                    Err(trouble) => return Err(trouble),
                }
            }
        }
        attempt()
    }

    /// Frees what removed variables and old values left; returns about how many bytes.
    pub fn reclaim_all(&self) -> Result<u64, EngineError> {
        Ok(self.collect_all()? + self.sweep()?)
    }

    /// Collects the records that removed variables left behind until a flush, if there are many. A
    /// chunk divided for records is never whole again, so these records are reused before another
    /// chunk is divided. Each removal pays for a small part of the pass.
    fn collect_what_was_left(&self) -> Result<(), EngineError> {
        let counts = self.mem.words_mut(room::AT, room::WORDS).ok_or(EngineError::ReadOnly)?;
        let left = counts.load(room::LEFT, Relaxed);
        if left >= MANY && left >= counts.load(room::RECORDS, Relaxed) / 4 {
            // Cleared first, so that one process searches and not every process that sees the
            // count.
            counts.store(room::LEFT, 0, Relaxed);
            self.collect_all()?;
        }
        Ok(())
    }

    /// Makes the region longer by at least `bytes`, and by half of its length where that is more;
    /// returns false if it may not grow. The section grows first, then the number of chunks. A
    /// death in between leaves a longer section, which the next growth uses.
    ///
    /// `seen` is the number of chunks that the caller found full. If there are more by now, another
    /// process has just grown the region, and the caller tries again in that space. Otherwise each
    /// of many processes that find it full at once would grow it by half.
    pub fn grow(&self, bytes: u64, seen: u64) -> Result<bool, EngineError> {
        let _held = self.lock_structure()?;
        let chunks = self.chunk_count()?;
        if chunks > seen {
            return Ok(true);
        }
        let most = (self.max_size.min(self.mem.limit()) / CHUNK).min(layout::MOST_CHUNKS);
        // A table may lie in the new part.
        let needed = bytes.div_ceil(CHUNK) + 2;
        let needed = needed + needed / 1024;
        let most_more = most.saturating_sub(chunks);
        if most_more == 0 {
            return Ok(false);
        }
        let least = needed.min(most_more);
        let more = least.max((chunks / 2).min(STEP)).min(most_more);
        let grown = match self.mem.grow((chunks + more) * CHUNK) {
            Ok(()) => more,
            Err(_) if more > least => {
                self.mem.grow((chunks + least) * CHUNK)?;
                least
            }
            Err(trouble) => return Err(trouble),
        };
        self.hint_free(chunks, grown)?;
        // All of them: the tables may have words for chunks that existed before a power cut took
        // the end of the file.
        for number in chunks..chunks + grown {
            let kind = if layout::holds_table(number) {
                kind::TABLE
            } else {
                self.may_have(spare::FREE, number)?;
                kind::FREE
            };
            let at = layout::table_word(number);
            let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
            if word.load(0, Relaxed) != kind {
                word.store(0, kind, Relaxed);
            }
            let at = dirty::at(number);
            let words = self.mem.words_mut(at, dirty::WORDS).ok_or_else(|| outside(at))?;
            for word in 0..dirty::WORDS {
                if words.load(word, Relaxed) != 0 {
                    words.store(word, 0, Relaxed);
                }
            }
        }
        // SYNC POINT S11. Pairs with the Acquire load in `chunk_count`: a process that sees the
        // number finds chunks there, free ones.
        self.live_mut()?.store(live::CHUNKS, chunks + grown, Release);
        Ok(true)
    }
}
