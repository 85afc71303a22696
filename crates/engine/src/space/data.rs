//! Walks that leave out the holes of a sparse file. A file can be 16 TiB long and have a megabyte
//! of data: its length, and the number of chunks that it claims, cost nothing.
//!
//! What is left out is zero: a chunk without a header, and a chunk that the table calls free. What
//! another process writes there meanwhile may be missed (see [`Mem::data_from`]).

use crate::{
    layout::{self, CHUNK},
    mem::Mem,
    store::Store,
};

const PAGE: u64 = 4096;

/// The ranges that may hold data, asked for one after the other, in ascending order.
#[derive(Debug)]
pub(crate) struct Data<'a, M> {
    mem: &'a M,
    /// Whether each answer ends with a page. The system then looks for no end, which takes it time
    /// for each page of data.
    by_page: bool,
    /// The last answer: no data from `asked` to `start`, and data from there to `end`.
    asked: u64,
    start: u64,
    end: u64,
}

impl<'a, M: Mem> Data<'a, M> {
    pub(crate) fn of(mem: &'a M) -> Self {
        Self { mem, by_page: false, asked: 0, start: 0, end: 0 }
    }

    /// For a walk over few pages of a long range: the table of chunks.
    fn by_page(mem: &'a M) -> Self {
        Self { by_page: true, ..Self::of(mem) }
    }

    /// Returns the first offset from `at` on that may hold data.
    pub(crate) fn at_or_after(&mut self, at: u64) -> Option<u64> {
        if !(self.asked..self.end).contains(&at) {
            // Without an answer, none follows for anything behind `at` either.
            let found = if self.by_page {
                self.mem.next_data(at).map(|start| (start, (start | (PAGE - 1)).saturating_add(1)))
            } else {
                self.mem.data_from(at)
            };
            let (start, end) = found.unwrap_or((u64::MAX, u64::MAX));
            (self.asked, self.start, self.end) = (at, start, end);
        }
        Some(self.start.max(at)).filter(|found| *found != u64::MAX)
    }
}

/// Finds the chunks of a region that are not zero, among its first `chunks`.
#[derive(Debug)]
pub(crate) struct UsedChunks<'a, M> {
    // Two, since the table and the chunks themselves are walked at different offsets.
    table: Data<'a, M>,
    content: Data<'a, M>,
    chunks: u64,
}

impl<M: Mem> UsedChunks<'_, M> {
    /// Returns the first chunk from `number` on whose word in the chunk table may not be zero.
    pub(crate) fn described(&mut self, mut number: u64) -> Option<u64> {
        while number < self.chunks {
            let at = layout::table_word(number);
            let found = self.table.at_or_after(at)?;
            let (first, _) = layout::group(number);
            let group_end = if first == 0 { layout::TABLE_WORDS } else { first.saturating_mul(2) };
            let next = number.saturating_add(found.saturating_sub(at).div_ceil(8));
            if next < group_end {
                return Some(next).filter(|next| *next < self.chunks);
            }
            // The rest of this group's words are zero: the next group has its words elsewhere.
            number = group_end;
        }
        None
    }

    /// As [`described`](Self::described), and the chunks that hold the header and the tables, of
    /// which the table must say so.
    pub(crate) fn described_or_meta(&mut self, number: u64) -> Option<u64> {
        let (first, _) = layout::group(number);
        let next_group = if first == 0 { layout::TABLE_WORDS } else { first.saturating_mul(2) };
        let is_meta = number < layout::META_CHUNKS
            || number >= layout::TABLE_WORDS && layout::holds_table(number);
        let meta = if is_meta { number } else { next_group };
        let meta = Some(meta).filter(|meta| *meta < self.chunks);
        [self.described(number), meta].into_iter().flatten().min()
    }

    /// Returns the first chunk from `number` on whose header may not be zero.
    pub(crate) fn headed(&mut self, number: u64) -> Option<u64> {
        let found = self.content.at_or_after(number.checked_mul(CHUNK)?)?;
        Some(found.div_ceil(CHUNK)).filter(|number| *number < self.chunks)
    }

    /// Whether chunk `number` may hold data.
    pub(crate) fn is_filled(&mut self, number: u64) -> bool {
        let at = number.saturating_mul(CHUNK);
        self.content.at_or_after(at).is_some_and(|found| found < at.saturating_add(CHUNK))
    }

    /// Returns the first chunk from `number` on that may hold data, or that the table describes.
    pub(crate) fn described_or_filled(&mut self, number: u64) -> Option<u64> {
        let filled = number.checked_mul(CHUNK).and_then(|at| self.content.at_or_after(at));
        let filled = filled.map(|at| at / CHUNK).filter(|number| *number < self.chunks);
        [self.described(number), filled].into_iter().flatten().min()
    }
}

impl<M: Mem> Store<M> {
    /// Returns what finds the chunks that are not zero, among the first `chunks`.
    pub(crate) fn used_chunks(&self, chunks: u64) -> UsedChunks<'_, M> {
        let (table, content) = (Data::by_page(&self.mem), Data::of(&self.mem));
        UsedChunks { table, content, chunks: chunks.min(layout::MOST_CHUNKS) }
    }
}
