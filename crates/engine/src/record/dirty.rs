//! Marking a record for the next flush: `docs/FORMAT.md`, "Dirty summary".

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the test")]

use crate::{
    layout::{self, CHUNK, dirty, summary},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Marks the record at `at` for the next flush. Called before the publication: once a set has
    /// returned, the next flush finds its bit.
    #[inline(always)]
    pub fn mark_dirty(&self, at: u64) -> Option<()> {
        let (number, bit) = (at / CHUNK, layout::dirty_bit(at));
        let (word, of_chunk) = summary::place(number);
        let words = self.mem.mapped_words(dirty::at(number), dirty::WORDS)?;
        let dirty = words.load(dirty::DIRTY, Acquire);
        // After the load above, which is Acquire: a dead writer may have set its bit without that of
        // the summary.
        let summary = self.mem.mapped_words(summary::DIRTY, summary::WORDS)?.load(word, Relaxed);
        // A flush clears the bit before it marks the record, and the mark waits for this writer's
        // lock. So a bit that is seen set has not been swept without this write.
        if dirty & bit == 0 || summary & of_chunk == 0 {
            return self.mark_dirty_slowly(at);
        }
        Some(())
    }

    #[cold]
    fn mark_dirty_slowly(&self, at: u64) -> Option<()> {
        let number = at / CHUNK;
        let (word, of_chunk) = summary::place(number);
        let words = self.mem.words_mut(dirty::at(number), dirty::WORDS)?;
        let summary = self.mem.words_mut(summary::DIRTY, summary::WORDS)?;
        // SYNC POINT S10. Pairs with the sweep in `choose_under`.
        // SYNC POINT S20. Pairs with the same in `settle`. If that came first, the bit of the summary
        // is set after it was cleared, by a read-modify-write also where it seems to be set; else
        // `settle` sees the dirty bit.
        words.fetch_or(dirty::DIRTY, layout::dirty_bit(at), AcqRel);
        summary.fetch_or(word, of_chunk, Release);
        Some(())
    }
}
