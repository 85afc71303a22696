//! Chunks, and the records, blocks and small extents that they are divided into. The caller holds
//! the structure lock wherever something changes.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    header::chunk_crc,
    layout::{
        self, BLOCK_CLASSES, CHUNK, CHUNK_HEADER, EXTENT_CLASSES, RECORD_CLASSES, chunk, dirty,
        has_id, kind, live, record, room, size_of_class, spare,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    space::spare::Spare,
    store::Store,
};
use std::ops::ControlFlow;

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
    pub(crate) count_word: usize,
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

    /// Returns the part of a chunk of this size class that begins at `at`; `None` if none can begin
    /// there.
    #[inline]
    pub(crate) fn part_at(self, at: u64) -> Option<Allocation> {
        let within = (at % CHUNK).checked_sub(CHUNK_HEADER)?;
        // Of 32 bits, since a division of 64 takes twice as long on older processors.
        let (within, bytes) = (within as u32, self.bytes as u32);
        let bit = within.checked_div(bytes)? as usize;
        let fits = within.is_multiple_of(bytes) && bit < self.count;
        fits.then_some(Allocation {
            at,
            class: self.class,
            chunk: at / CHUNK,
            bit,
            count_word: self.count_word,
        })
    }

    pub(crate) fn is_of_records(self) -> bool {
        self.kind == kind::RECORDS
    }

    /// Returns the bytes of each part.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

impl<M: Mem> Store<M> {
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
            let chunks = self.chunk_count()?;
            // From the last one on, and round: the next search does not pass these chunks again.
            for from in [hint.min(chunks), layout::META_CHUNKS] {
                let mut found = None;
                self.search(spare::PARTS, from, chunks, |number, word| {
                    if word & kind::HAS_PARTS == 0 {
                        return Ok(ControlFlow::Continue(Spare::None));
                    }
                    if word & 0xffff != cut.kind | (cut.class as u64) << 8 {
                        return Ok(ControlFlow::Continue(Spare::Some));
                    }
                    found = self.space_in(number, cut)?;
                    if found.is_some() {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.has_no_parts(number)?;
                    Ok(ControlFlow::Continue(Spare::None))
                })?;
                if let Some(part) = found {
                    live.store(cut.hint, part.chunk, Relaxed);
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

    pub(crate) fn counts(&self) -> Result<M::WordsMut<'_>, EngineError> {
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
        self.may_have_parts(part.chunk)?;
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
        let cut = SizeClass::of(kind, class).filter(|_| kind == wanted);
        Ok(cut.and_then(|cut| cut.part_at(at)))
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
        self.hint_free(number, 1)?;
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
