//! Checking whether a region is whole: each part is compared with every other part that refers to
//! it. Writes nothing. In a region that other processes change meanwhile, a finding counts only if
//! it is the same in repeated passes.

use crate::{
    durable::recover::in_time,
    error::EngineError,
    handle::Handle,
    index::Query,
    inspect::IsMessagePack,
    inspect::parts::{ChunkHeader, RecordState, SlotContent},
    layout::{
        self, CHUNK, Desc, Meta, State, Table, chunk, commit, extent, index_word, journal, kind,
        live, marks, record, slot, spare,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    space::chunks::SizeClass,
    space::data::Data,
    store::Store,
};
use mapvar_os::{Error, ErrorKind, machine};
use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::thread;
use std::time::Duration;

/// The severity of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is lost. An operation is running or was interrupted, or space is not freed yet. The
    /// next process that opens the map for writing, or needs the space, completes that.
    Note,
    /// The map contradicts itself, or its disk has failed.
    Fault,
}

/// A finding of `Map::check` or `MapOptions::check`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Finding {
    /// Offset in the region, in bytes.
    pub at: u64,
    /// Its severity.
    pub severity: Severity,
    /// The variable concerned, if it is known.
    pub variable: Option<String>,
    /// The finding.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Fault => "fault",
        };
        write!(f, "{severity} at {:#x}: ", self.at)?;
        if let Some(variable) = &self.variable {
            write!(f, "variable {variable:?}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    findings: Vec<Finding>,
    variables: u64,
}

impl Finding {
    /// Makes a fault: the map contradicts itself at offset `at`.
    #[doc(hidden)]
    pub fn fault(at: u64, what: impl Into<String>) -> Self {
        Self { at, severity: Severity::Fault, variable: None, what: what.into() }
    }

    /// Makes a note: nothing is lost, but something at offset `at` is incomplete.
    #[doc(hidden)]
    pub fn note(at: u64, what: impl Into<String>) -> Self {
        Self { at, severity: Severity::Note, variable: None, what: what.into() }
    }
}

impl Check {
    /// Makes a result of findings, in the order of their offsets, and the number of valid
    /// variables.
    #[doc(hidden)]
    pub fn new(findings: Vec<Finding>, variables: u64) -> Self {
        Self { findings, variables }
    }

    /// Returns all findings, in the order of their offsets.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns how many findings are faults.
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|found| found.severity == Severity::Fault).count()
    }

    /// Returns how many findings are notes.
    pub fn notes(&self) -> usize {
        self.findings.len() - self.faults()
    }

    /// Returns how many variables are valid.
    pub fn variables(&self) -> u64 {
        self.variables
    }

    /// Whether there is no fault.
    pub fn is_whole(&self) -> bool {
        self.faults() == 0
    }
}

/// A finding, and the words that it was concluded from. If another process was writing them, they
/// differ in the next pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Suspicion {
    finding: Finding,
    stamp: [u64; 3],
}

/// How many passes must agree before a finding counts.
const PASSES: u32 = 4;

/// How many faults, and how many notes, are listed. A forged table can have millions.
const MOST_FINDINGS: u64 = 10_000;

/// How often the check of a value is repeated while other processes write it.
const ATTEMPTS: usize = 64;

/// One pass over the whole region.
struct Pass<'a, M: Mem> {
    store: &'a Store<M>,
    sound: bool,
    is_message_pack: IsMessagePack,
    chunks: u64,
    found: Vec<Suspicion>,
    /// How many faults and notes were found, with those that are not listed.
    faults: u64,
    notes: u64,
    variables: u64,
    /// The records of variables by name, and by id.
    names: HashMap<String, u64>,
    ids: HashMap<u64, u64>,
    /// The records of the owners of blocks and extents.
    blocks: HashMap<u64, u64>,
    extents: HashMap<u64, u64>,
    /// The journal of the owner of L.
    journal: [u64; journal::NEW + 1],
}

impl<'a, M: Mem> Pass<'a, M> {
    /// Leaves out the rest once `late` returns true.
    fn run(
        store: &'a Store<M>,
        sound: bool,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Self {
        let mut pass = Self {
            store,
            sound,
            is_message_pack,
            chunks: 0,
            found: Vec::new(),
            faults: 0,
            notes: 0,
            variables: 0,
            names: HashMap::new(),
            ids: HashMap::new(),
            blocks: HashMap::new(),
            extents: HashMap::new(),
            journal: [0; journal::NEW + 1],
        };
        let counted = store.count_now().ok().flatten();
        pass.live();
        pass.journals();
        pass.table(late);
        pass.each_described(late, |pass, number, is_filled| {
            if let Ok((kind::RECORDS, class)) = store.chunk_kind(number)
                && class < layout::RECORD_CLASSES.len()
                && is_filled
            {
                pass.records(number, class);
            }
        });
        pass.index(late);
        pass.owned(late);
        if let Some(said) = counted
            && said != pass.variables
            // The damage of a variable would be told twice.
            && pass.faults == 0
            && !late()
            && store.count_now().ok().flatten() == counted
        {
            let what = format!("{said} variables are counted, and {} are there", pass.variables);
            let at = live::AT + live::BORN as u64 * 8;
            pass.fault(at, what, [said, pass.variables, 0]);
        }
        pass
    }

    /// Calls `each` with the chunks, but for those of the header, that the table does not call
    /// free, and whether they may hold data. Nobody needs to read a hole.
    fn each_described(
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

    fn report(&mut self, finding: Finding, stamp: [u64; 3]) {
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
    fn left_out(&self) -> impl Iterator<Item = Finding> {
        let end = self.chunks * CHUNK;
        let more = |count: u64, what| {
            let beyond = count.saturating_sub(MOST_FINDINGS);
            (beyond > 0).then(|| format!("{beyond} more {what} are not listed"))
        };
        let faults = more(self.faults, "faults").map(|what| Finding::fault(end, what));
        let notes = more(self.notes, "notes").map(|what| Finding::note(end, what));
        faults.into_iter().chain(notes)
    }

    fn fault(&mut self, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding::fault(at, what), stamp);
    }

    fn note(&mut self, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding::note(at, what), stamp);
    }

    fn about(&mut self, name: &str, at: u64, what: impl Into<String>, stamp: [u64; 3]) {
        self.report(Finding { variable: Some(name.into()), ..Finding::fault(at, what) }, stamp);
    }

    fn word(&self, at: u64) -> u64 {
        self.store.mem.words(at, 1).map_or(0, |word| word.load(0, Acquire))
    }

    /// Whether the owner of L is inserting or collecting this record or block.
    fn is_under_way(&self, at: u64) -> bool {
        let [operation, record, block, ..] = self.journal;
        operation != journal::NOTHING && (at == record || at == block)
    }

    fn live(&mut self) {
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

    fn journals(&mut self) {
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

    fn stamp_of_journal(&self) -> [u64; 3] {
        let [operation, record, block, ..] = self.journal;
        [operation, record, block]
    }

    /// Checks the chunk table, and the headers of the chunks.
    fn table(&mut self, late: &dyn Fn() -> bool) {
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
    fn findable(&mut self, free: std::ops::Range<u64>) {
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
    fn parts_findable(&mut self, number: u64) {
        let (place, bit) = spare::place(number);
        // After the allocation bits: they are set before a part is freed.
        let word = self.word(layout::table_word(number));
        let bits = self.word(spare::AT + place as u64 * 8);
        if word & kind::HAS_PARTS == 0 || bits >> (spare::PARTS + bit) & 1 == 0 {
            let what = format!("a part of chunk {number} is free, and no search finds it");
            self.fault(layout::table_word(number), what, [word, bits, 0]);
        }
    }

    fn chunk_header_of(&mut self, number: u64, said: u64, class: usize, word: u64) {
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
    fn run_of(&mut self, number: u64, word: u64) -> u64 {
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

    fn records(&mut self, number: u64, class: usize) {
        let base = number * CHUNK;
        for within in 0..layout::records_in_chunk(class) {
            let at = base + layout::CHUNK_HEADER + (within * layout::record_bytes(class)) as u64;
            let Some(line) = self.store.mem.words(at, record::LINE) else {
                self.fault(at, "a record lies beyond the end", [0; 3]);
                return;
            };
            let stamp =
                || [record::STATE, record::ID, record::META].map(|word| line.load(word, Acquire));
            let before = stamp();
            let place = self.store.place(at, class);
            let bits = base + (chunk::BITS + within / 64) as u64 * 8;
            let taken = self.word(bits) >> (within % 64) & 1 != 0;
            match place {
                RecordState::Free { atomic } => {
                    if taken && !atomic && !self.is_under_way(at) {
                        self.note(at, "a record is allocated, and belongs to no variable", before);
                    }
                    continue;
                }
                RecordState::Flawed(at, what, name) => {
                    self.report(Finding { variable: name, ..Finding::fault(at, what) }, before);
                }
                RecordState::Variable(handle, name) => self.variable(handle, &name, before),
                RecordState::Retired(handle, name) => self.name(handle, &name, before),
            }
            if !taken && !self.is_under_way(at) {
                let what = format!("record {within} is marked free, and is in use");
                self.fault(bits, what, before);
            }
        }
    }

    fn variable(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
        let at = handle.at;
        self.name(handle, name, stamp);
        if let Some(other) = self.names.insert(name.into(), at) {
            let what = format!("the variable at {other:#x} has the same name");
            self.about(name, at, what, stamp);
        }
        if let Some(other) = self.ids.insert(handle.id, at) {
            let what = format!("the variable at {other:#x} has the same id");
            self.about(name, at + record::ID as u64 * 8, what, stamp);
        }
        let births = self.word(live::AT + live::BIRTHS as u64 * 8);
        if handle.id > births.max(self.store.version_base) {
            let what = format!("its id, {}, was never given out: {births} were", handle.id);
            self.about(name, at + record::ID as u64 * 8, what, [stamp[0], stamp[1], births]);
        }
        let query = Query::new(name.as_bytes(), self.store.seed);
        match self.store.find(query) {
            Ok(Some(found)) if found.at == at => {}
            _ if !self.sound || self.is_under_way(at) => {}
            Ok(_) => self.about(name, at, "the index does not lead to it", stamp),
            Err(_) => self.about(name, at, "the index lies beyond the end", stamp),
        }
        self.extents_of(handle, name, stamp);
        self.value(handle, name);
    }

    /// Checks the block of a long name.
    fn name(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
        let block = self.store.block_of(handle.at);
        if block == 0 {
            return;
        }
        let part = self.store.allocation_at(block, kind::BLOCKS).ok().flatten();
        let taken = part.and_then(|part| self.store.is_taken(part).ok());
        let what = match taken {
            None => Some("its name lies in no block for names".to_owned()),
            Some(false) if !self.is_under_way(block) => {
                Some("the block of its name is marked free".to_owned())
            }
            Some(_) => None,
        };
        if let Some(what) = what {
            self.about(name, block, what, stamp);
        }
        if let Some(other) = self.blocks.insert(block, handle.at) {
            let what = format!("the block of its name is also the one of the record at {other:#x}");
            self.about(name, block, what, stamp);
        }
    }

    /// Checks the extents to which the slots refer.
    fn extents_of(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
        if handle.atomic {
            return;
        }
        for number in 0..handle.slots() {
            let at = handle.slot_at(number);
            let Some(words) = self.store.mem.words(at, slot::LEAST) else { continue };
            let version = words.load(slot::VERSION, Acquire);
            let desc = Desc(words.load(slot::DESC, Acquire));
            let (data, capacity) =
                (words.load(slot::DATA, Acquire), words.load(slot::DATA + 1, Acquire));
            if !desc.is_extent() || desc.kind() == slot::TOMBSTONE {
                continue;
            }
            let owned = self.store.is_headed(data, handle);
            if version == slot::INVALID {
                // The slot is being written, or its writer died: it may own the extent.
                if owned {
                    self.extents.entry(data).or_insert(handle.at);
                }
                continue;
            }
            let stamp = [stamp[1], version, desc.0 ^ data];
            let at = at + slot::DATA as u64 * 8;
            match self.store.capacity_at(data) {
                _ if !owned => {
                    self.about(name, at, "a slot refers to an extent that is not its own", stamp);
                    continue;
                }
                Ok(Some(room)) if room == capacity => {}
                Ok(Some(room)) => {
                    let what = format!("an extent of {room} bytes is said to have {capacity}");
                    self.about(name, at, what, stamp);
                }
                _ => self.about(name, at, "a slot refers to an extent that is marked free", stamp),
            }
            if let Some(other) = self.extents.insert(data, handle.at) {
                let what = format!("its extent belongs also to a slot of the record at {other:#x}");
                self.about(name, at, what, stamp);
            }
        }
    }

    /// Checks the current value, with as many attempts as it takes while other processes write it.
    fn value(&mut self, handle: Handle, name: &str) {
        let Some(line) = self.store.mem.words(handle.at, record::LINE) else { return };
        // A name that begins with a zero byte is none of a user: a lock, or a layout.
        let is_of_user = !name.starts_with('\0');
        for attempt in 0..ATTEMPTS {
            let state = State(line.load(record::STATE, Acquire));
            if line.load(record::ID, Acquire) != handle.id {
                return;
            }
            let number = state.current();
            let held = self.store.held(handle, number, self.is_message_pack);
            self.store.mem.fence(Acquire);
            let version = self.word(handle.slot_at(number));
            let same = line.load(record::STATE, Relaxed) == state.0
                && line.load(record::ID, Relaxed) == handle.id;
            if !same || (attempt == 0 && version != state.version()) {
                thread::yield_now();
                continue;
            }
            let whole = version == state.version();
            let flaw = match held {
                _ if !whole => {
                    Some((handle.at, "the version of its value is not the one published".into()))
                }
                SlotContent::Nothing => Some((handle.at, "its current slot holds nothing".into())),
                SlotContent::Flawed(at, what) => Some((at, what)),
                SlotContent::Tombstone if !state.removed() => {
                    Some((handle.at, "it is removed, and its state does not say so".into()))
                }
                SlotContent::Value(_) | SlotContent::Ephemeral(_) if state.removed() => {
                    Some((handle.at, "its state says that it is removed, and it is not".into()))
                }
                SlotContent::Tombstone => None,
                SlotContent::Value(_) => {
                    self.variables += u64::from(is_of_user);
                    None
                }
                // It does not count if its owner process is gone.
                SlotContent::Ephemeral(owner) => {
                    let lives = self.store.lives(owner).unwrap_or(true);
                    self.variables += u64::from(is_of_user && lives);
                    None
                }
            };
            if let Some((at, what)) = flaw {
                self.about(name, at, what, [state.0, handle.id, version]);
            }
            return;
        }
        // Other processes write it all the time: the variable exists.
        self.variables += u64::from(is_of_user);
    }

    fn index(&mut self, late: &dyn Fn() -> bool) {
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

    fn index_word(&mut self, at: u64, word: u64, root: u64, led: &mut HashSet<u64>) {
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

    /// Checks for allocated blocks and extents without an owner.
    fn owned(&mut self, late: &dyn Fn() -> bool) {
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

    fn extent(&mut self, data: u64) {
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

impl<M: Mem> Store<M> {
    /// As [`check`](Self::check), but one pass counts: no other process changes the region.
    pub fn check_once(&self, sound: bool, is_message_pack: IsMessagePack) -> Check {
        let pass = Pass::run(self, sound, is_message_pack, &|| false);
        let left_out: Vec<_> = pass.left_out().collect();
        let findings = pass.found.into_iter().map(|found| found.finding).chain(left_out).collect();
        Check { findings, variables: pass.variables }
    }

    /// Returns whether the region contradicts itself nowhere. No other process may change it
    /// meanwhile.
    ///
    /// # Errors
    /// [`TimedOut`](mapvar_os::ErrorKind::TimedOut) once `late` returns true.
    pub fn is_whole(
        &self,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Result<bool, EngineError> {
        let pass = Pass::run(self, true, is_message_pack, late);
        in_time(late)?;
        Ok(pass.faults == 0)
    }

    /// Checks the whole region, and adds the `known` findings. If the header is not `sound`, the
    /// seed of the names' hash is unknown, and no name is looked up.
    ///
    /// # Errors
    /// [`TimedOut`](mapvar_os::ErrorKind::TimedOut) once `late` returns true.
    pub fn check(
        &self,
        known: &[Finding],
        sound: bool,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Result<Check, EngineError> {
        let mut pass = Pass::run(self, sound, is_message_pack, late);
        let mut found = std::mem::take(&mut pass.found);
        for round in 0..PASSES {
            if found.is_empty() || late() {
                break;
            }
            machine::nap(Duration::from_millis(2) * (1 << round));
            pass = Pass::run(self, sound, is_message_pack, late);
            let again: HashSet<&Suspicion> = pass.found.iter().collect();
            found.retain(|found| again.contains(found));
        }
        if late() {
            return Err(EngineError::Explained(Error::new(ErrorKind::TimedOut, "", "").detail(
                "it takes longer than it may; give it a longer time (`recovery_timeout`, \
                 `--timeout`), as the size of its data asks for",
            )));
        }
        let mut findings: Vec<_> = found.into_iter().map(|found| found.finding).collect();
        if !findings.is_empty() {
            findings.extend(pass.left_out());
        }
        findings.extend_from_slice(known);
        findings.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
        Ok(Check { findings, variables: pass.variables })
    }
}
