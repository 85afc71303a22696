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
}

impl<M: Mem> Store<M> {
    /// Walks over all records that have an id, in the order of their offsets, until `each` returns
    /// false.
    pub fn each_record(&self, mut each: impl FnMut(Handle) -> bool) -> Result<(), EngineError> {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.next_record(&mut cursor)? {
            if !each(handle) {
                break;
            }
        }
        Ok(())
    }

    /// As [`each_record`](Self::each_record), but leaves out the holes of a sparse file: to count,
    /// and for nothing that must see every record (see [`Mem::data_from`]).
    pub fn each_record_of_data(
        &self,
        mut each: impl FnMut(Handle) -> bool,
    ) -> Result<(), EngineError> {
        let mut used = self.used_chunks(self.chunk_count()?);
        let mut next = used.described(layout::META_CHUNKS);
        while let Some(chunk) = next {
            let mut cursor = Cursor { chunk, within: 0 };
            while let Some(handle) = self.next_in_chunk(&mut cursor)? {
                if !each(handle) {
                    return Ok(());
                }
            }
            next = used.described(chunk + 1);
        }
        Ok(())
    }

    /// Returns the next record with an id, in the order of their offsets. A variable keeps its
    /// record for life, so a variable that exists throughout is returned exactly once.
    pub fn next_record(&self, cursor: &mut Cursor) -> Result<Option<Handle>, EngineError> {
        let chunks = self.chunk_count()?;
        while cursor.chunk < chunks {
            if let Some(handle) = self.next_in_chunk(cursor)? {
                return Ok(Some(handle));
            }
            cursor.chunk += 1;
            cursor.within = 0;
        }
        Ok(None)
    }

    /// Returns the next record with an id in the cursor's chunk.
    fn next_in_chunk(&self, cursor: &mut Cursor) -> Result<Option<Handle>, EngineError> {
        let (layout::kind::RECORDS, class) = self.chunk_kind(cursor.chunk)? else {
            return Ok(None);
        };
        let class = class & 3;
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
