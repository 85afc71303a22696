//! The chunk table: what each chunk is used for. The caller holds the structure lock wherever
//! something changes.

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, kind, live, spare},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Release},
        StoreWords as _,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Returns the number of chunks: what the live words claim, bounded by what is mapped.
    pub fn chunk_count(&self) -> Result<u64, EngineError> {
        // SYNC POINT S11. Pairs with the Release store in `grow`: the tables of the new chunks are
        // seen.
        let said = self.live()?.load(live::CHUNKS, Acquire).min(layout::MOST_CHUNKS);
        if self.mem.reach(said * CHUNK) {
            return Ok(said);
        }
        // An error, and not a smaller number: a name in the missing part would seem absent and be
        // inserted twice.
        match self.mem.out_of_reach(said * CHUNK) {
            Some(trouble) => Err(trouble),
            None => Ok(said.min(self.mem.size() / CHUNK)),
        }
    }

    /// Returns the kind and class of a chunk.
    pub fn chunk_kind(&self, number: u64) -> Result<(u64, usize), EngineError> {
        let at = layout::table_word(number);
        let word = self.mem.words(at, 1).ok_or_else(|| outside(at))?.load(0, Acquire);
        Ok((word & 0xff, (word >> 8) as usize & 0xff))
    }

    /// Writes kind and class of a chunk into the chunk table. All parts of a divided chunk may be
    /// free.
    pub fn set_chunk(&self, number: u64, kind: u64, class: usize) -> Result<(), EngineError> {
        // Before the word: a death in between leaves a bit that is set for nothing. In the other
        // order it would leave space that no search finds.
        let parts = match kind {
            kind::FREE => {
                self.may_have(spare::FREE, number)?;
                0
            }
            kind::RECORDS | kind::BLOCKS | kind::EXTENTS => {
                self.may_have(spare::PARTS, number)?;
                kind::HAS_PARTS
            }
            _ => 0,
        };
        let at = layout::table_word(number);
        let words = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
        words.store(0, kind | (class as u64) << 8 | parts, Release);
        Ok(())
    }

    /// Returns the chunks of the run that begins with chunk `number`, tables between them included.
    pub fn run_len(&self, number: u64) -> Result<u64, EngineError> {
        let at = layout::table_word(number);
        Ok(self.mem.words(at, 1).ok_or_else(|| outside(at))?.load(0, Acquire) >> 32)
    }

    /// Makes chunk `number` the first of a run of `count` chunks.
    pub fn set_run_head(&self, number: u64, count: u64) -> Result<(), EngineError> {
        let at = layout::table_word(number);
        let words = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
        words.store(0, kind::RUN | count << 32, Release);
        Ok(())
    }

    pub(crate) fn set_run(&self, first: u64, count: u64, kind: u64) -> Result<(), EngineError> {
        for number in first..first + count {
            self.set_chunk(number, kind, 0)?;
        }
        Ok(())
    }

    /// Returns how many chunks are free.
    pub fn free_chunks(&self) -> Result<u64, EngineError> {
        let mut free = 0;
        for number in layout::META_CHUNKS..self.chunk_count()? {
            free += u64::from(self.chunk_kind(number)?.0 == kind::FREE);
        }
        Ok(free)
    }
}
