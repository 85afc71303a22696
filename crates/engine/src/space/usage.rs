//! The use of a region's bytes.

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, chunk, kind},
    mem::{Load, Mem, Ordering::Relaxed},
    space::chunks::SizeClass,
    store::Store,
};

/// The bytes of a region, by their use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The whole region.
    pub region: u64,
    /// Records of variables, with their names and values.
    pub used: u64,
    /// Free space.
    pub free: u64,
    /// The longest free span that is not divided: it bounds the largest value.
    pub largest_free: u64,
    /// Header, tables and index, and the rest at the end of each chunk.
    pub overhead: u64,
}

impl<M: Mem> Store<M> {
    /// Counts the region's bytes by their use.
    pub fn space(&self) -> Result<Space, EngineError> {
        let mut space = Space { overhead: layout::META_CHUNKS * CHUNK, ..Space::default() };
        let chunks = self.chunk_count()?;
        space.region = chunks * CHUNK;
        let mut run = 0;
        let mut used = self.used_chunks(chunks);
        let mut from = layout::META_CHUNKS;
        while from < chunks {
            let number = used.described(from).unwrap_or(chunks);
            // The table calls the chunks between free, by words that lie in holes of the file.
            space.free += (number - from) * CHUNK;
            run += number - from;
            space.largest_free = space.largest_free.max(run * CHUNK);
            if number == chunks {
                break;
            }
            from = number + 1;
            let (kind, class) = self.chunk_kind(number)?;
            let Some(cut) = SizeClass::of(kind, class) else {
                match kind {
                    kind::FREE => {
                        space.free += CHUNK;
                        run += 1;
                        space.largest_free = space.largest_free.max(run * CHUNK);
                        continue;
                    }
                    kind::RUN | kind::REST => space.used += CHUNK,
                    _ => space.overhead += CHUNK,
                }
                run = 0;
                continue;
            };
            run = 0;
            let at = number * CHUNK;
            let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
            let taken: u64 = (0..cut.bit_words())
                .map(|word| u64::from(header.load(chunk::BITS + word, Relaxed).count_ones()))
                .sum();
            let taken = taken.min(cut.count as u64) * cut.bytes;
            let all = cut.count as u64 * cut.bytes;
            space.used += taken;
            space.free += all - taken;
            space.overhead += CHUNK - all;
        }
        Ok(space)
    }

    pub(crate) fn full(&self, needed: u64) -> Result<EngineError, EngineError> {
        Ok(EngineError::Full { needed, free: self.space()?.free })
    }
}
