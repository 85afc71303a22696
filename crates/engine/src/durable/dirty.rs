//! Which chunks a flush has to look at: `docs/FORMAT.md`, "Dirty summary".

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, chunk, dirty, kind, summary},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};

/// A chunk of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordChunk {
    pub(crate) number: u64,
    pub(crate) class: usize,
}

impl<M: Mem> Store<M> {
    /// Marks the chunk of the record at `at` as one with an `Atomic`. The caller holds L, and the
    /// record has no id yet.
    pub(crate) fn mark_atomics(&self, at: u64) -> Result<(), EngineError> {
        let number = at / CHUNK;
        if !self.file {
            return Ok(());
        }
        let header = number * CHUNK;
        let words = self.mem.words_mut(header, chunk::WORDS).ok_or_else(|| outside(header))?;
        words.fetch_or(chunk::ATOMICS, layout::dirty_bit(at), Release);
        let table = layout::table_word(number);
        let words = self.mem.words_mut(table, 1).ok_or_else(|| outside(table))?;
        words.fetch_or(0, kind::HAS_ATOMICS, Release);
        let (word, bit) = summary::place(number);
        self.summary(summary::ATOMICS)?.fetch_or(word, bit, Release);
        Ok(())
    }

    /// Returns the bits of the records of chunk `number` in which an `Atomic` was ever made.
    pub(crate) fn atomics_of(&self, number: u64) -> Result<u64, EngineError> {
        let table = layout::table_word(number);
        let words = self.mem.words(table, 1).ok_or_else(|| outside(table))?;
        if words.load(0, Acquire) & kind::HAS_ATOMICS == 0 {
            return Ok(0);
        }
        let header = number * CHUNK;
        let words = self.mem.words(header, chunk::WORDS).ok_or_else(|| outside(header))?;
        Ok(words.load(chunk::ATOMICS, Acquire))
    }

    /// Says of all chunks that they may have records to flush: a flusher may have died after it
    /// cleared bits, and before it set one again.
    pub(crate) fn suspect_all(&self) -> Result<(), EngineError> {
        let summary = self.summary(summary::DIRTY)?;
        (0..summary::WORDS).for_each(|word| summary.store(word, u64::MAX, Release));
        Ok(())
    }

    /// Clears both summaries, for a recovery.
    pub(crate) fn clear_summaries(&self) -> Result<(), EngineError> {
        for at in [summary::DIRTY, summary::ATOMICS] {
            let summary = self.summary(at)?;
            (0..summary::WORDS).for_each(|word| summary.store(word, 0, Relaxed));
        }
        Ok(())
    }

    /// Returns the chunks of records that may have something to flush, in their order.
    pub(crate) fn chunks_to_flush(&self) -> Result<Vec<RecordChunk>, EngineError> {
        self.chunks_summed(0)
    }

    /// As [`chunks_to_flush`](Self::chunks_to_flush), as if these bits stood in each word of the
    /// summary too.
    fn chunks_summed(&self, too: u64) -> Result<Vec<RecordChunk>, EngineError> {
        let words = |at| self.mem.words(at, summary::WORDS).ok_or_else(|| outside(at));
        let (dirty, atomics) = (words(summary::DIRTY)?, words(summary::ATOMICS)?);
        self.chunks_of(|word| dirty.load(word, Acquire) | too, |word| atomics.load(word, Acquire))
    }

    /// Returns the chunks of records for which a bit of `dirty` stands, and those with Atomics for
    /// which one of `atomics` does.
    fn chunks_of(
        &self,
        mut dirty: impl FnMut(usize) -> u64,
        atomics: impl Fn(usize) -> u64,
    ) -> Result<Vec<RecordChunk>, EngineError> {
        let mut found = Vec::new();
        for word in 0..summary::WORDS {
            let dirty = dirty(word);
            // After the bits: a bit may stand for a chunk that was added meanwhile.
            let chunks = self.chunk_count()?;
            let mut bits = dirty | atomics(word);
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let wanted = if dirty >> bit & 1 == 0 { kind::HAS_ATOMICS } else { 0 };
                let of_bit = summary::chunks(word, u64::from(bit));
                if of_bit.start >= chunks {
                    break;
                }
                // The chunks of a bit are of one group, so their words in the table are neighbors.
                let numbers = of_bit.start..of_bit.end.min(chunks);
                let at = layout::table_word(numbers.start);
                let count = numbers.clone().count();
                let table = self.mem.words(at, count).ok_or_else(|| outside(at))?;
                for (within, number) in numbers.enumerate() {
                    let described = table.load(within, Acquire);
                    if described & 0xff == kind::RECORDS && described & wanted == wanted {
                        let class = (described >> 8) as usize & (layout::RECORD_CLASSES.len() - 1);
                        found.push(RecordChunk { number, class });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Clears the bits of the summary whose chunks have nothing to flush. The caller has F.
    pub fn settle(&self) -> Result<(), EngineError> {
        let settled = self.settle_once();
        if settled.is_err() {
            // Some bits may be cleared that had to be set again.
            self.suspect_all()?;
        }
        settled
    }

    fn settle_once(&self) -> Result<(), EngineError> {
        let summary = self.summary(summary::DIRTY)?;
        // The chunks of the very bits that are cleared: others may be set meanwhile.
        let clear = |word| match summary.load(word, Relaxed) {
            0 => 0,
            // SYNC POINT S20. Acquire pairs with the Release of the bit: its chunk is seen in the table.
            bits => summary.fetch_and(word, !bits, AcqRel) & bits,
        };
        let cleared = self.chunks_of(clear, |_| 0)?;
        for RecordChunk { number, .. } in cleared {
            let words = self.dirty_words(number)?;
            // SYNC POINT S20. By a read-modify-write: whoever sets a bit later sees that the bit of
            // the chunk was cleared.
            let dirty = words.fetch_or(dirty::DIRTY, 0, AcqRel);
            if dirty | words.load(dirty::FLUSHING, Relaxed) != 0 {
                let (word, bit) = summary::place(number);
                summary.fetch_or(word, bit, Relaxed);
            }
        }
        Ok(())
    }

    /// Whether a value was set that no complete flush contains.
    pub fn is_dirty(&self) -> Result<bool, EngineError> {
        // While a flush runs, or after its process died, bits of the summary may be clear that are
        // about to be set again. A flush that begins after this load chooses all that was set before.
        let flushed_now = self.live()?.load(layout::live::FLUSHER, Acquire) != 0;
        let too = if flushed_now { u64::MAX } else { 0 };
        for RecordChunk { number, .. } in self.chunks_summed(too)? {
            let at = dirty::at(number);
            let words = self.mem.words(at, dirty::WORDS).ok_or_else(|| outside(at))?;
            if words.load(dirty::DIRTY, Relaxed) | words.load(dirty::FLUSHING, Relaxed) != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the words of chunk `number` that say which records are dirty and in flight.
    pub(crate) fn dirty_words(&self, number: u64) -> Result<M::WordsMut<'_>, EngineError> {
        let at = dirty::at(number);
        self.mem.words_mut(at, dirty::WORDS).ok_or_else(|| outside(at))
    }

    fn summary(&self, at: u64) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(at, summary::WORDS).ok_or(EngineError::ReadOnly)
    }
}
