//! The chunk table, the chunks, and what is allocated in them.

use super::pass::Pass;
use crate::{
    inspect::parts::ChunkHeader,
    layout::{self, CHUNK, chunk, extent, kind, live, spare},
    mem::Mem,
    space::chunks::SizeClass,
};

impl<M: Mem> Pass<'_, M> {
    /// Checks the chunk table, and the headers of the chunks.
    pub(super) fn table(&mut self, late: &dyn Fn() -> bool) {
        let mut used = self.store.used_chunks(self.chunks);
        let mut from = 0;
        while let Some(number) = used.described_or_meta(from)
            && !late()
        {
            // The table calls the chunks between free, by words that lie in holes of the file.
            self.findable(from..number);
            let at = layout::table_word(number);
            let word = self.word(at);
            let (found, class) = (word & 0xff, (word >> 8) as usize & 0xff);
            let mut next = number + 1;
            let is_table = layout::holds_table(number) && number >= layout::TABLE_WORDS;
            match found {
                kind::META if number < layout::META_CHUNKS => {}
                kind::TABLE if is_table => {}
                _ if is_table || number < layout::META_CHUNKS => {
                    let what = format!("chunk {number} is said to be of kind {found}");
                    self.fault(at, format!("{what}, and holds the tables"), [word, 0, 0]);
                }
                kind::FREE => self.findable(number..next),
                kind::INDEX => {}
                kind::RECORDS | kind::BLOCKS | kind::EXTENTS | kind::RUN
                    if !used.is_filled(number) =>
                {
                    self.fault(
                        number * CHUNK,
                        format!("chunk {number} has no header"),
                        [word, 0, 0],
                    );
                }
                kind::RECORDS | kind::BLOCKS | kind::EXTENTS => {
                    self.chunk_header_of(number, found, class, word);
                }
                kind::RUN => {
                    self.chunk_header_of(number, found, class, word);
                    next = self.run_of(number, word);
                }
                kind::REST => {
                    let what = format!("chunk {number} is the rest of a large value that is gone");
                    self.note(at, what, [word, 0, 0]);
                }
                _ => {
                    let what =
                        format!("chunk {number} is said to be of kind {found}, which is none");
                    self.fault(at, what, [word, 0, 0]);
                }
            }
            from = next;
        }
        if !late() {
            self.findable(from..self.chunks);
        }
    }

    /// Checks that a search for space finds these free chunks.
    pub(super) fn findable(&mut self, free: std::ops::Range<u64>) {
        let mut number = free.start;
        let hint_at = live::AT + live::FREE_HINT as u64 * 8;
        let hint = self.word(hint_at);
        if number < free.end && number < hint {
            let what = format!(
                "chunk {number} is free, and no search finds it: each begins at chunk {hint}"
            );
            self.fault(hint_at, what, [hint, 0, 0]);
        }
        while number < free.end {
            let (word, bit) = spare::place(number);
            let at = spare::AT + word as u64 * 8;
            let bits = self.word(at);
            if bits >> (spare::FREE + bit) & 1 == 0 {
                let what = format!("chunk {number} is free, and no search finds it");
                self.fault(at, what, [bits, number, 0]);
            }
            number = spare::chunks(word, bit).end;
        }
    }

    /// Checks that a search for a part finds those of chunk `number`, of which some are free.
    pub(super) fn parts_findable(&mut self, number: u64) {
        let (place, bit) = spare::place(number);
        // After the allocation bits: they are set before a part is freed.
        let word = self.word(layout::table_word(number));
        let bits = self.word(spare::AT + place as u64 * 8);
        if word & kind::HAS_PARTS == 0 || bits >> (spare::PARTS + bit) & 1 == 0 {
            let what = format!("a part of chunk {number} is free, and no search finds it");
            self.fault(layout::table_word(number), what, [word, bits, 0]);
        }
    }

    pub(super) fn chunk_header_of(&mut self, number: u64, said: u64, class: usize, word: u64) {
        let at = number * CHUNK;
        let stamp = [word, self.word(at), self.word(at + 24)];
        match self.store.chunk_says(number) {
            ChunkHeader::Good(kind, of) if (kind, of) == (said, class) => {}
            ChunkHeader::Good(kind, of) => self.fault(
                at,
                format!(
                    "chunk {number} says that it is of kind {kind}, class {of}; the table says \
                     kind {said}, class {class}"
                ),
                stamp,
            ),
            ChunkHeader::Bad(what) => self.fault(at, format!("chunk {number}: {what}"), stamp),
            ChunkHeader::None => self.fault(at, format!("chunk {number} has no header"), stamp),
        }
        let places = match said {
            // Of the classes of a map with a file, or of those of a map without one.
            kind::RECORDS if layout::classes(self.store.file).contains(&class) => {
                layout::records_in_chunk(class)
            }
            kind::BLOCKS if class < layout::BLOCK_CLASSES.len() => layout::blocks_in_chunk(class),
            kind::EXTENTS => {
                let bytes = layout::EXTENT_CLASSES.get(class);
                bytes.map_or(0, |bytes| (CHUNK - layout::CHUNK_HEADER) as usize / bytes)
            }
            kind::RUN => return,
            _ => 0,
        };
        if places == 0 {
            let what = format!("chunk {number} is said to be of class {class}, which is none");
            self.fault(layout::table_word(number), what, [word, 0, 0]);
            return;
        }
        let mut has_free = false;
        for bits in 0..places.div_ceil(64) {
            let at = at + (chunk::BITS + bits) as u64 * 8;
            let word = self.word(at);
            let here = (places - bits * 64).min(64);
            if here < 64 && word >> here != 0 {
                let what = format!("chunk {number} has more places taken than it has places");
                self.fault(at, what, [word, 0, 0]);
            }
            has_free |= u64::from(word.trailing_ones()) < here as u64;
        }
        if has_free {
            self.parts_findable(number);
        }
    }

    /// Checks the chunks of a run; returns the first chunk after it.
    pub(super) fn run_of(&mut self, number: u64, word: u64) -> u64 {
        let span = word >> 32;
        let end = number.saturating_add(span);
        if span == 0 || end > self.chunks {
            let what = format!("a large value in chunk {number} has {span} chunks, beyond the end");
            self.fault(layout::table_word(number), what, [word, 0, 0]);
        }
        for next in number + 1..end.min(self.chunks) {
            let at = layout::table_word(next);
            let found = self.word(at);
            if found & 0xff != kind::REST && !layout::holds_table(next) {
                let what =
                    format!("chunk {next} should be the rest of the value in chunk {number}");
                self.fault(at, what, [word, found, 0]);
                return next;
            }
        }
        end.clamp(number + 1, self.chunks.max(number + 1))
    }

    /// Checks for allocated blocks and extents without an owner.
    pub(super) fn owned(&mut self, late: &dyn Fn() -> bool) {
        self.each_described(late, |pass, number, is_filled| {
            let Ok((found, class)) = pass.store.chunk_kind(number) else { return };
            if !is_filled {
                return;
            }
            if found == kind::RUN {
                pass.extent(number * CHUNK + layout::CHUNK_HEADER);
            }
            if found != kind::BLOCKS && found != kind::EXTENTS {
                return;
            }
            let Some(cut) = SizeClass::of(found, class) else { return };
            for at in pass.store.taken(number, cut).unwrap_or_default() {
                if found == kind::EXTENTS {
                    pass.extent(at + extent::HEAD);
                } else if !pass.blocks.contains_key(&at) && !pass.is_under_way(at) {
                    let stamp = [pass.word(at), pass.word(at + 8), 0];
                    pass.note(
                        at,
                        "a block for a name is allocated, and belongs to no variable",
                        stamp,
                    );
                }
            }
        });
    }

    pub(super) fn extent(&mut self, data: u64) {
        if self.extents.contains_key(&data) {
            return;
        }
        let head = data - extent::HEAD;
        let [of, id, filler] = [extent::RECORD, extent::ID, extent::FILLER]
            .map(|word| self.word(head + word as u64 * 8));
        let what = if filler == 0 {
            "an extent belongs to no value: it is freed when space is needed"
        } else {
            "an extent is being filled, or its process died while filling it"
        };
        self.note(head, what, [of, id, filler]);
    }
}
