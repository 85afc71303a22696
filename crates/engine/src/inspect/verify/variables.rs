//! The records of variables: names, extents and values.

use super::pass::Pass;
use crate::{
    handle::Handle,
    index::Query,
    inspect::{
        findings::Finding,
        parts::{RecordState, SlotContent},
    },
    layout::{self, CHUNK, Desc, State, chunk, kind, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
};
use std::thread;

/// How often the check of a value is repeated while other processes write it.
const ATTEMPTS: usize = 64;

impl<M: Mem> Pass<'_, M> {
    pub(super) fn records(&mut self, number: u64, class: usize) {
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

    pub(super) fn variable(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
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
    pub(super) fn name(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
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
    pub(super) fn extents_of(&mut self, handle: Handle, name: &str, stamp: [u64; 3]) {
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
    pub(super) fn value(&mut self, handle: Handle, name: &str) {
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
}
