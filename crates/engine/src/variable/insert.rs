//! Inserting a variable.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    header::meta_crc,
    index::{Query, inline_bytes, store_name},
    layout::{self, BLOCK_CLASSES, Meta, RECORD_CLASSES, State, journal, live, record, slot},
    mem::{
        Load as _, Mem,
        Ordering::{Relaxed, Release},
        StoreWords as _,
    },
    reclaim::grow::Space,
    space::chunks::{Allocation, SizeClass},
    store::Store,
    value::{Kind, Payload, Raw},
};

/// The outcome of an insertion.
#[derive(Debug)]
pub enum Inserted {
    /// A new variable.
    New(Handle),
    /// The name already had a record, perhaps since another process was faster. Nothing was
    /// changed.
    Found(Handle),
}

/// The space that the largest record takes.
const BYTES: u64 = layout::record_bytes(layout::RECORD_CLASSES.len() - 1) as u64;

impl<M: Mem> Store<M> {
    /// Inserts a variable, unless the name already has a record.
    pub fn insert(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        atomic: bool,
    ) -> Result<Inserted, EngineError> {
        let (space, bytes) = (Space::Reclaimed, BYTES);
        if self.class_of(raw.inline_len()).is_none() {
            // Inserted as a removed variable, whose value the caller then sets as any other: an
            // extent needs a record that it belongs to.
            let made =
                self.with_space(space, bytes, || self.insert_once(query, &Raw::TOMBSTONE, atomic))?;
            let (Inserted::New(handle) | Inserted::Found(handle)) = made;
            return Ok(Inserted::Found(handle));
        }
        self.with_space(space, bytes, || self.insert_once(query, raw, atomic))
    }

    /// Returns the record of the name, and inserts it as that of a removed variable if there is
    /// none. For a transaction, which collects no removed variables, and so none of its own.
    pub fn insert_for_commit(&self, query: Query<'_>) -> Result<Handle, EngineError> {
        let made = self
            .with_space(Space::Grown, BYTES, || self.insert_once(query, &Raw::TOMBSTONE, false))?;
        let (Inserted::New(handle) | Inserted::Found(handle)) = made;
        Ok(handle)
    }

    fn insert_once(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        atomic: bool,
    ) -> Result<Inserted, EngineError> {
        let _held = self.lock_structure()?;
        // Looked up again under L: another process may have inserted the name since.
        if let Some(found) = self.find(query)? {
            return Ok(Inserted::Found(found));
        }
        let (wanted, least) = self.classes_for(raw);
        let flags = if atomic { record::ATOMIC } else { 0 };
        let inline = inline_bytes(Meta::new(0, 0, flags));
        let block = if query.name.len() > inline {
            Some(self.find_block(query.name.len() + 8)?)
        } else {
            None
        };
        let wanted = if self.has_space_to_spare()? { wanted } else { least };
        let room = self.find_record(wanted, least)?;
        if !self.index_has_space()? {
            match self.rebuild() {
                Ok(()) => {}
                // No run of chunks is free for a larger index: the old one serves until its probe
                // bound.
                Err(EngineError::Full { .. }) if !self.can_grow()? => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let place = match self.vacancy(self.table()?, query.hash)? {
            Some(place) => place,
            None => {
                self.rebuild()?;
                let again = self.vacancy(self.table()?, query.hash)?;
                again.ok_or(EngineError::Corrupt("the index overflows at a low load", 0))?
            }
        };

        // The journal before the bits: a death in between would leak the allocation.
        let journal = self.journal()?;
        // SYNC POINT S8. A snapshot that finds this record has the former insertion's variable.
        journal.store(journal::RECORD, room.at, Release);
        journal.store(journal::BLOCK, block.map_or(0, |block| block.at), Relaxed);
        let live = self.live_mut()?;
        let removed = raw.kind == slot::TOMBSTONE;
        let counts = !removed && query.name.first() != Some(&0);
        // In the journal, so that a successor does not count the variable twice.
        let born = live.load(live::BORN, Relaxed).wrapping_add(u64::from(counts));
        journal.store(journal::BORN, born, Relaxed);
        // SYNC POINT S8.
        journal.store(journal::OPERATION, journal::INSERT, Release);
        self.take_bit(room)?;
        if let Some(block) = block {
            self.take_bit(block)?;
        }

        let handle = Handle::new(room.at, 0, room.class, atomic);
        let words = self.mem.words_mut(room.at, handle.words()).ok_or_else(|| outside(room.at))?;
        words.store(record::ID, 0, Relaxed);
        // SYNC POINT S3. Pairs with the Acquire fence before the last load of the id: a reader of
        // the former variable that sees a word stored below sees that the id is gone.
        self.mem.fence(Release);
        let id = self.new_id()?;
        if let Some(block) = block {
            let count = query.name.len().div_ceil(8) + 1;
            let name = self.mem.words_mut(block.at, count).ok_or_else(|| outside(block.at))?;
            // The block names its owner. The same name may be inserted again in the same block
            // while its former record is still in the file. Without the id both records would be
            // valid, and recovery would give the block to both.
            name.store(0, id, Relaxed);
            store_name(name, (layout::BLOCK_NAME / 8) as usize, query.name);
            let (prefix, _) = query.name.split_at(inline - 8);
            store_name(words, record::NAME, prefix);
            words.store(record::NAME + inline / 8 - 1, block.at, Relaxed);
        } else {
            store_name(words, record::NAME, query.name);
        }
        let meta = Meta::new(query.name.len(), room.class, flags);
        words.store(record::META, meta.with_crc(meta_crc(id, meta, query.name)).0, Relaxed);
        for number in 1..handle.slots() {
            words.store(handle.slot(number) + slot::VERSION, slot::INVALID, Relaxed);
            words.store(handle.slot(number) + slot::SEAL, 0, Relaxed);
            // The slot forgets the extents of the record's former variable. One of them may soon
            // belong to this variable by another slot, and would then have two owners.
            words.store(handle.slot(number) + slot::DESC, 0, Relaxed);
        }
        let version = 1.max(self.version_base);
        let _ = self
            .fill_slot(handle.slot_at(0), version, raw, true)
            .ok_or_else(|| outside(room.at))?;
        if atomic {
            self.mark_atomics(room.at)?;
            words.store(record::VALUE, raw.first_word(), Relaxed);
        }
        let state = State::new(version, 0, 0, 0);
        let state = if removed { state.of_tombstone() } else { state };
        words.store(record::STATE, state.0, Release);

        self.link(place, query.hash, room.at)?;
        // SYNC POINT S4: the publication. Before it, the index word leads to a record without an
        // id; after it, the variable exists. The id is stored after the index word. In the other
        // order, a set through a handle that found the record by its id could be acknowledged, and
        // lost with the inserter's death.
        words.store(record::ID, id, Release);
        // SYNC POINT S22. A count that finds the operation in the journal does not rely on it.
        live.store(live::BORN, born, Release);
        if self.file {
            // After the id: a flush in between would clear the bit and pass over a record without
            // an id, and no later flush would find it.
            self.mark_dirty(room.at).ok_or_else(|| outside(room.at))?;
        }
        // Before the journal is cleared: if this process dies before the wake, the replay wakes.
        self.wake_for_birth(room.at);
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(Inserted::New(Handle { id, ..handle }))
    }

    /// Finds a free allocation for a record of class `wanted`; else of a larger class, else of a
    /// smaller one that still holds the value. Marks nothing as allocated.
    pub(crate) fn find_record(
        &self,
        wanted: usize,
        least: usize,
    ) -> Result<Allocation, EngineError> {
        for class in (wanted..layout::classes(self.file).end).chain(least..wanted) {
            if let Some(room) =
                self.find_space(SizeClass::records(class), |places| self.make_index_fit(places))?
            {
                return Ok(room);
            }
        }
        Err(EngineError::Full { needed: layout::record_bytes(least) as u64, free: 0 })
    }

    /// Finds a free block for a name that is too long for its record.
    fn find_block(&self, bytes: usize) -> Result<Allocation, EngineError> {
        let fits = BLOCK_CLASSES.iter().position(|size| *size >= bytes);
        for class in fits.unwrap_or(BLOCK_CLASSES.len())..BLOCK_CLASSES.len() {
            if let Some(room) = self.find_space(SizeClass::blocks(class), |_| Ok(()))? {
                return Ok(room);
            }
        }
        Err(EngineError::Full { needed: bytes as u64, free: 0 })
    }

    /// Returns the smallest class whose records hold so many bytes; `None` if none does.
    fn class_of(&self, bytes: usize) -> Option<usize> {
        let holds = |class: &usize| RECORD_CLASSES.get(*class).is_some_and(|room| *room >= bytes);
        layout::classes(self.file).find(holds)
    }

    /// Returns the class of record for a new variable, and the smallest that holds the value. Text
    /// and bytes often grow, so their record holds an eighth more, and more than the smallest does.
    /// Plain values never grow. A value that outgrows its record goes to an extent.
    fn classes_for(&self, raw: &Raw<'_>) -> (usize, usize) {
        const CONSTANT: [u8; 3] = [slot::TOMBSTONE, Kind::Pod as u8, Kind::Plain as u8];
        let (len, first) = (raw.inline_len(), layout::classes(self.file).start);
        let least = self.class_of(len).unwrap_or(first);
        match raw.payload {
            Payload::Bytes(_) if !CONSTANT.contains(&raw.kind) => {
                (self.class_of(len + len / 8).unwrap_or(least).max(first + 1), least)
            }
            _ => (least, least),
        }
    }
}
