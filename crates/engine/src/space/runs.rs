//! Free chunks: one, or several in a row. The caller holds the structure lock.

use crate::{
    error::EngineError,
    layout::{self, kind, live, spare},
    mem::{Load, Mem, Ordering::Relaxed, StoreWords as _},
    space::spare::Spare,
    store::Store,
};
use std::ops::ControlFlow;

/// How many neighbors of freed chunks are looked at, on each side, to find out how many free ones
/// follow each other.
const NEIGHBORS: u64 = 64;

/// What a search for a run has met.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// First chunk, and how many follow it, tables not counted.
    first: u64,
    chunks: u64,
    /// How many of the last ones follow each other without a table between.
    unbroken: u64,
    /// The chunk after the last one.
    next: u64,
    longest: u64,
}

impl Run {
    fn add(&mut self, number: u64) {
        if number != self.next {
            self.unbroken = 0;
            if self.chunks == 0 || number != layout::past_table(self.next) {
                (self.first, self.chunks) = (number, 0);
            }
        }
        self.unbroken += 1;
        self.chunks += 1;
        self.next = number + 1;
        self.longest = self.longest.max(self.chunks);
    }
}

impl<M: Mem> Store<M> {
    /// Calls `each` with the run so far at each free chunk from `from` on, until it returns true;
    /// returns that run. Else returns in `Err` how long the longest is.
    fn each_free(
        &self,
        from: u64,
        chunks: u64,
        enough: impl Fn(&Run) -> bool,
    ) -> Result<Result<Run, u64>, EngineError> {
        let mut run = Run::default();
        let mut found = false;
        self.search(spare::FREE, from, chunks, |number, word| {
            if word & 0xff != kind::FREE {
                return Ok(ControlFlow::Continue(Spare::None));
            }
            run.add(number);
            found = enough(&run);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(Spare::Some) })
        })?;
        Ok(if found { Ok(run) } else { Err(run.longest) })
    }

    /// Whether so many free chunks may follow each other.
    fn may_be_free(&self, count: u64) -> Result<bool, EngineError> {
        let longest = self.spare_words()?.load(spare::LONGEST, Relaxed);
        Ok(longest == 0 || count <= longest)
    }

    /// Notes how long the longest free run is, found by a search that saw every free chunk.
    fn note_longest(&self, longest: u64) -> Result<(), EngineError> {
        self.spare_words()?.store(spare::LONGEST, longest.max(1), Relaxed);
        Ok(())
    }

    /// Finds `count` contiguous free chunks.
    pub fn free_run(&self, count: u64) -> Result<Option<u64>, EngineError> {
        if !self.may_be_free(count)? {
            return Ok(None);
        }
        let (live, chunks) = (self.live_mut()?, self.chunk_count()?);
        let hint = live.load(live::FREE_HINT, Relaxed);
        match self.each_free(hint, chunks, |run| run.unbroken >= count)? {
            Ok(run) => {
                if count == 1 {
                    live.store(live::FREE_HINT, run.first, Relaxed);
                }
                Ok(Some(run.next - count))
            }
            Err(longest) => {
                if longest == 0 {
                    // No search repeats this until a chunk is freed.
                    live.store(live::FREE_HINT, chunks, Relaxed);
                }
                self.note_longest(longest)?;
                Ok(None)
            }
        }
    }

    /// Finds free chunks for an extent of `count` chunks, which may continue after a table; returns
    /// the first, and their number with the tables between. The search begins where the last one
    /// ended.
    pub fn free_span(&self, count: u64) -> Result<Option<(u64, u64)>, EngineError> {
        if !self.may_be_free(count)? {
            return Ok(None);
        }
        let (live, chunks) = (self.live_mut()?, self.chunk_count()?);
        let least = live.load(live::FREE_HINT, Relaxed).max(layout::META_CHUNKS);
        let hint = live.load(live::RUN_HINT, Relaxed).clamp(least, chunks.max(least));
        // The second time from the beginning, and to the end: a run that begins before the hint
        // ends after it, and tables may lie between.
        if hint > least
            && let Ok(run) = self.each_free(hint, chunks, |run| run.chunks >= count)?
        {
            live.store(live::RUN_HINT, run.next, Relaxed);
            return Ok(Some((run.first, run.next - run.first)));
        }
        match self.each_free(least, chunks, |run| run.chunks >= count)? {
            Ok(run) => {
                live.store(live::RUN_HINT, run.next, Relaxed);
                Ok(Some((run.first, run.next - run.first)))
            }
            Err(longest) => {
                self.note_longest(longest)?;
                Ok(None)
            }
        }
    }

    /// Prepares searches for `count` chunks from `first` on that are about to become free: lowers
    /// the hint for free chunks, and raises the bound of the longest run. Called before they are
    /// freed: a free chunk below the hint is never found.
    pub(crate) fn hint_free(&self, first: u64, count: u64) -> Result<(), EngineError> {
        let (live, spare) = (self.live_mut()?, self.spare_words()?);
        let hint = live.load(live::FREE_HINT, Relaxed);
        live.store(live::FREE_HINT, hint.min(first), Relaxed);
        let longest = spare.load(spare::LONGEST, Relaxed);
        if longest != 0 {
            let end = first.saturating_add(count).min(self.chunk_count()?);
            let before = self.free_neighbors((layout::META_CHUNKS..first).rev())?;
            let after = self.free_neighbors(end..self.chunk_count()?)?;
            let merged = before.zip(after).map_or(0, |(before, after)| before + count + after);
            // 0 as well if it is not known.
            if merged == 0 || merged > longest {
                spare.store(spare::LONGEST, merged, Relaxed);
            }
        }
        Ok(())
    }

    /// Returns how many chunks at the beginning are free, tables between them not counted; `None` if
    /// they do not end soon.
    fn free_neighbors(
        &self,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<Option<u64>, EngineError> {
        let mut free = 0;
        for (seen, number) in (0..).zip(numbers) {
            match self.chunk_kind(number)?.0 {
                _ if seen == NEIGHBORS => return Ok(None),
                kind::FREE => free += 1,
                kind::TABLE => {}
                _ => break,
            }
        }
        Ok(Some(free))
    }
}
