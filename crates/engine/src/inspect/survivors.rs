//! The readable variables of a damaged region: its records, each judged by its own words.

use crate::{
    handle::Handle,
    inspect::IsMessagePack,
    inspect::parts::{ChunkHeader, RecordState, SlotContent},
    layout::{self, CHUNK, State, chunk, journal, kind, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    store::Store,
    value::OwnedValue,
};
use std::collections::hash_map::Entry;
use std::{collections::HashMap, fmt};

/// A variable that was lost, or whose newest value was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Offset of the damage, in bytes from the start of the damaged map.
    pub at: u64,
    /// The variable's name, if it is known.
    pub variable: Option<String>,
    /// The damage.
    pub what: String,
    /// Whether an older value was saved, or one that may not be the newest.
    pub older: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost at {:#x}: ", self.at)?;
        match &self.variable {
            Some(name) => write!(f, "variable {name:?}: {}", self.what)?,
            None => f.write_str(&self.what)?,
        }
        f.write_str(if self.older { "; an older value of it is saved" } else { "" })
    }
}

impl Lost {
    /// Makes the report of a loss at offset `at`.
    #[doc(hidden)]
    pub fn new(at: u64, variable: Option<String>, what: impl Into<String>, older: bool) -> Self {
        Self { at, variable, what: what.into(), older }
    }
}

/// Whether a chunk contains records.
enum Holds {
    /// Records of this class: everything in the chunk that is no valid record is a lost one.
    Records(usize),
    /// Perhaps records: only valid ones count.
    Perhaps,
    Others,
}

impl<M: Mem> Store<M> {
    /// Returns the variables with valid names, in the order of their records.
    pub fn survivors(&self, chunks: u64, lost: &mut Vec<Lost>) -> Vec<(String, Handle)> {
        let mut by_name: HashMap<String, Handle> = HashMap::new();
        let mut add = |handle: Handle, name: String| match by_name.entry(name) {
            // Of two with the same name, the newer one counts.
            Entry::Occupied(mut entry) if entry.get().id < handle.id => {
                entry.insert(handle);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => {
                entry.insert(handle);
            }
        };
        let mut used = self.used_chunks(chunks);
        let mut from = layout::META_CHUNKS;
        while let Some(number) = used.described_or_filled(from) {
            if let Some(span) = self.run_from(number) {
                from = number + span;
                continue;
            }
            match self.holds(number) {
                Holds::Records(class) => self.in_chunk(number, class, &mut add, Some(lost)),
                Holds::Perhaps => {
                    for class in 0..layout::RECORD_CLASSES.len() {
                        self.in_chunk(number, class, &mut add, None);
                    }
                }
                Holds::Others => {}
            }
            from = number + 1;
        }
        let mut found: Vec<_> = by_name.into_iter().collect();
        found.sort_unstable_by_key(|(_, handle)| handle.at);
        found
    }

    /// Returns the chunks of the run that begins with chunk `number`, if table and header agree
    /// that one does.
    fn run_from(&self, number: u64) -> Option<u64> {
        let agreed = self.chunk_says(number) == ChunkHeader::Good(kind::RUN, 0)
            && self.chunk_kind(number).is_ok_and(|(kind, _)| kind == kind::RUN);
        let span = self.run_len(number).ok().filter(|_| agreed)?;
        // The run ends at the first chunk that the table does not call a part of it.
        let rest = (1..span.min(layout::MOST_CHUNKS)).take_while(|next| {
            layout::holds_table(number + next)
                || self.chunk_kind(number + next).is_ok_and(|(kind, _)| kind == kind::REST)
        });
        Some(1 + rest.count() as u64)
    }

    fn holds(&self, number: u64) -> Holds {
        let table = self.chunk_kind(number).ok();
        match (self.chunk_says(number), table) {
            (ChunkHeader::Good(kind::RECORDS, class), _)
                if class < layout::RECORD_CLASSES.len() =>
            {
                Holds::Records(class)
            }
            (ChunkHeader::Good(..), _) => Holds::Others,
            (_, Some((kind::RECORDS, class))) if class < layout::RECORD_CLASSES.len() => {
                Holds::Records(class)
            }
            // A valid header of another map belongs to the image of a map, in a value that was
            // freed.
            (ChunkHeader::Bad(_), Some((kind::FREE, _))) if self.is_anothers(number) => {
                Holds::Others
            }
            (ChunkHeader::Bad(_), _) | (ChunkHeader::None, Some((kind::RECORDS, _))) => {
                Holds::Perhaps
            }
            (ChunkHeader::None, _) => Holds::Others,
        }
    }

    fn is_anothers(&self, number: u64) -> bool {
        let Some(words) = self.mem().words(number * CHUNK, chunk::WORDS) else { return false };
        let load = |word| words.load(word, Relaxed);
        let said = load(chunk::NUMBER);
        said != number || load(chunk::UUID) != self.uuid
    }

    fn in_chunk(
        &self,
        number: u64,
        class: usize,
        add: &mut impl FnMut(Handle, String),
        mut lost: Option<&mut Vec<Lost>>,
    ) {
        let base = number * CHUNK;
        // Only a valid header says which records are allocated.
        let whole = matches!(self.chunk_says(number), ChunkHeader::Good(..));
        let header = self.mem().words(base, chunk::WORDS).filter(|_| whole);
        let is_taken = |within: usize| {
            header.is_some_and(|words| {
                words.load(chunk::BITS + within / 64, Relaxed) >> (within % 64) & 1 != 0
            })
        };
        for within in 0..layout::records_in_chunk(class) {
            let at = base + layout::CHUNK_HEADER + (within * layout::record_bytes(class)) as u64;
            let (at, what, variable) = match self.place(at, class) {
                RecordState::Variable(handle, name) => {
                    add(handle, name);
                    continue;
                }
                RecordState::Free { atomic: false }
                    if is_taken(within) && !self.is_journalled(at) =>
                {
                    (at, "its location is allocated, and holds nothing", None)
                }
                RecordState::Flawed(at, what, name) => (at, what, name),
                RecordState::Free { .. } | RecordState::Retired(..) => continue,
            };
            if let Some(lost) = &mut lost {
                lost.push(Lost { at, variable, what: what.into(), older: false });
            }
        }
    }

    /// Whether the record was being inserted or collected.
    fn is_journalled(&self, at: u64) -> bool {
        self.mem().words(journal::AT, journal::WORDS).is_some_and(|journal| {
            journal.load(journal::OPERATION, Relaxed) != journal::NOTHING
                && journal.load(journal::RECORD, Relaxed) == at
        })
    }

    /// Returns the value of a variable. If it is damaged, returns the newest older one, and the
    /// offset and kind of the damage. Returns neither for a removed variable.
    pub fn newest_whole(
        &self,
        handle: Handle,
        is_message_pack: IsMessagePack,
    ) -> (Option<OwnedValue>, Option<(u64, String)>) {
        let Some(line) = self.mem().words(handle.at, record::LINE) else { return (None, None) };
        let state = State(line.load(record::STATE, Acquire));
        let version = |number| {
            let words = self.mem().words(handle.slot_at(number), slot::LEAST);
            words.map_or(slot::INVALID, |words| words.load(slot::VERSION, Relaxed))
        };
        let current = handle.current(state);
        let published = version(current) == state.version();
        let flaw = if published {
            match self.held(handle, current, is_message_pack) {
                SlotContent::Value(captured) => return (Some(captured), None),
                // The owner process of an ephemeral value has ended.
                SlotContent::Tombstone | SlotContent::Ephemeral(_) => return (None, None),
                SlotContent::Nothing => (handle.at, "its current slot holds nothing".into()),
                SlotContent::Flawed(at, what) => (at, what),
            }
        } else {
            (handle.at, "the version of its value is not the one published".into())
        };
        // A version above the published one was never published.
        let mut others: Vec<usize> = (0..handle.slots())
            .filter(|number| version(*number) != slot::INVALID && version(*number) > 0)
            .filter(|number| !published || version(*number) < state.version())
            .collect();
        others.sort_unstable_by_key(|number| std::cmp::Reverse(version(*number)));
        if handle.atomic && others.len() != 1 {
            // The slots of an Atomic hold only the kind of its word.
            others.clear();
        }
        for number in others {
            match self.held(handle, number, is_message_pack) {
                SlotContent::Value(captured) => return (Some(captured), Some(flaw)),
                SlotContent::Ephemeral(_) | SlotContent::Tombstone => break,
                SlotContent::Nothing | SlotContent::Flawed(..) => {}
            }
        }
        (None, Some(flaw))
    }
}
