//! Chunks, and the records, blocks and small extents that they are divided into. The caller holds
//! the structure lock wherever something changes.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    header::chunk_crc,
    layout::{
        self, BLOCK_CLASSES, CHUNK, CHUNK_HEADER, EXTENT_CLASSES, RECORD_CLASSES, chunk, dirty,
        has_id, kind, live, record, room, size_of_class,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    store::Store,
};

/// The position of a record, block or extent in its chunk.
#[derive(Clone, Copy, Debug)]
pub struct Allocation {
    pub(crate) at: u64,
    pub(crate) class: usize,
    chunk: u64,
    bit: usize,
    /// The word that counts the free parts of its class.
    count_word: usize,
}

/// How a chunk is divided: the kind, class, size and number of its parts.
#[derive(Clone, Copy, Debug)]
pub struct SizeClass {
    kind: u64,
    class: usize,
    pub(crate) bytes: u64,
    pub(crate) count: usize,
    /// The live word that hints in which chunk a search begins.
    hint: usize,
    /// The word that counts the free parts.
    count_word: usize,
}

impl SizeClass {
    pub(crate) fn new(
        kind: u64,
        class: usize,
        bytes: usize,
        hint: usize,
        count_word: usize,
    ) -> Self {
        let count = (CHUNK - CHUNK_HEADER) as usize / bytes;
        Self { kind, class, bytes: bytes as u64, count, hint, count_word }
    }

    pub(crate) fn records(class: usize) -> Self {
        let class = class & (RECORD_CLASSES.len() - 1);
        let (bytes, size) = (layout::record_bytes(class), size_of_class(class));
        Self::new(kind::RECORDS, class, bytes, live::CLASS_HINT + size, room::FREE + size)
    }

    pub(crate) fn blocks(class: usize) -> Self {
        let class = class & 3;
        let bytes = BLOCK_CLASSES.get(class).map_or(1024, |bytes| *bytes);
        Self::new(kind::BLOCKS, class, bytes, live::BLOCK_HINT + class, room::BLOCKS + class)
    }

    /// Returns the size class of extents of `class`.
    pub fn extents(class: usize) -> Self {
        let class = class.min(EXTENT_CLASSES.len() - 1);
        let bytes = EXTENT_CLASSES.get(class).map_or(16320, |bytes| *bytes);
        Self::new(kind::EXTENTS, class, bytes, live::EXTENT_HINT + class, room::EXTENTS + class)
    }

    /// Returns the size class of a chunk of this kind and class; `None` if such a chunk is not
    /// divided.
    pub(crate) fn of(kind: u64, class: usize) -> Option<Self> {
        match kind {
            kind::RECORDS if class < RECORD_CLASSES.len() => Some(Self::records(class)),
            kind::BLOCKS if class < BLOCK_CLASSES.len() => Some(Self::blocks(class)),
            kind::EXTENTS if class < EXTENT_CLASSES.len() => Some(Self::extents(class)),
            _ => None,
        }
    }

    /// Returns how many words of bits the chunk's header has.
    pub(crate) fn bit_words(self) -> usize {
        self.count.div_ceil(64)
    }

    /// Returns the bytes of each part.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

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

    /// Writes kind and class of a chunk into the chunk table.
    pub fn set_chunk(&self, number: u64, kind: u64, class: usize) -> Result<(), EngineError> {
        let at = layout::table_word(number);
        let words = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
        words.store(0, kind | (class as u64) << 8, Release);
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

    /// Finds `count` contiguous free chunks.
    pub fn free_run(&self, count: u64) -> Result<Option<u64>, EngineError> {
        let chunks = self.chunk_count()?;
        let hint = self.live()?.load(live::FREE_HINT, Relaxed);
        let mut run = 0;
        for number in hint.max(layout::META_CHUNKS)..chunks {
            run = if self.chunk_kind(number)?.0 == kind::FREE { run + 1 } else { 0 };
            if run == count {
                return Ok(Some(number + 1 - count));
            }
        }
        if count == 1 {
            // No search repeats this until a chunk is freed.
            self.live_mut()?.store(live::FREE_HINT, chunks, Relaxed);
        }
        Ok(None)
    }

    /// Finds free chunks for an extent of `count` chunks, which may continue after a table; returns
    /// the first, and their number with the tables between. The search begins where the last one
    /// ended.
    pub fn free_span(&self, count: u64) -> Result<Option<(u64, u64)>, EngineError> {
        let chunks = self.chunk_count()?;
        let live = self.live_mut()?;
        let least = live.load(live::FREE_HINT, Relaxed).max(layout::META_CHUNKS);
        let hint = live.load(live::RUN_HINT, Relaxed).clamp(least, chunks.max(least));
        // The second time from the beginning, and to the end: a run that begins before the hint
        // ends after it, and tables may lie between.
        for range in [hint..chunks, least..chunks] {
            let (mut first, mut found) = (range.start, 0);
            for number in range {
                match self.chunk_kind(number)?.0 {
                    kind::FREE => {
                        if found == 0 {
                            first = number;
                        }
                        found += 1;
                        if found == count {
                            live.store(live::RUN_HINT, number + 1, Relaxed);
                            return Ok(Some((first, number + 1 - first)));
                        }
                    }
                    kind::TABLE => {}
                    _ => found = 0,
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn set_run(&self, first: u64, count: u64, kind: u64) -> Result<(), EngineError> {
        for number in first..first + count {
            self.set_chunk(number, kind, 0)?;
        }
        Ok(())
    }

    /// Lowers the hint for free chunks to `first`. Called before chunks are freed there: a free
    /// chunk below the hint is never found.
    pub(crate) fn hint_free(&self, first: u64) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        let hint = live.load(live::FREE_HINT, Relaxed);
        live.store(live::FREE_HINT, hint.min(first), Relaxed);
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

    /// Finds a free part of this size class, and divides another chunk if there is none. Marks
    /// nothing as allocated. Before a chunk is divided for records, `prepare` gets the number of
    /// records that all chunks then hold.
    pub(crate) fn find_space(
        &self,
        cut: SizeClass,
        prepare: impl FnOnce(u64) -> Result<(), EngineError>,
    ) -> Result<Option<Allocation>, EngineError> {
        let live = self.live_mut()?;
        let counts = self.counts()?;
        let hint = live.load(cut.hint, Relaxed);
        if let Some(part) = self.space_in(hint, cut)? {
            return Ok(Some(part));
        }
        let search = || {
            for number in layout::META_CHUNKS..self.chunk_count()? {
                if let Some(part) = self.space_in(number, cut)? {
                    live.store(cut.hint, number, Relaxed);
                    return Ok(Some(part));
                }
            }
            counts.store(cut.count_word, 0, Relaxed);
            Ok(None)
        };
        // Free parts in divided chunks come first: a chunk of records or blocks is never whole
        // again.
        let expected = counts.load(cut.count_word, Relaxed) > 0;
        if expected && let Some(part) = search()? {
            return Ok(Some(part));
        }
        if cut.kind == kind::RECORDS && self.free_run(1)?.is_some() {
            let places = counts.load(room::RECORDS, Relaxed).saturating_add(cut.count as u64);
            prepare(places.min(self.most_records()))?;
        }
        if let Some(number) = self.free_run(1)? {
            // Counted before the chunk is divided. After a death in between, the next search finds
            // no free part and corrects the count. In the other order it would not search, and
            // would divide another chunk, which is never whole again.
            counts.fetch_add(cut.count_word, cut.count as u64, Relaxed);
            if cut.kind == kind::RECORDS {
                counts.fetch_add(room::RECORDS, cut.count as u64, Relaxed);
            }
            self.cut_chunk(number, cut)?;
            live.store(live::FREE_HINT, number + 1, Relaxed);
            live.store(cut.hint, number, Relaxed);
            return self.space_in(number, cut);
        }
        if expected { Ok(None) } else { search() }
    }

    /// Returns a bound of the number of records: the counts in the region may be forged.
    pub(crate) fn most_records(&self) -> u64 {
        self.mem.size() / layout::record_bytes(layout::classes(self.file).start) as u64
    }

    fn counts(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(room::AT, room::WORDS).ok_or(EngineError::ReadOnly)
    }

    fn space_in(&self, number: u64, cut: SizeClass) -> Result<Option<Allocation>, EngineError> {
        if number < layout::META_CHUNKS
            || number >= self.chunk_count()?
            || self.chunk_kind(number)? != (cut.kind, cut.class)
        {
            return Ok(None);
        }
        let header = self.chunk_header(number)?;
        for word in 0..cut.bit_words() {
            let free = !header.load(chunk::BITS + word, Relaxed);
            let bit = word * 64 + free.trailing_zeros() as usize;
            if free != 0 && bit < cut.count {
                let at = number * CHUNK + CHUNK_HEADER + bit as u64 * cut.bytes;
                let count_word = cut.count_word;
                return Ok(Some(Allocation {
                    at,
                    class: cut.class,
                    chunk: number,
                    bit,
                    count_word,
                }));
            }
        }
        Ok(None)
    }

    fn chunk_header(&self, number: u64) -> Result<M::WordsMut<'_>, EngineError> {
        let at = number * CHUNK;
        self.mem.words_mut(at, chunk::WORDS).ok_or_else(|| outside(at))
    }

    /// Divides a free chunk into parts. Header and content come first, then its word in the table,
    /// so that a death in between leaves the chunk free.
    fn cut_chunk(&self, number: u64, cut: SizeClass) -> Result<(), EngineError> {
        let base = number * CHUNK;
        let words = self.mem.words_mut(base, (CHUNK / 8) as usize).ok_or_else(|| outside(base))?;
        let line = (cut.bytes / 8) as usize;
        let header = (CHUNK_HEADER / 8) as usize;
        // SYNC POINT S9. Pairs with the Acquire fences in `find_slowly` and `read_slot`: a lookup
        // may still read the chunk as an index, or a reader as a part of an extent.
        self.mem.fence(Release);
        for at in 0..(CHUNK / 8) as usize {
            let of_record = at.checked_sub(header).map(|at| at % line);
            // Lock and wake words of records are words of 32 bits, and are reset as such.
            if cut.kind == kind::RECORDS && of_record == Some(1) && at + 1 < (CHUNK / 8) as usize {
                self.mem.reset(base + at as u64 * 8);
                self.mem.reset(base + at as u64 * 8 + 4);
            } else {
                words.store(at, 0, Relaxed);
            }
        }
        let at = dirty::at(number);
        let flags = self.mem.words_mut(at, dirty::WORDS).ok_or_else(|| outside(at))?;
        (0..dirty::WORDS).for_each(|word| flags.store(word, 0, Relaxed));
        let mark = chunk::MAGIC | cut.kind << 32 | (cut.class as u64) << 40;
        words.store(chunk::MARK, mark, Relaxed);
        words.store(chunk::NUMBER, number, Relaxed);
        words.store(chunk::UUID, self.uuid, Relaxed);
        let id = if has_id(cut.kind, cut.class) { self.new_id()? } else { 0 };
        if id != 0 {
            words.store(chunk::ID, id, Relaxed);
        }
        words.store(chunk::CRC, chunk_crc(mark, number, self.uuid, id), Relaxed);
        self.set_chunk(number, cut.kind, cut.class)
    }

    pub(crate) fn take_bit(&self, part: Allocation) -> Result<(), EngineError> {
        let (header, bit) = (self.chunk_header(part.chunk)?, 1 << (part.bit % 64));
        if header.fetch_or(chunk::BITS + part.bit / 64, bit, Release) & bit == 0 {
            let counts = self.counts()?;
            let free = counts.load(part.count_word, Relaxed);
            counts.store(part.count_word, free.saturating_sub(1), Relaxed);
        }
        Ok(())
    }

    pub(crate) fn clear_bit(&self, part: Allocation) -> Result<(), EngineError> {
        let (header, bit) = (self.chunk_header(part.chunk)?, 1 << (part.bit % 64));
        if header.fetch_and(chunk::BITS + part.bit / 64, !bit, Release) & bit != 0 {
            self.counts()?.fetch_add(part.count_word, 1, Relaxed);
        }
        Ok(())
    }

    /// Returns the allocation of the record that begins at `at`; `None` if none can begin there.
    pub(crate) fn record_at(&self, at: u64) -> Result<Option<Allocation>, EngineError> {
        self.allocation_at(at, kind::RECORDS)
    }

    /// Returns the part of a chunk of kind `wanted` that begins at `at`; `None` if none can begin
    /// there.
    pub(crate) fn allocation_at(
        &self,
        at: u64,
        wanted: u64,
    ) -> Result<Option<Allocation>, EngineError> {
        let number = at / CHUNK;
        if number < layout::META_CHUNKS || number >= self.chunk_count()? {
            return Ok(None);
        }
        let (kind, class) = self.chunk_kind(number)?;
        let Some(cut) = SizeClass::of(kind, class).filter(|_| kind == wanted) else {
            return Ok(None);
        };
        let Some(within) = (at % CHUNK).checked_sub(CHUNK_HEADER) else { return Ok(None) };
        let bit = (within / cut.bytes) as usize;
        let fits = within.is_multiple_of(cut.bytes) && bit < cut.count;
        let count_word = cut.count_word;
        Ok(fits.then_some(Allocation { at, class, chunk: number, bit, count_word }))
    }

    pub(crate) fn is_taken(&self, part: Allocation) -> Result<bool, EngineError> {
        let at = part.chunk * CHUNK;
        let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        Ok(header.load(chunk::BITS + part.bit / 64, Relaxed) >> (part.bit % 64) & 1 != 0)
    }

    /// Returns the offsets of the allocated parts of a chunk.
    pub fn taken(&self, number: u64, cut: SizeClass) -> Result<Vec<u64>, EngineError> {
        let at = number * CHUNK;
        let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        let taken = (0..cut.count)
            .filter(|bit| header.load(chunk::BITS + bit / 64, Acquire) >> (bit % 64) & 1 != 0);
        Ok(taken.map(|bit| at + CHUNK_HEADER + bit as u64 * cut.bytes).collect())
    }

    /// Frees a chunk if none of its parts is allocated; returns whether it did.
    pub(crate) fn free_if_empty(&self, number: u64, cut: SizeClass) -> Result<bool, EngineError> {
        let header = self.chunk_header(number)?;
        if (0..cut.bit_words()).any(|word| header.load(chunk::BITS + word, Relaxed) != 0) {
            return Ok(false);
        }
        let counts = self.counts()?;
        let free = counts.load(cut.count_word, Relaxed);
        counts.store(cut.count_word, free.saturating_sub(cut.count as u64), Relaxed);
        self.hint_free(number)?;
        self.set_chunk(number, kind::FREE, 0)?;
        Ok(true)
    }

    /// Counts all parts of a newly divided chunk as free.
    pub(crate) fn count_free(&self, cut: SizeClass) -> Result<(), EngineError> {
        self.counts()?.fetch_add(cut.count_word, cut.count as u64, Relaxed);
        Ok(())
    }

    /// Whether a record of the handle's class can begin at its offset.
    pub(crate) fn records_lie_at(&self, handle: Handle) -> Result<bool, EngineError> {
        Ok(self.record_at(handle.at)?.is_some_and(|part| handle.is_of(part.class)))
    }

    pub(crate) fn free_record(&self, handle: Handle) -> Result<(), EngineError> {
        if let Some(part) = self.record_at(handle.at)? {
            self.clear_bit(part)?;
            self.live_mut()?.store(SizeClass::records(part.class).hint, part.chunk, Relaxed);
        }
        Ok(())
    }

    pub(crate) fn free_block(&self, at: u64) -> Result<(), EngineError> {
        if let Some(part) = self.allocation_at(at, kind::BLOCKS)? {
            self.clear_bit(part)?;
            self.live_mut()?.store(SizeClass::blocks(part.class).hint, part.chunk, Relaxed);
        }
        Ok(())
    }

    /// Whether less than half of the region's chunks are used: then new records get a larger class
    /// than they need.
    pub(crate) fn has_space_to_spare(&self) -> Result<bool, EngineError> {
        Ok(self.live()?.load(live::FREE_HINT, Relaxed) < self.chunk_count()? / 2)
    }

    /// Whether the region may become longer.
    pub(crate) fn can_grow(&self) -> Result<bool, EngineError> {
        let most = self.max_size.min(self.mem.limit()) / CHUNK;
        Ok(self.chunk_count()? < most.min(layout::MOST_CHUNKS))
    }
}

const _: () =
    assert!(record::LOCK == 8 && record::WAKE == 12, "word 1 of a record is two of 32 bits");
