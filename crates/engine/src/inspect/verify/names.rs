//! The index.

use super::pass::Pass;
use crate::{
    index::Query,
    layout::{self, CHUNK, Meta, Table, index_word, journal, kind, live, record},
    mem::{Load, Mem, Ordering::Acquire},
    space::data::Data,
};
use std::collections::HashSet;

impl<M: Mem> Pass<'_, M> {
    pub(super) fn index(&mut self, late: &dyn Fn() -> bool) {
        let at = live::AT + live::ROOT as u64 * 8;
        let root = self.word(at);
        let table = Table::of_root(root);
        let first = table.at / CHUNK;
        let count = usize::try_from(table.lines * 8).unwrap_or(usize::MAX);
        let Some(words) = self.store.mem.words(table.at, count) else {
            self.fault(at, "the index lies beyond the end", [root, 0, 0]);
            return;
        };
        let lies_well = if table.at == layout::FIRST_INDEX {
            table.lines == layout::FIRST_INDEX_LINES
        } else {
            table.at.is_multiple_of(CHUNK)
                && (first..first + table.chunks()).all(|number| {
                    self.store.chunk_kind(number).is_ok_and(|(found, _)| found == kind::INDEX)
                })
        };
        if !lies_well {
            self.fault(at, "the index lies in chunks that are not its own", [root, 0, 0]);
        }
        let mut led = HashSet::new();
        let (mut data, mut from) = (Data::of(&self.store.mem), 0);
        // In a hole every word is empty. A forged root can call a whole sparse file an index.
        while let Some(at) = data.at_or_after(table.at + from as u64 * 8)
            && !late()
        {
            let number = ((at - table.at) / 8) as usize;
            if number >= count {
                break;
            }
            from = number + 1;
            let word = words.load(number, Acquire);
            if word != index_word::EMPTY && word != index_word::TOMBSTONE {
                self.index_word(table.at + number as u64 * 8, word, root, &mut led);
            }
        }
        let [operation, ..] = self.journal;
        self.each_described(late, |pass, number, _| {
            let is_of_it = table.at != layout::FIRST_INDEX
                && (first..first + table.chunks()).contains(&number);
            if operation != journal::ROOT
                && !is_of_it
                && matches!(pass.store.chunk_kind(number), Ok((kind::INDEX, _)))
            {
                let at = layout::table_word(number);
                pass.note(at, format!("chunk {number} is of an index out of use"), [root, 0, 0]);
            }
        });
    }

    pub(super) fn index_word(&mut self, at: u64, word: u64, root: u64, led: &mut HashSet<u64>) {
        let record = index_word::record(word);
        if self.is_under_way(record) {
            return;
        }
        let line = self.store.mem.words(record, record::LINE);
        let part = self.store.record_at(record).ok().flatten();
        let (Some(line), Some(_)) = (line, part) else {
            let what = format!("the index leads to {record:#x}, where no record can be");
            return self.fault(at, what, [word, root, 0]);
        };
        let (id, meta) = (line.load(record::ID, Acquire), line.load(record::META, Acquire));
        let stamp = [word, id, root ^ meta];
        if id == 0 || id & record::RETIRED != 0 {
            let what = format!("the index leads to {record:#x}, where no variable is");
            return self.fault(at, what, stamp);
        }
        if !led.insert(record) {
            self.fault(at, format!("the index leads to {record:#x} twice"), stamp);
        }
        let name = self.store.name_of(record);
        let fits = name
            .is_some_and(|name| index_word::fits(word, Query::new(&name, self.store.seed).hash));
        if self.sound && !fits && Meta(meta).is_known() {
            let what = format!("the index leads to {record:#x} by the hash of another name");
            self.fault(at, what, stamp);
        }
    }
}
