//! Which chunks a search for space looks at: `docs/FORMAT.md`, "What is spare". The caller holds the
//! structure lock.

use crate::{
    error::{EngineError, outside},
    layout::{self, kind, spare},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
        StoreWords as _,
    },
    store::Store,
};
use std::ops::ControlFlow;

/// What a chunk has of what a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    /// Something, although perhaps not enough for this search.
    Some,
    /// Nothing.
    None,
}

impl<M: Mem> Store<M> {
    pub(crate) fn spare_words(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(spare::AT, spare::WORDS).ok_or(EngineError::ReadOnly)
    }

    /// Says that chunk `number` may be free, or may have a free part. Called before that is so: what
    /// no bit stands for is never found.
    pub(crate) fn may_have(&self, what: u32, number: u64) -> Result<(), EngineError> {
        let (word, bit) = spare::place(number);
        let (words, bit) = (self.spare_words()?, 1 << (what + bit));
        if words.load(word, Relaxed) & bit == 0 {
            words.fetch_or(word, bit, Relaxed);
        }
        Ok(())
    }

    /// Says that a part of chunk `number` may be free. Called before it is.
    pub(crate) fn may_have_parts(&self, number: u64) -> Result<(), EngineError> {
        let at = layout::table_word(number);
        let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
        // The bit of the chunk is cleared before the one that stands for it, and set after it.
        if word.load(0, Relaxed) & kind::HAS_PARTS == 0 {
            self.may_have(spare::PARTS, number)?;
            word.fetch_or(0, kind::HAS_PARTS, Relaxed);
        }
        Ok(())
    }

    /// Says that no part of chunk `number` is free.
    pub(crate) fn has_no_parts(&self, number: u64) -> Result<(), EngineError> {
        let at = layout::table_word(number);
        let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
        word.fetch_and(0, !kind::HAS_PARTS, Relaxed);
        Ok(())
    }

    /// Says of all chunks that they may be free, and of none that it has free parts.
    pub(crate) fn all_may_be_free(&self) -> Result<(), EngineError> {
        let words = self.spare_words()?;
        (0..spare::GROUPS).for_each(|word| words.store(word, spare::ALL_FREE, Relaxed));
        words.store(spare::LONGEST, 0, Relaxed);
        Ok(())
    }

    /// Calls `each` with the number of each of the `chunks` chunks from `from` on that may have
    /// `what`, and with its word in the table, until it breaks. Clears the bits that stand for
    /// nothing.
    pub(crate) fn search(
        &self,
        what: u32,
        from: u64,
        chunks: u64,
        mut each: impl FnMut(u64, u64) -> Result<ControlFlow<(), Spare>, EngineError>,
    ) -> Result<(), EngineError> {
        let from = from.max(layout::META_CHUNKS);
        let words = self.spare_words()?;
        for word in spare::place(from).0..spare::GROUPS {
            let mut bits = (words.load(word, Relaxed) >> what) as u32;
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let of_bit = spare::chunks(word, bit);
                let first = of_bit.start.max(layout::META_CHUNKS);
                let seen = first.max(from)..of_bit.end.min(chunks);
                if of_bit.start >= chunks {
                    return Ok(());
                }
                if seen.is_empty() {
                    continue;
                }
                // They are of one group, so their words in the table are neighbors.
                let (at, count) = (layout::table_word(seen.start), seen.clone().count());
                let table = self.mem.words(at, count).ok_or_else(|| outside(at))?;
                let mut stands_for = Spare::None;
                for (within, number) in seen.clone().enumerate() {
                    match each(number, table.load(within, Acquire))? {
                        ControlFlow::Break(()) => return Ok(()),
                        ControlFlow::Continue(Spare::Some) => stands_for = Spare::Some,
                        ControlFlow::Continue(Spare::None) => {}
                    }
                }
                // Not by a search that began behind the first of them. Chunks that are added later
                // get their bit.
                if stands_for == Spare::None && seen.start == first {
                    words.fetch_and(word, !(1 << (what + bit)), Relaxed);
                }
            }
        }
        Ok(())
    }
}
