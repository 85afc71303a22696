//! One pass over a region: what it has found, and the words of the header.

use crate::{
    inspect::{
        IsMessagePack,
        findings::{Finding, Severity},
    },
    layout::{self, CHUNK, commit, journal, live, marks},
    mem::{Load, Mem, Ordering::Acquire},
    store::Store,
};
use std::collections::HashMap;

/// A finding, and the words that it was concluded from. If another process was writing them, they
/// differ in the next pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Suspicion {
    pub(super) finding: Finding,
    pub(super) stamp: [u64; 3],
}

/// How many faults, and how many notes, are listed. A forged table can have millions.
const MOST_FINDINGS: u64 = 10_000;

/// One pass over the whole region.
pub(super) struct Pass<'a, M: Mem> {
    pub(super) store: &'a Store<M>,
    pub(super) sound: bool,
    pub(super) is_message_pack: IsMessagePack,
    pub(super) chunks: u64,
    pub(super) found: Vec<Suspicion>,
    /// How many faults and notes were found, with those that are not listed.
    pub(super) faults: u64,
    pub(super) notes: u64,
    pub(super) variables: u64,
    /// The records of variables by name, and by id.
    pub(super) names: HashMap<String, u64>,
    pub(super) ids: HashMap<u64, u64>,
    /// The records of the owners of blocks and extents.
    pub(super) blocks: HashMap<u64, u64>,
    pub(super) extents: HashMap<u64, u64>,
    /// The journal of the owner of L.
    pub(super) journal: [u64; journal::NEW + 1],
}

impl<M: Mem> Pass<'_, M> {
    /// Calls `each` with the chunks, but for those of the header, that the table does not call
    /// free, and whether they may hold data. Nobody needs to read a hole.
    pub(super) fn each_described(
        &mut self,
        late: &dyn Fn() -> bool,
        mut each: impl FnMut(&mut Self, u64, bool),
    ) {
        let mut used = self.store.used_chunks(self.chunks);
        let mut next = used.described(layout::META_CHUNKS);
        while let Some(number) = next
            && !late()
        {
            each(self, number, used.is_filled(number));
            next = used.described(number + 1);
        }
    }

    pub(super) fn report(&mut self, finding: Finding, stamp: [u64; 3]) {
        let count = match finding.severity {
            Severity::Fault => &mut self.faults,
            Severity::Note => &mut self.notes,
        };
        *count += 1;
        if *count <= MOST_FINDINGS {
            self.found.push(Suspicion { finding, stamp });
        }
    }

    /// Says of which severities there are more findings than the list has.
    pub(super) fn left_out(&self) -> impl Iterator<Item = Finding> {
        let end = self.chunks * CHUNK;
        let more = |count: u64, what| {
            let beyond = count.saturating_sub(MOST_FINDINGS);
            (beyond > 0).then(|| format!("{beyond} more {what} are not listed"))
        };
        let faults = more(self.faults, "faults").map(|what| Finding::fault(end, what));
        let notes = more(self.notes, "notes").map(|what| Finding::note(end, what));
        faults.into_iter().chain(notes)
    }

    pub(super) fn fault(&mut self, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding::fault(at, what), stamp);
    }

    pub(super) fn note(&mut self, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding::note(at, what), stamp);
    }

    pub(super) fn about(&mut self, name: &str, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding { variable: Some(name.into()), ..Finding::fault(at, what) }, stamp);
    }

    pub(super) fn word(&self, at: u64) -> u64 {
        self.store.mem.words(at, 1).map_or(0, |word| word.load(0, Acquire))
    }

    /// Whether the owner of L is inserting or collecting this record or block.
    pub(super) fn is_under_way(&self, at: u64) -> bool {
        let [operation, record, block, ..] = self.journal;
        operation != journal::NOTHING && (at == record || at == block)
    }

    pub(super) fn live(&mut self) {
        let at = live::AT + live::CHUNKS as u64 * 8;
        let said = self.word(at);
        self.chunks = self.store.chunk_count().unwrap_or(0);
        if said > self.chunks {
            let what = format!("{said} chunks are said to be there, and {} are", self.chunks);
            self.fault(at, what, [said, 0, 0]);
        } else if said < layout::META_CHUNKS {
            self.fault(at, format!("{said} chunks are too few for a map"), [said, 0, 0]);
        }
        if self.store.file && self.store.has_failed().unwrap_or(false) {
            let at = live::AT + live::FAILED as u64 * 8;
            let what = "the disk failed at a flush, and no flush succeeds any more: save the \
                        variables into a new file, with `mapvar repair`";
            self.fault(at, what, [1, 0, 0]);
        }
    }

    pub(super) fn journals(&mut self) {
        for (at, word) in self.journal.iter_mut().enumerate() {
            let at = journal::AT + at as u64 * 8;
            *word = self.store.mem.words(at, 1).map_or(0, |word| word.load(0, Acquire));
        }
        let [operation, at, ..] = self.journal;
        let what = match operation {
            journal::NOTHING => None,
            journal::INSERT => Some("a variable is being made"),
            journal::UNLINK => Some("a removed variable is being collected"),
            journal::ROOT => Some("the index is being rebuilt"),
            journal::RUN => Some("space for a large value is being reserved"),
            _ => {
                let what = format!("the journal has an operation {operation}, which is none");
                self.fault(journal::AT, what, self.stamp_of_journal());
                None
            }
        };
        if let Some(what) = what {
            let what =
                format!("{what}, or its process died while doing so: the next writer completes it");
            self.note(journal::AT, what, [operation, at, self.word(live::AT + 8)]);
        }
        let [status, count] =
            [commit::STATUS, commit::COUNT].map(|word| self.word(commit::AT + word as u64 * 8));
        let stamp = [status, count, 0];
        if status > commit::COMMITTED || count > marks::MOST as u64 {
            self.fault(commit::AT, "the journal of transactions is invalid", stamp);
        } else if status != 0 || count != 0 {
            let what = "a transaction is under way, or its process died: the next writer \
            completes it";
            self.note(commit::AT, what, stamp);
        }
    }

    pub(super) fn stamp_of_journal(&self) -> [u64; 3] {
        let [operation, record, block, ..] = self.journal;
        [operation, record, block]
    }
}
