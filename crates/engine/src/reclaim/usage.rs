//! The use of a region's bytes.

use crate::{
    error::{EngineError, outside},
    layout::{self, CHUNK, chunk, kind, room},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
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

/// The chunks that are divided into parts of one size.
#[derive(Clone, Copy)]
struct Divided {
    cut: SizeClass,
    chunks: u64,
    free_parts: u64,
}

/// By the word that counts the free parts.
type ByCount = [Option<Divided>; room::WORDS];

impl<M: Mem> Store<M> {
    /// Returns the region's bytes by their use. Reads the table, and the header of each divided
    /// chunk only if a process died that may have left a count of free parts wrong. Then it corrects
    /// the counts, unless another process holds the structure lock.
    pub fn space(&self) -> Result<Space, EngineError> {
        let counts = self.mem.words(room::AT, room::WORDS).ok_or_else(|| outside(room::AT))?;
        if counts.load(room::DOUBTFUL, Acquire) == 0 {
            let (space, mut divided) = self.tables()?;
            for (word, divided) in divided.iter_mut().enumerate() {
                if let Some(divided) = divided {
                    divided.free_parts = counts.load(word, Relaxed);
                }
            }
            return Ok(space.with(&divided));
        }
        // A reader cannot correct them.
        let held = self.lock_structure_now();
        let (space, mut divided) = self.tables()?;
        self.count_parts(&mut divided)?;
        if held.is_ok() {
            self.correct_counts(&divided)?;
        }
        Ok(space.with(&divided))
    }

    /// Stores the counts of free parts. The caller holds the structure lock, and has counted under
    /// it.
    fn correct_counts(&self, divided: &ByCount) -> Result<(), EngineError> {
        let counts = self.counts()?;
        for (word, divided) in divided.iter().enumerate() {
            let counts_parts = (room::FREE..room::RECORDS).contains(&word)
                || (room::EXTENTS..room::LEFT).contains(&word)
                || (room::BLOCKS..room::DOUBTFUL).contains(&word);
            if counts_parts {
                counts.store(word, divided.map_or(0, |divided| divided.free_parts), Relaxed);
            }
        }
        let records = divided.iter().flatten().filter(|divided| divided.cut.is_of_records());
        let records = records.map(|divided| divided.chunks * divided.cut.count as u64).sum();
        counts.store(room::RECORDS, records, Relaxed);
        counts.store(room::DOUBTFUL, 0, Release);
        Ok(())
    }

    /// Reads the table of the chunks. All parts of the divided ones count as used.
    fn tables(&self) -> Result<(Space, ByCount), EngineError> {
        let mut space = Space { overhead: layout::META_CHUNKS * CHUNK, ..Space::default() };
        let mut divided = [None; room::WORDS];
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
            if kind == kind::FREE {
                space.free += CHUNK;
                run += 1;
                space.largest_free = space.largest_free.max(run * CHUNK);
                continue;
            }
            run = 0;
            match SizeClass::of(kind, class) {
                Some(cut) => {
                    let parts = cut.count as u64 * cut.bytes;
                    space.used += parts;
                    space.overhead += CHUNK - parts;
                    if let Some(entry) = divided.get_mut(cut.count_word) {
                        let entry = entry.get_or_insert(Divided { cut, chunks: 0, free_parts: 0 });
                        entry.chunks += 1;
                    }
                }
                None if kind == kind::RUN || kind == kind::REST => space.used += CHUNK,
                None => space.overhead += CHUNK,
            }
        }
        Ok((space, divided))
    }

    /// Counts the free parts by the bits of each divided chunk.
    fn count_parts(&self, divided: &mut ByCount) -> Result<(), EngineError> {
        let chunks = self.chunk_count()?;
        let mut used = self.used_chunks(chunks);
        let mut next = used.described(layout::META_CHUNKS);
        while let Some(number) = next.filter(|number| *number < chunks) {
            next = used.described(number + 1);
            let (kind, class) = self.chunk_kind(number)?;
            let Some(cut) = SizeClass::of(kind, class) else { continue };
            let at = number * CHUNK;
            let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
            let taken: u64 = (0..cut.bit_words())
                .map(|word| u64::from(header.load(chunk::BITS + word, Relaxed).count_ones()))
                .sum();
            if let Some(Some(divided)) = divided.get_mut(cut.count_word) {
                divided.free_parts += (cut.count as u64).saturating_sub(taken);
            }
        }
        Ok(())
    }

    pub(crate) fn full(&self, needed: u64) -> Result<EngineError, EngineError> {
        Ok(EngineError::Full { needed, free: self.space()?.free })
    }
}

impl Space {
    /// With the free parts of the divided chunks, which were counted as used.
    fn with(mut self, divided: &ByCount) -> Self {
        for &Divided { cut, chunks, free_parts } in divided.iter().flatten() {
            // A peer may have forged the count.
            let free = free_parts.min(chunks * cut.count as u64) * cut.bytes;
            self.free += free;
            self.used = self.used.saturating_sub(free);
        }
        self
    }
}
