//! Extents, in which large values lie. The caller holds the structure lock wherever one is reserved
//! or freed.
//!
//! The owner of an extent is derived and not stored. The extent is in use if a slot of the record
//! that its head names refers to it, while the process that fills it lives, or while a reader has
//! pinned it. So freeing is a test (`Store::reclaim`): it can be repeated, and the next sweep finds
//! whatever a dead process left behind.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    header::{chunk_crc, table_chunks},
    layout::{
        self, CHUNK, CHUNK_HEADER, Desc, EXTENT_CLASSES, Extent, Meta, chunk, extent, journal,
        kind, live, record, seat, slot,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    space::chunks::{Allocation, SizeClass},
    store::Store,
};

/// Where an extent lies: in a divided chunk, or in chunks of its own.
#[derive(Clone, Copy, Debug)]
pub enum ExtentLocation {
    /// A part of a divided chunk.
    Part(Allocation, SizeClass),
    /// First chunk and number of chunks.
    Run(u64, u64),
}

impl ExtentLocation {
    /// Returns the offset of its data.
    pub(crate) fn data(self) -> u64 {
        match self {
            Self::Part(part, _) => part.at + extent::HEAD,
            Self::Run(first, _) => first * CHUNK + CHUNK_HEADER,
        }
    }

    /// Returns how many bytes of data it holds.
    pub fn capacity(self) -> u64 {
        match self {
            Self::Part(_, cut) => cut.bytes() - extent::HEAD,
            Self::Run(first, span) => {
                let tables = table_chunks(first, first + span).count() as u64;
                // A forged run may consist of tables.
                (span.saturating_sub(tables) * CHUNK).saturating_sub(CHUNK_HEADER)
            }
        }
    }
}

impl<M: Mem> Store<M> {
    pub(crate) fn vacant(&self, len: usize) -> Result<ExtentLocation, EngineError> {
        let needed = len as u64 + extent::HEAD;
        // The caller makes space, or says how much is free.
        let full = EngineError::Full { needed, free: 0 };
        if let Some(class) = EXTENT_CLASSES.iter().position(|size| *size as u64 >= needed) {
            let cut = SizeClass::extents(class);
            return match self.find_space(cut, |_| Ok(()))? {
                Some(part) => Ok(ExtentLocation::Part(part, cut)),
                None => Err(full),
            };
        }
        match self.free_span((len as u64).saturating_add(CHUNK_HEADER).div_ceil(CHUNK))? {
            Some((first, span)) => Ok(ExtentLocation::Run(first, span)),
            None => Err(full),
        }
    }

    pub(crate) fn write_run_header(&self, first: u64) -> Result<(), EngineError> {
        let at = first * CHUNK;
        let words = self.mem.words_mut(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        let mark = chunk::MAGIC | kind::RUN << 32;
        words.store(chunk::MARK, mark, Relaxed);
        words.store(chunk::NUMBER, first, Relaxed);
        words.store(chunk::UUID, self.uuid, Relaxed);
        words.store(chunk::CRC, chunk_crc(mark, first, self.uuid, 0), Relaxed);
        Ok(())
    }

    /// Copies a value into an extent to which no slot refers yet.
    pub fn fill(&self, extent: Extent, bytes: &[u8]) -> Result<(), EngineError> {
        // SYNC POINT S9. Pairs with the Acquire fence in `read_slot`: a reader of the extent's
        // former value that sees a byte of the new one also sees that its slot was invalidated.
        self.mem.fence(Release);
        self.copy_in(extent, bytes)
    }

    pub(crate) fn copy_in(&self, extent: Extent, bytes: &[u8]) -> Result<(), EngineError> {
        let mut bytes = bytes;
        for (at, len) in layout::pieces(extent.at, bytes.len() as u64) {
            let (piece, rest) = bytes.split_at(bytes.len().min(len as usize));
            let words = self.mem.words_mut(at, piece.len().div_ceil(8));
            words.ok_or_else(|| outside(at))?.copy_from(piece);
            bytes = rest;
        }
        Ok(())
    }

    /// Clears the filler: a slot refers to the extent now. The caller holds the record's lock, or
    /// has marked it.
    pub(crate) fn filled(&self, extent: Extent) {
        if let Some(head) = self.mem.words_mut(extent.at - extent::HEAD, extent::WORDS) {
            // Pairs with the Acquire load in `is_in_use`: a sweep that finds no filler finds the
            // slot.
            head.store(extent::FILLER, 0, Release);
        }
    }

    /// Frees the extent at `at` unless it is in use; returns whether it did. The caller holds L.
    /// The journal holds nothing but the collection of a record.
    pub(crate) fn reclaim(&self, at: u64) -> Result<bool, EngineError> {
        let Some(place) = self.place_of(at)? else { return Ok(false) };
        if self.is_in_use(at)? || self.is_pinned(at)? {
            return Ok(false);
        }
        match place {
            ExtentLocation::Part(part, cut) => {
                self.clear_bit(part)?;
                self.free_if_empty(at / CHUNK, cut)?;
            }
            ExtentLocation::Run(first, span) => {
                self.free_run_of(first, span)?;
            }
        }
        Ok(true)
    }

    /// Frees the chunks of a run. A death in between leaves chunks of kind `REST` without a head,
    /// and the next sweep frees them. No journal entry is possible: the caller may be collecting a
    /// record, and that entry is in the journal.
    fn free_run_of(&self, first: u64, span: u64) -> Result<(), EngineError> {
        self.hint_free(first, span)?;
        // The next search takes this run again, whose pages the system has already given, and not
        // fresh ones behind it.
        let live = self.live_mut()?;
        if live.load(live::RUN_HINT, Relaxed) > first {
            live.store(live::RUN_HINT, first, Relaxed);
        }
        self.set_chunk(first, kind::FREE, 0)?;
        for number in first + 1..first + span {
            if self.chunk_kind(number)?.0 == kind::REST {
                self.set_chunk(number, kind::FREE, 0)?;
            }
        }
        Ok(())
    }

    /// Returns the position of the extent whose data begin at `at`; `None` if there is none.
    pub fn place_of(&self, at: u64) -> Result<Option<ExtentLocation>, EngineError> {
        let (number, chunks) = (at / CHUNK, self.chunk_count()?);
        if number < layout::META_CHUNKS || number >= chunks {
            return Ok(None);
        }
        let (found, class) = self.chunk_kind(number)?;
        if found == kind::RUN && at % CHUNK == CHUNK_HEADER {
            let span = self.run_len(number)?.min(chunks - number);
            return Ok((span > 0).then_some(ExtentLocation::Run(number, span)));
        }
        // A part of a chunk of extents begins with a head.
        if found != kind::EXTENTS || at % CHUNK < extent::HEAD {
            return Ok(None);
        }
        let Some(cut) = SizeClass::of(found, class) else { return Ok(None) };
        let Some(part) = cut.part_at(at - extent::HEAD) else { return Ok(None) };
        Ok(self.is_taken(part)?.then_some(ExtentLocation::Part(part, cut)))
    }

    /// Returns how many bytes the extent holds whose data begin at `at`; `None` if there is none.
    pub(crate) fn capacity_at(&self, at: u64) -> Result<Option<u64>, EngineError> {
        Ok(self.place_of(at)?.map(ExtentLocation::capacity))
    }

    fn is_in_use(&self, at: u64) -> Result<bool, EngineError> {
        let head_at = at - extent::HEAD;
        let head = self.mem.words(head_at, extent::WORDS).ok_or_else(|| outside(head_at))?;
        let filler = head.load(extent::FILLER, Acquire);
        if filler != 0 && self.lives(filler)? {
            return Ok(true);
        }
        let record = head.load(extent::RECORD, Relaxed);
        let id = head.load(extent::ID, Relaxed);
        self.refers(record, id, at)
    }

    /// Whether a slot of the variable `id` in the record at `record` refers to the extent.
    fn refers(&self, record: u64, id: u64, at: u64) -> Result<bool, EngineError> {
        let Some(line) = self.mem.words(record, record::LINE) else { return Ok(false) };
        let found = line.load(record::ID, Acquire);
        let meta = Meta(line.load(record::META, Relaxed));
        let Some(handle) = Handle::checked(record, found, meta, &self.mem) else {
            return Ok(false);
        };
        if found & !record::RETIRED != id || !self.records_lie_at(handle)? {
            return Ok(false);
        }
        for number in 0..handle.slots() {
            let slot_at = handle.slot_at(number);
            let slot = self.mem.words(slot_at, slot::LEAST).ok_or_else(|| outside(slot_at))?;
            if Desc(slot.load(slot::DESC, Acquire)).is_extent()
                && slot.load(slot::DATA, Acquire) == at
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a living process has pinned the extent. The caller has ensured that no current slot
    /// refers to it.
    pub(crate) fn is_pinned(&self, at: u64) -> Result<bool, EngineError> {
        // SYNC POINT S12. Pairs with the fence in `pin`: this process sees the pin, or the reader
        // sees that the slot no longer refers to the extent.
        self.mem.fence(SeqCst);
        for word in 0..2 {
            let mut bits = self.live()?.load(live::PINS + word, SeqCst);
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let words = self.mem.words(seat::at(number), seat::WORDS);
                let pin = words.ok_or_else(|| outside(seat::at(number)))?.load(seat::PIN, SeqCst);
                if pin == at && self.mem.is_seat_taken(number) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(crate) fn journal_run(&self, first: u64, span: u64) -> Result<(), EngineError> {
        let journal = self.journal()?;
        journal.store(journal::OLD, first, Relaxed);
        journal.store(journal::NEW, span, Relaxed);
        // SYNC POINT S8.
        journal.store(journal::OPERATION, journal::RUN, Release);
        Ok(())
    }

    /// Undoes the reservation of a run.
    pub(crate) fn replay_run(&self) -> Result<(), EngineError> {
        let journal = self.journal()?;
        let first = journal.load(journal::OLD, Relaxed);
        let span = journal.load(journal::NEW, Relaxed);
        let chunks = self.chunk_count()?;
        if first >= layout::META_CHUNKS && first < chunks {
            let end = first.saturating_add(span);
            self.hint_free(first, end.min(chunks).saturating_sub(first))?;
            for number in first..end.min(chunks) {
                if matches!(self.chunk_kind(number)?.0, kind::RUN | kind::REST) {
                    self.set_chunk(number, kind::FREE, 0)?;
                }
            }
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }
}
