//! Making space when it is short: first what was removed and left behind, then growth, at the region's end.

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, kind, live, room},
    mem::{
        Load, Mem,
        Ordering::{Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};

/// How often room is looked for again, after some was made.
const TRIES: usize = 8;

/// Chunks that are added at once, at the most, where fewer are needed: 256 MiB.
const STEP: u64 = (256 << 20) / CHUNK;

/// Fewer records that were left behind are not looked for while there is room.
const MANY: u64 = 1_000;

impl<M: Mem> Store<M> {
    /// Runs `attempt`, which needs about `bytes`; where the region is full, makes room and runs it
    /// again. First what was removed and left behind is taken back, then the region grows. So each
    /// growth pays for one look at everything, and that is the price of a sweep spread over many
    /// insertions.
    pub(crate) fn with_space<R>(
        &self,
        bytes: u64,
        mut attempt: impl FnMut() -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        self.collect_what_was_left()?;
        for round in 0..TRIES {
            let seen = self.chunk_count()?;
            let needed = match attempt() {
                Err(EngineError::Full { needed, .. }) => needed.max(bytes),
                done => return done,
            };
            let freed = if round == 0 { self.collect_all()? + self.sweep()? } else { 0 };
            // A little that came free is no reason to look at everything again soon.
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

    /// Looks for records that removed variables left behind for a flush, when there are many: a
    /// chunk that is cut for records is never whole again, so their places are used again before
    /// another is cut. Each removal pays for a look at a few places.
    fn collect_what_was_left(&self) -> Result<(), EngineError> {
        let counts = self.mem.words_mut(room::AT, room::WORDS).ok_or(EngineError::ReadOnly)?;
        let left = counts.load(room::LEFT, Relaxed);
        if left >= MANY && left >= counts.load(room::RECORDS, Relaxed) / 4 {
            // First, so that of many who see it one looks.
            counts.store(room::LEFT, 0, Relaxed);
            self.collect_all()?;
        }
        Ok(())
    }

    /// Makes the region longer by `bytes` at least, and by half of what it has where that is more;
    /// false where it may not grow so far. The section first, then the word that says so: a death
    /// in between leaves a longer section, which the next one uses.
    ///
    /// Who found `seen` chunks full may find more by now: then somebody else has just made it
    /// longer, and that is room to look at first. Else each of many who find it full at once would
    /// make it longer by half, which is beyond all bounds.
    pub fn grow(&self, bytes: u64, seen: u64) -> Result<bool, EngineError> {
        let _held = self.lock_structure()?;
        let chunks = self.chunk_count()?;
        if chunks > seen {
            return Ok(true);
        }
        let most = (self.max_size.min(self.mem.limit()) / CHUNK).min(layout::MOST_CHUNKS);
        // A table may come to lie in the new part.
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
        // All of them: the tables may have words for chunks that there were before a power cut took
        // the end of the file.
        for number in chunks..chunks + grown {
            let kind = if layout::holds_table(number) { kind::TABLE } else { kind::FREE };
            let at = layout::table_word(number);
            let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
            if word.load(0, Relaxed) != kind {
                word.store(0, kind, Relaxed);
            }
        }
        // SYNC POINT S11: who sees the number finds chunks there, free ones.
        self.live_mut()?.store(live::CHUNKS, chunks + grown, Release);
        self.hint_free(chunks)?;
        Ok(true)
    }
}
