//! The walk over all records.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Meta, record, record_bytes},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    store::Store,
};

/// The position of a walk over the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    chunk: u64,
    within: usize,
    /// Up to this offset the file has data, as far as the walk has asked.
    data_until: u64,
    /// How many chunks without records were met since the walk last asked about the chunk table,
    /// and how often it asked in vain.
    idle: u64,
    vain: u32,
}

/// After how many chunks without records a walk asks where the chunk table goes on: their words
/// take a page.
const PATIENCE: u64 = 512;

impl<M: Mem> Store<M> {
    /// Walks over all records that have an id, as [`next_record`](Self::next_record) does, until
    /// `each` returns false.
    pub fn each_record(&self, mut each: impl FnMut(Handle) -> bool) -> Result<(), EngineError> {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.next_record(&mut cursor)? {
            if !each(handle) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the next record with an id, in the order of their offsets. A variable keeps its
    /// record for life, so a variable that exists throughout is returned exactly once.
    ///
    /// It leaves out the holes of a sparse file, however many chunks of records a forged table sees
    /// in them. A record that was there when the walk began is no hole, so it is not missed.
    pub fn next_record(&self, cursor: &mut Cursor) -> Result<Option<Handle>, EngineError> {
        let chunks = self.chunk_count()?;
        while cursor.chunk < chunks {
            let begun = cursor.within > 0;
            if let Some(handle) = self.next_in_chunk(cursor)? {
                cursor.idle = 0;
                return Ok(Some(handle));
            }
            // Only a walk that finds nothing asks the system: no other walk pays for the calls.
            let is_idle = !begun && (cursor.within == 0 || self.has_no_header(cursor.chunk));
            if is_idle && cursor.within > 0 {
                self.leave_hole(cursor);
            } else {
                cursor.chunk += 1;
            }
            cursor.within = 0;
            if is_idle {
                self.leave_free_chunks(cursor, chunks);
            }
        }
        Ok(None)
    }

    /// Whether a chunk's header is zero. A chunk gets its header before the table calls it one of
    /// records.
    fn has_no_header(&self, chunk: u64) -> bool {
        self.mem.words(chunk * layout::CHUNK, 1).is_none_or(|words| words.load(0, Relaxed) == 0)
    }

    /// Moves to the next chunk that may hold data.
    fn leave_hole(&self, cursor: &mut Cursor) {
        cursor.chunk += 1;
        let at = cursor.chunk * layout::CHUNK;
        if at < cursor.data_until {
            return;
        }
        // Without an answer no data follows.
        let (start, end) = self.mem.data_from(at).unwrap_or((u64::MAX, u64::MAX));
        cursor.chunk = cursor.chunk.max(start / layout::CHUNK);
        cursor.data_until = end;
    }

    /// Counts a chunk without records, and after many moves to the next one that the table may not
    /// call free.
    fn leave_free_chunks(&self, cursor: &mut Cursor, chunks: u64) {
        cursor.idle += 1;
        // A table that has no holes is asked about less and less.
        if cursor.idle < PATIENCE << cursor.vain.min(32) {
            return;
        }
        cursor.idle = 0;
        let next = self.used_chunks(chunks).described(cursor.chunk).unwrap_or(chunks);
        cursor.vain += u32::from(next < cursor.chunk.saturating_add(PATIENCE));
        cursor.chunk = cursor.chunk.max(next);
    }

    /// Returns the next record with an id in the cursor's chunk.
    fn next_in_chunk(&self, cursor: &mut Cursor) -> Result<Option<Handle>, EngineError> {
        let (layout::kind::RECORDS, class) = self.chunk_kind(cursor.chunk)? else {
            return Ok(None);
        };
        let class = class & (layout::RECORD_CLASSES.len() - 1);
        let base = cursor.chunk * layout::CHUNK + layout::CHUNK_HEADER;
        while cursor.within < layout::records_in_chunk(class) {
            let at = base + (cursor.within * record_bytes(class)) as u64;
            cursor.within += 1;
            let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
            // SYNC POINT S4.
            let id = line.load(record::ID, Acquire);
            let meta = Meta(line.load(record::META, Relaxed));
            if id != 0
                && id & record::RETIRED == 0
                && meta.class() == class
                && let Some(handle) = Handle::checked(at, id, meta, &self.mem)
            {
                return Ok(Some(handle));
            }
        }
        Ok(None)
    }
}
