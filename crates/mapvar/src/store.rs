//! The store: variables in a region, by name. Structure (insert, collect) is changed under one
//! lock, L, with a journal that whoever takes L next replays.

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]

use crate::{
    engine::{Expect, Handle, Store, Which, Wrote, meta_crc},
    index::{self, Query},
    layout::{
        self, Desc, Meta, State, Table, chunk, journal, live, record, record_bytes, room, slot,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        Store as _,
    },
    raw::{Payload, Raw},
    slots::Seen,
    trouble::{Trouble, outside},
};
use mapvar_os::{Locks, Refused, Taken};

/// What came of an insertion.
#[derive(Debug)]
pub enum Inserted {
    /// A new variable.
    New(Handle),
    /// Somebody was quicker, or it was there: nothing was changed.
    Found(Handle),
}

/// L, held. Unlocked when dropped.
pub(crate) struct Structure<'a, M: Mem>(&'a Store<M>);

impl<M: Mem> Drop for Structure<'_, M> {
    fn drop(&mut self) {
        self.0.mem.unlock(live::LOCK_L);
    }
}

/// How often an operation begins again because of others.
const TRIES: usize = 64;

impl<M: Mem> Store<M> {
    /// Sets a variable, making it where there is none; answers its version.
    #[inline]
    pub fn set(&self, query: Query<'_>, raw: &Raw<'_>) -> Result<u64, Trouble> {
        if let Some(handle) = self.find(query)?
            && let Wrote::Version(version) = self.write(handle, raw)?
        {
            return Ok(version);
        }
        self.set_slowly(query, raw)
    }

    #[cold]
    fn set_slowly(&self, query: Query<'_>, raw: &Raw<'_>) -> Result<u64, Trouble> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else {
                match self.insert(query, raw, false)? {
                    Inserted::New(_) => return Ok(1.max(self.version_base)),
                    Inserted::Found(_) => continue,
                }
            };
            match self.write(handle, raw) {
                Ok(Wrote::Version(version)) => return Ok(version),
                Ok(Wrote::Unfit) => self.make_way(handle)?,
                Ok(_) => {}
                Err(trouble) => {
                    // What may have been made for the value, and stayed empty, goes.
                    let _ = self.collect(handle);
                    return Err(trouble);
                }
            }
        }
        Err(Trouble::Contended)
    }

    /// Sets a variable where what stands there is as expected; `Err` has what stands there instead:
    /// the variable's id and version, or zeros.
    pub fn set_if(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        expect: Option<Which>,
    ) -> Result<Result<Which, Which>, Trouble> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else {
                if expect.is_some() {
                    return Ok(Err((0, 0)));
                }
                match self.insert(query, raw, false)? {
                    Inserted::New(handle) => return Ok(Ok((handle.id, 1.max(self.version_base)))),
                    Inserted::Found(_) => continue,
                }
            };
            if self.is_removed_atomic(handle)? {
                // Its name is nobody's.
                if expect.is_some() {
                    return Ok(Err((0, 0)));
                }
                self.make_way(handle)?;
                continue;
            }
            let expected = match expect {
                None => Expect::Absent,
                Some((id, version)) if id == handle.id => Expect::Version(version),
                // A version of another variable of this name, which is no more.
                Some(_) => Expect::Version(u64::MAX),
            };
            match self.write_if(handle, raw, expected)? {
                Wrote::Version(version) => return Ok(Ok((handle.id, version))),
                Wrote::Other(0) => return Ok(Err((0, 0))),
                Wrote::Other(version) => return Ok(Err((handle.id, version))),
                Wrote::Unfit => self.make_way(handle)?,
                Wrote::Stale | Wrote::Absent => {}
            }
        }
        Err(Trouble::Contended)
    }

    /// Removes a variable; answers whether it was there.
    pub fn remove(&self, query: Query<'_>) -> Result<bool, Trouble> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else { return Ok(false) };
            match self.remove_record(handle)? {
                Wrote::Version(_) => return Ok(true),
                Wrote::Absent => return Ok(false),
                Wrote::Stale | Wrote::Unfit | Wrote::Other(_) => {}
            }
        }
        Err(Trouble::Contended)
    }

    /// Removes the variable that a handle stands for: a tombstone is set as a value is, then the
    /// record is collected.
    pub fn remove_record(&self, handle: Handle) -> Result<Wrote, Trouble> {
        let wrote = self.write(handle, &Raw::TOMBSTONE)?;
        // An Atomic's record waits for an Atomic of the same name.
        if !handle.atomic && (wrote == Wrote::Absent || matches!(wrote, Wrote::Version(_))) {
            // It is removed, whatever comes of this: who needs the room tries again.
            let _ = self.collect(handle);
        }
        Ok(wrote)
    }

    /// Takes L, and replays what its last holder left half-done.
    pub(crate) fn lock_structure(&self) -> Result<Structure<'_, M>, Trouble> {
        if self.mem.words_mut(live::AT, live::WORDS).is_none() {
            return Err(Trouble::ReadOnly);
        }
        // SYNC POINT S5, S8.
        let _ = self.mem.lock(live::LOCK_L).map_err(Trouble::Lock)?;
        let held = Structure(self);
        // Always, and not only when the last holder died: the journal is the truth, the kernel's
        // word only a hint.
        self.replay()?;
        Ok(held)
    }

    /// Takes the lock of a record. A mark on it stands for L or T: taking that one replays, which
    /// takes the mark away.
    #[inline]
    pub(crate) fn lock_record(&self, handle: Handle) -> Result<(), Trouble> {
        match self.mem.lock(handle.lock()) {
            Ok(Taken::Clean) => Ok(()),
            other => self.lock_record_slowly(handle, other),
        }
    }

    #[cold]
    fn lock_record_slowly(
        &self,
        handle: Handle,
        mut taken: Result<Taken, Refused>,
    ) -> Result<(), Trouble> {
        let mut tries = 0..TRIES;
        loop {
            match taken {
                Ok(Taken::Clean) => return Ok(()),
                // Its holder may have published and died before it woke those who wait for it.
                Ok(Taken::Recovered) => {
                    self.rouse_waiters(handle);
                    return Ok(());
                }
                Err(Refused::Marked(Locks::MARK_L)) => drop(self.lock_structure()?),
                Err(Refused::Marked(Locks::MARK_T)) => drop(self.lock_transactions()?),
                Err(refused) => return Err(Trouble::Lock(refused)),
            }
            // Before the next attempt: what the last one took, nobody would give back.
            if tries.next().is_none() {
                return Err(Trouble::Contended);
            }
            taken = self.mem.lock(handle.lock());
        }
    }

    /// Makes a variable, unless there is one.
    pub fn insert(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        atomic: bool,
    ) -> Result<Inserted, Trouble> {
        let bytes = layout::record_bytes(layout::RECORD_CLASSES.len() - 1) as u64;
        if raw.inline_len() > layout::RECORD_CLASSES[3] {
            // A removed variable, for the present: its value is written to its record, as any.
            let made =
                self.with_room(bytes, || self.insert_once(query, &Raw::TOMBSTONE, atomic))?;
            let (Inserted::New(handle) | Inserted::Found(handle)) = made;
            return Ok(Inserted::Found(handle));
        }
        self.with_room(bytes, || self.insert_once(query, raw, atomic))
    }

    fn insert_once(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        atomic: bool,
    ) -> Result<Inserted, Trouble> {
        let _held = self.lock_structure()?;
        if let Some(found) = self.find(query)? {
            return Ok(Inserted::Found(found));
        }
        let (wanted, least) = classes_for(raw);
        let flags = if atomic { record::ATOMIC } else { 0 };
        let inline = index::inline_bytes(Meta::new(0, 0, flags));
        let block = if query.name.len() > inline {
            Some(self.find_block(query.name.len() + 8)?)
        } else {
            None
        };
        let wanted = if self.has_room_to_spare()? { wanted } else { least };
        let room = self.find_record(wanted, least)?;
        if !self.index_has_room()? {
            match self.rebuild() {
                Ok(()) => {}
                // No chunk for a larger one: the old one serves until its probe bound.
                Err(Trouble::Full { .. }) if !self.can_grow()? => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let place = match self.vacancy(self.table()?, query.hash)? {
            Some(place) => place,
            None => {
                self.rebuild()?;
                let again = self.vacancy(self.table()?, query.hash)?;
                again.ok_or(Trouble::Corrupt("the index overflows at a low load", 0))?
            }
        };

        // The journal before the bits: else they leak.
        let journal = self.journal()?;
        journal.store(journal::RECORD, room.at, Relaxed);
        journal.store(journal::BLOCK, block.map_or(0, |block| block.at), Relaxed);
        // SYNC POINT S8.
        journal.store(journal::OPERATION, journal::INSERT, Release);
        self.take_bit(room)?;
        if let Some(block) = block {
            self.take_bit(block)?;
        }

        let handle = Handle::new(room.at, 0, room.class, atomic);
        let words = self.mem.words_mut(room.at, handle.words()).ok_or_else(|| outside(room.at))?;
        words.store(record::ID, 0, Relaxed);
        // SYNC POINT S3: who still reads the old variable here sees that it is no more.
        self.mem.fence(Release);
        let id = self.new_id()?;
        if let Some(block) = block {
            let count = query.name.len().div_ceil(8) + 1;
            let name = self.mem.words_mut(block.at, count).ok_or_else(|| outside(block.at))?;
            // Whose it is: a name may be made again in the same block while its former record is
            // still in the file.
            name.store(0, id, Relaxed);
            index::store_name(name, (layout::BLOCK_NAME / 8) as usize, query.name);
            let (prefix, _) = query.name.split_at(inline - 8);
            index::store_name(words, record::NAME, prefix);
            words.store(record::NAME + inline / 8 - 1, block.at, Relaxed);
        } else {
            index::store_name(words, record::NAME, query.name);
        }
        let meta = Meta::new(query.name.len(), room.class, flags);
        words.store(record::META, meta.with_crc(meta_crc(id, meta, query.name)).0, Relaxed);
        for number in 1..slot::COUNT {
            words.store(handle.slot(number) + slot::VERSION, slot::INVALID, Relaxed);
            words.store(handle.slot(number) + slot::SEAL, 0, Relaxed);
            // It has none of the extents that the variable before it had: one of them may be this
            // one's before long, by another slot.
            words.store(handle.slot(number) + slot::DESC, 0, Relaxed);
        }
        let version = 1.max(self.version_base);
        let _ = self
            .fill_slot(handle.slot_at(0), version, raw, true)
            .ok_or_else(|| outside(room.at))?;
        if atomic {
            self.live_mut()?.fetch_add(live::ATOMICS, 1, Relaxed);
            words.store(record::VALUE, raw.first_word(), Relaxed);
        }
        words.store(record::STATE, State::new(version, 0, 0, 0).0, Release);

        self.link(place, query.hash, room.at)?;
        // SYNC POINT S4: the publication. Before it, a name that leads here finds a record without
        // id; after it, the variable is there.
        words.store(record::ID, id, Release);
        if self.file {
            // Not before: a flush that came between would pass over a record without an id, and no
            // later one would look at it.
            self.mark_dirty(room.at).ok_or_else(|| outside(room.at))?;
        }
        self.wake_for_birth();
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(Inserted::New(Handle { id, ..handle }))
    }

    /// Makes a removed variable one again, in its own record or, where it does not fit that, in
    /// none: the caller inserts it then.
    pub fn revive(&self, handle: Handle, raw: &Raw<'_>, atomic: bool) -> Result<(), Trouble> {
        match self.read(handle, |_| ())? {
            Seen::Value(..) | Seen::Stale => Ok(()),
            Seen::Absent if handle.atomic && atomic => self.revive_atomic(handle, raw),
            Seen::Absent if handle.atomic || atomic => self.make_way(handle),
            Seen::Absent => self.write_if(handle, raw, Expect::Absent).map(|_| ()),
        }
    }

    /// A number that no variable of this region, and no chunk, ever had. Under L.
    pub(crate) fn new_id(&self) -> Result<u64, Trouble> {
        let births = self.live_mut()?.fetch_add(live::BIRTHS, 1, Relaxed).saturating_add(1);
        // Never 0 and never with the bit, whatever a peer made of the counter.
        Ok((births.max(self.version_base) & !record::RETIRED).max(1))
    }

    /// How many variables, and chunks of them, were ever made.
    pub(crate) fn births(&self) -> Result<u64, Trouble> {
        Ok(self.live()?.load(live::BIRTHS, Acquire))
    }

    pub(crate) fn table(&self) -> Result<Table, Trouble> {
        Ok(Table::of_root(self.live()?.load(live::ROOT, Relaxed)))
    }

    /// Whether the variable is an `Atomic` that was removed: it stays in the index.
    pub(crate) fn is_removed_atomic(&self, handle: Handle) -> Result<bool, Trouble> {
        Ok(handle.atomic && self.read(handle, |_| ())? == Seen::Absent)
    }

    /// As [`find`](Self::find), for who wants the name for a variable: a removed `Atomic` makes way.
    pub(crate) fn find_making_way(&self, query: Query<'_>) -> Result<Option<Handle>, Trouble> {
        match self.find(query)? {
            Some(handle) if self.is_removed_atomic(handle)? => {
                self.make_way(handle)?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// Collects a removed variable whose name another kind of variable is to have. If the file does
    /// not know yet that it is removed, it is told first: else both could come back.
    fn make_way(&self, handle: Handle) -> Result<(), Trouble> {
        self.collect(handle)?;
        if self.file {
            let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
            if line.load(record::ID, Acquire) == handle.id {
                self.flush()?;
                self.collect(handle)?;
            }
        }
        Ok(())
    }

    /// Gives a removed variable's record back. Tried once: who holds the record, or has made it a
    /// variable again, keeps it.
    pub(crate) fn collect(&self, handle: Handle) -> Result<(), Trouble> {
        let _held = self.lock_structure()?;
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        if words.load(record::ID, Relaxed) != handle.id {
            return Ok(());
        }
        if !self.collectable(handle, words) {
            if self.file {
                self.count_left()?;
            }
            return Ok(());
        }
        let journal = self.journal()?;
        journal.store(journal::RECORD, handle.at, Relaxed);
        journal.store(journal::OPERATION, journal::UNLINK, Release);
        match self.mem.mark(handle.lock(), Locks::MARK_L) {
            Ok(taken) => {
                if taken == Taken::Recovered {
                    self.rouse_waiters(handle);
                }
                self.finish_collect(handle.at)
            }
            Err(_) => {
                journal.store(journal::OPERATION, journal::NOTHING, Release);
                Ok(())
            }
        }
    }

    /// One more record is left behind until a flush.
    fn count_left(&self) -> Result<(), Trouble> {
        let counts = self.mem.words_mut(room::AT, room::WORDS).ok_or(Trouble::ReadOnly)?;
        counts.fetch_add(room::LEFT, 1, Relaxed);
        Ok(())
    }

    /// Whether the record can be given back, or the next flush is to be waited for.
    fn collectable(&self, handle: Handle, words: M::Words<'_>) -> bool {
        self.fate(handle, words).is_ok_and(|fate| fate != Fate::Kept)
    }

    /// What can become of a record. It counts under the record's mark; without, it is a guess.
    fn fate(&self, handle: Handle, words: M::Words<'_>) -> Result<Fate, Trouble> {
        let id = words.load(record::ID, Acquire);
        if self.file && id & record::RETIRED != 0 {
            // Who retired it died in the midst of it.
            return Ok(Fate::Retired);
        }
        if id == 0 {
            // The same, of who erased it: a flush that has begun since does not know the record.
            return Ok(Fate::Erased);
        }
        let state = State(words.load(record::STATE, Acquire));
        let desc = Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed));
        if desc.kind() != slot::TOMBSTONE {
            return Ok(Fate::Kept);
        }
        if !self.file {
            return Ok(Fate::Erased);
        }
        let seal = |number| words.load(handle.slot(number) + slot::SEAL, Acquire);
        let (header, bit) = layout::dirty_bit(handle.at);
        let header = self.mem.words(header, chunk::WORDS).ok_or_else(|| outside(header))?;
        // Before the seals: a flush that chose it seals it, and then clears the bit.
        let chosen = header.load(chunk::FLUSHING, Acquire) & bit != 0;
        if (0..slot::COUNT).all(|number| seal(number) == 0) {
            // If no flush is about to seal it either, no file knows of it.
            return Ok(if chosen { Fate::Kept } else { Fate::Erased });
        }
        let durable = seal(state.b());
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let retired = state.current() == state.b() && durable != 0 && durable <= complete;
        Ok(if retired { Fate::Retired } else { Fate::Kept })
    }

    /// Takes a removed variable, which is durably so, out of the map: its tombstone stays in the
    /// file until a flush that began later is complete. Idempotent.
    fn retire(&self, handle: Handle) -> Result<(), Trouble> {
        let lost = || outside(handle.at);
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or_else(lost)?;
        let id = words.load(record::ID, Acquire);
        let valid =
            |number| words.load(handle.slot(number) + slot::VERSION, Acquire) != slot::INVALID;
        let mut left = (0..slot::COUNT).filter(|number| valid(*number));
        let kept = match (left.next(), left.next()) {
            // The others are clear already, and `state` may be none any more.
            (Some(only), None) if id & record::RETIRED != 0 => only,
            _ => State(words.load(record::STATE, Acquire)).b(),
        };
        words.store(record::ID, id | record::RETIRED, Relaxed);
        // SYNC POINT S3.
        self.mem.fence(Release);
        self.wake_waiters(handle);
        self.unlink(handle.at)?;
        for number in (0..slot::COUNT).filter(|number| *number != kept) {
            let at = handle.slot(number);
            words.store(at + slot::VERSION, slot::INVALID, Relaxed);
            // SYNC POINT S2.
            self.mem.fence(Release);
            words.store(at + slot::SEAL, 0, Relaxed);
            let extent = Desc(words.load(at + slot::DESC, Relaxed)).is_extent();
            words.store(at + slot::DESC, 0, Release);
            if extent {
                self.reclaim(words.load(at + slot::DATA, Relaxed))?;
            }
        }
        // After all that: the flush that takes this number, or a later one, brings it to the file.
        self.mem.fence(SeqCst);
        let epoch = self.live()?.load(live::NEXT_EPOCH, SeqCst);
        words.store(record::STATE, epoch & !record::QUIET, Release);
        Ok(())
    }

    /// Frees the records that were retired before the last complete flush began; answers how many
    /// bytes came free.
    fn free_retired(&self) -> Result<u64, Trouble> {
        let mut freed = 0;
        for number in layout::META_CHUNKS..self.chunk_count()? {
            let (layout::kind::RECORDS, class) = self.chunk_kind(number)? else { continue };
            let base = number * layout::CHUNK + layout::CHUNK_HEADER;
            for within in 0..layout::records_in_chunk(class & 3) {
                let at = base + (within * record_bytes(class & 3)) as u64;
                if self.is_over(at)? && self.free_retired_record(at)? {
                    freed += record_bytes(class & 3) as u64;
                }
            }
        }
        Ok(freed)
    }

    /// Whether the record at `at` is retired, and the file needs it no more.
    fn is_over(&self, at: u64) -> Result<bool, Trouble> {
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let state = line.load(record::STATE, Acquire);
        let atomic = Meta(line.load(record::META, Relaxed)).atomic();
        Ok(line.load(record::ID, Acquire) & record::RETIRED != 0
            && state & !record::QUIET <= complete
            // An operation on it may still be under way, and it has no second look.
            && (!atomic || state & record::QUIET != 0))
    }

    fn free_retired_record(&self, at: u64) -> Result<bool, Trouble> {
        let _held = self.lock_structure()?;
        let line = self.mem.words_mut(at, record::LINE).ok_or_else(|| outside(at))?;
        let meta = Meta(line.load(record::META, Relaxed));
        let Some(room) = self.room_at(at)?.filter(|_| self.is_over(at).unwrap_or(false)) else {
            return Ok(false);
        };
        let inline = index::inline_bytes(meta);
        let block = if meta.name_len() > inline {
            line.load(record::NAME + inline / 8 - 1, Relaxed)
        } else {
            0
        };
        // As an insertion that is undone.
        let journal = self.journal()?;
        journal.store(journal::RECORD, at, Relaxed);
        journal.store(journal::BLOCK, block, Relaxed);
        journal.store(journal::OPERATION, journal::INSERT, Release);
        line.store(record::ID, 0, Release);
        self.clear_bit(room)?;
        if block != 0 {
            self.free_block(block)?;
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(true)
    }

    /// From the mark on a record to its end: idempotent, so that a replay does it from its start.
    fn finish_collect(&self, at: u64) -> Result<(), Trouble> {
        let journal = self.journal()?;
        let line = self.mem.words_mut(at, record::LINE).ok_or_else(|| outside(at))?;
        let meta = Meta(line.load(record::META, Relaxed));
        if let Some(handle) = Handle::checked(at, 0, meta, &self.mem)
            && self.records_lie_at(handle)?
            && self.mem.is_marked(handle.lock(), Locks::MARK_L)
        {
            let words = self.mem.words(at, handle.words()).ok_or_else(|| outside(at))?;
            let fate = self.fate(handle, words)?;
            if fate == Fate::Retired {
                self.retire(handle)?;
            } else if fate == Fate::Erased {
                line.store(record::ID, 0, Relaxed);
                // SYNC POINT S3.
                self.mem.fence(Release);
                self.wake_waiters(handle);
                self.unlink(at)?;
                for number in 0..slot::COUNT {
                    if Desc(words.load(handle.slot(number) + slot::DESC, Relaxed)).is_extent() {
                        // Without an id the record owns nothing. One that somebody still reads is
                        // found by a sweep.
                        self.reclaim(words.load(handle.slot(number) + slot::DATA, Relaxed))?;
                    }
                }
                let inline = index::inline_bytes(meta);
                if meta.name_len() > inline {
                    self.free_block(line.load(record::NAME + inline / 8 - 1, Relaxed))?;
                }
                // An operation on an `Atomic` may still be under way, and it has no second look:
                // its record is never another variable's.
                if !handle.atomic {
                    self.free_record(handle)?;
                }
            } else {
                // Who set the mark may have found a dead holder's lock, and died before he woke
                // those whom the dead one had not woken.
                self.wake_waiters(handle);
            }
            self.mem.unmark(handle.lock());
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }

    /// Ends, or undoes, what the last holder of L was about. Bounded, and every word of the journal
    /// is checked: a hostile peer may have written it.
    fn replay(&self) -> Result<(), Trouble> {
        let journal = self.journal()?;
        // SYNC POINT S8.
        let operation = journal.load(journal::OPERATION, Acquire);
        if operation == journal::NOTHING {
            return Ok(());
        }
        let at = journal.load(journal::RECORD, Relaxed);
        self.rouse_at(at);
        match operation {
            journal::INSERT => self.replay_insert(at, journal.load(journal::BLOCK, Relaxed)),
            journal::UNLINK => self.finish_collect_if_record(at),
            journal::ROOT => self.replay_root(),
            journal::RUN => self.replay_run(),
            _ => {
                journal.store(journal::OPERATION, journal::NOTHING, Release);
                Ok(())
            }
        }
    }

    fn finish_collect_if_record(&self, at: u64) -> Result<(), Trouble> {
        if self.mem.words(at, record::LINE).is_some() {
            return self.finish_collect(at);
        }
        self.journal()?.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }

    fn replay_insert(&self, at: u64, block: u64) -> Result<(), Trouble> {
        let journal = self.journal()?;
        if let Some(line) = self.mem.words(at, record::LINE)
            && let Some(room) = self.room_at(at)?
        {
            if line.load(record::ID, Acquire) == 0 {
                // Not published: its index word goes first, then its bits.
                self.unlink(at)?;
                self.clear_bit(room)?;
                if block != 0 {
                    self.free_block(block)?;
                }
            } else {
                if self.file {
                    self.mark_dirty(at).ok_or_else(|| outside(at))?;
                }
                self.wake_for_birth();
            }
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }

    /// Ends what was half-done: for who is alone in a region, whatever its lock words say.
    pub fn quiesce(&self) -> Result<(), Trouble> {
        self.mem.reset(live::LOCK_L);
        self.mem.reset(live::LOCK_T);
        drop(self.lock_structure()?);
        drop(self.lock_transactions()?);
        Ok(())
    }

    /// Walks over all records that bear an id, in record order, until `each` says false.
    pub fn each_record(&self, mut each: impl FnMut(Handle) -> bool) -> Result<(), Trouble> {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.next_record(&mut cursor)? {
            if !each(handle) {
                break;
            }
        }
        Ok(())
    }

    /// The next record with an id, in record order. A variable keeps its record for life, so one
    /// that is there throughout comes exactly once.
    pub(crate) fn next_record(&self, cursor: &mut Cursor) -> Result<Option<Handle>, Trouble> {
        let chunks = self.chunk_count()?;
        while cursor.chunk < chunks {
            if let (layout::kind::RECORDS, class) = self.chunk_kind(cursor.chunk)? {
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
            }
            cursor.chunk += 1;
            cursor.within = 0;
        }
        Ok(None)
    }

    /// Collects the removed variables that nobody has collected yet; answers how many bytes they
    /// took, about.
    pub fn collect_all(&self) -> Result<u64, Trouble> {
        let mut removed = Vec::new();
        self.each_record(|handle| {
            if !handle.atomic
                && let Some(words) = self.mem.words(handle.at, handle.words())
                && self.collectable(handle, words)
            {
                removed.push(handle);
            }
            true
        })?;
        for handle in &removed {
            // Where the kernel sets no flag in a dead holder's word, only taking the lock tells, and
            // that is not to be done while L is held.
            if self.lock_record(*handle).is_ok() {
                self.mem.unlock(handle.lock());
            }
            self.collect(*handle)?;
        }
        let freed: u64 = removed.iter().map(|handle| handle.words() as u64 * 8).sum();
        Ok(freed + if self.file { self.free_retired()? } else { 0 })
    }
}

/// What can become of the record of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is a variable's; or it is removed, and the file does not know so yet.
    Kept,
    /// Free at once: no file knows of it.
    Erased,
    /// Free when the next flush is complete: the file has its tombstone.
    Retired,
}

/// Where a walk over the records stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    chunk: u64,
    within: usize,
}

/// The class of record for a new variable, and the least that will do. Text and bytes often grow:
/// they get a little room to spare. What outgrows its record goes to an extent.
fn classes_for(raw: &Raw<'_>) -> (usize, usize) {
    let fits = |bytes: usize| layout::RECORD_CLASSES.iter().position(|room| *room >= bytes);
    let least = fits(raw.inline_len()).unwrap_or(0);
    match raw.payload {
        Payload::Bytes(_) if raw.kind != slot::TOMBSTONE => (least.max(1), least),
        _ => (least, least),
    }
}

#[cfg(test)]
mod tests;
