//! Large values: extents, which a slot refers to, filled outside every lock.
//!
//! Who owns an extent is not written down a second time: it is in use if one of the slots of the
//! record that its head names refers to it, or while who fills it lives. So freeing it is a question
//! and not a promise ([`Store::reclaim`]): it can be asked twice, by anybody who holds L, and what a
//! death leaves behind is found by the next sweep.

use crate::{
    alloc::{Cut, Room},
    engine::{Expect, Handle, Store, Wrote, chunk_crc},
    layout::{
        self, CHUNK, CHUNK_HEADER, Desc, EXTENT_CLASSES, Extent, Meta, State, chunk, extent,
        journal, kind, live, record, seat, slot,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        Store as _,
    },
    raw::{Payload, Raw, Shot},
    region,
    slots::{Replaced, Seen},
    trouble::{Trouble, outside},
};
use mapvar_os::Locks;
use std::sync::{MutexGuard, PoisonError};

/// Chunks that a sweep looks at before it gives L back.
const BATCH: u64 = if cfg!(test) { 2 } else { 256 };

/// The extent of a variable's value, which nobody takes back until [`Store::unpin`].
#[derive(Debug)]
pub(crate) struct Pinned {
    desc: Desc,
    type_id: u32,
    /// The token of whose process it ends with; 0: it stays.
    owner: u64,
    at: u64,
    room: usize,
    version: u64,
    seat: usize,
    slot: u64,
}

/// Where an extent lies: in a chunk that is cut up, or in chunks of its own.
#[derive(Clone, Copy, Debug)]
enum Place {
    Cut(Room, Cut),
    /// First chunk and number of chunks.
    Run(u64, u64),
}

impl<M: Mem> Store<M> {
    /// Writes a value that the record itself has no room for.
    #[cold]
    pub(crate) fn write_large(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, Trouble> {
        let Payload::Bytes(bytes) = raw.payload else {
            return Err(Trouble::Corrupt("a number does not fit its record", handle.at));
        };
        if bytes.len() <= extent::IN_PLACE
            && let Some(wrote) = self.write_in_place(handle, raw, bytes, expect)?
        {
            return Ok(wrote);
        }
        let extent = self.reserve(handle, bytes.len())?;
        let wrote = self.fill(extent, bytes).and_then(|()| {
            self.lock_record(handle)?;
            Ok(self.publish_large(handle, &raw.lying_in(extent), expect))
        });
        match wrote {
            Ok((Some((wrote @ Wrote::Version(_), replaced)), stale)) => {
                self.release_quietly(replaced);
                for stale in stale {
                    self.release_quietly(stale);
                }
                Ok(wrote)
            }
            other => {
                self.forsake(extent);
                other?.0.map(|(wrote, _)| wrote).ok_or_else(|| outside(handle.at))
            }
        }
    }

    /// Publishes what lies in an extent, with the record's lock, which is given back.
    fn publish_large(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> (Option<(Wrote, Replaced)>, Vec<Replaced>) {
        let former = self.mem.words(handle.at, record::LINE).map(|line| line.load(0, Relaxed));
        let wrote = self.write_locked(handle, raw, expect);
        let mut stale = Vec::new();
        if let Some((Wrote::Version(_), _)) = wrote
            && let Payload::Extent { extent, .. } = raw.payload
        {
            self.filled(extent);
            if raw.len() > extent::IN_PLACE {
                // Of large values only the former is kept, for those who still read it.
                stale = self.drop_stale(handle, former.map(State));
            }
        }
        self.mem.unlock(handle.lock());
        (wrote, stale)
    }

    /// Writes a value into the extent of the slot that is written next, if it has one that is large
    /// enough and that nobody reads any more.
    fn write_in_place(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Option<Wrote>, Trouble> {
        // SYNC POINT S5.
        self.lock_record(handle)?;
        let wrote = self.write_in_place_locked(handle, raw, bytes, expect);
        self.mem.unlock(handle.lock());
        match wrote? {
            Some((wrote, replaced)) => {
                self.release_quietly(replaced);
                Ok(Some(wrote))
            }
            None => Ok(None),
        }
    }

    fn write_in_place_locked(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Option<(Wrote, Replaced)>, Trouble> {
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        let state = State(line.load(record::STATE, Relaxed));
        if line.load(record::ID, Acquire) != handle.id {
            return Ok(Some((Wrote::Stale, Replaced::NOTHING)));
        }
        let removed = self.is_removed(handle, state).ok_or_else(|| outside(handle.at))?;
        if let Some(refused) = expect.refuses(state.version(), removed, false) {
            return Ok(Some((refused, Replaced::NOTHING)));
        }
        let at = handle.slot_at(state.free_slot());
        let slot = self.mem.words_mut(at, slot::LEAST).ok_or_else(|| outside(at))?;
        if !Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
            return Ok(None);
        }
        let at = slot.load(slot::DATA, Relaxed);
        let Some(place) = self.place_of(at)? else { return Ok(None) };
        let capacity = capacity(place);
        let Some(head) = self.mem.words(at - extent::HEAD, extent::WORDS) else { return Ok(None) };
        let ours = head.load(extent::RECORD, Relaxed) == handle.at
            && head.load(extent::ID, Relaxed) == handle.id
            && head.load(extent::FILLER, Relaxed) == 0;
        if !ours || capacity < bytes.len() as u64 || self.is_pinned(at)? {
            return Ok(None);
        }
        slot.store(slot::VERSION, slot::INVALID, Relaxed);
        // SYNC POINT S2: who sees a byte of the new value sees that the slot is invalid.
        self.mem.fence(Release);
        let extent = Extent { at, capacity };
        self.copy_in(extent, bytes)?;
        self.write_locked(handle, &raw.lying_in(extent), expect)
            .map(Some)
            .ok_or_else(|| outside(handle.at))
    }

    /// Takes away the extents of slots that hold neither what is current, nor what was `former`ly,
    /// nor what is durable. With the record's lock.
    fn drop_stale(&self, handle: Handle, former: Option<State>) -> Vec<Replaced> {
        let Some(line) = self.mem.words(handle.at, record::LINE) else { return Vec::new() };
        let state = State(line.load(record::STATE, Relaxed));
        let kept = [
            Some(state.current()),
            former.map(State::current),
            self.file.then_some(state.a()),
            self.file.then_some(state.b()),
        ];
        let mut stale = Vec::new();
        for number in (0..slot::COUNT).filter(|number| !kept.contains(&Some(*number))) {
            let Some(slot) = self.mem.words_mut(handle.slot_at(number), slot::LEAST) else {
                continue;
            };
            if Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
                stale.push(Replaced(slot.load(slot::DATA, Relaxed)));
                slot.store(slot::VERSION, slot::INVALID, Relaxed);
                // SYNC POINT S2.
                self.mem.fence(Release);
                slot.store(slot::SEAL, 0, Relaxed);
                slot.store(slot::DESC, 0, Release);
            }
        }
        stale
    }

    /// An extent for a value of the variable, which nobody but the caller knows of. It is the
    /// caller's for as long as this process lives, or until a slot refers to it.
    pub(crate) fn reserve(&self, handle: Handle, len: usize) -> Result<Extent, Trouble> {
        let filler = self.mem.seat()?;
        self.with_room(len as u64 + CHUNK, || {
            let _held = self.lock_structure()?;
            let place = self.vacant(len)?;
            let at = data(place);
            let head_at = at - extent::HEAD;
            let head =
                self.mem.words_mut(head_at, extent::WORDS).ok_or_else(|| outside(head_at))?;
            let write_head = || {
                head.store(extent::RECORD, handle.at, Relaxed);
                head.store(extent::ID, handle.id, Relaxed);
                head.store(extent::FILLER, filler, Release);
            };
            match place {
                Place::Cut(room, _) => {
                    write_head();
                    self.take_bit(room)?;
                }
                Place::Run(first, span) => {
                    // SYNC POINT S9.
                    self.mem.fence(Release);
                    self.write_run_header(first)?;
                    write_head();
                    self.journal_run(first, span)?;
                    for number in (first + 1..first + span).rev() {
                        if !layout::holds_table(number) {
                            self.set_chunk(number, kind::REST, 0)?;
                        }
                    }
                    self.set_run_head(first, span)?;
                    self.journal()?.store(journal::OPERATION, journal::NOTHING, Release);
                }
            }
            Ok(Extent { at, capacity: capacity(place) })
        })
    }

    fn vacant(&self, len: usize) -> Result<Place, Trouble> {
        let needed = len as u64 + extent::HEAD;
        let full = || -> Result<Trouble, Trouble> {
            Ok(Trouble::Full { needed, free: self.space()?.free })
        };
        if let Some(class) = EXTENT_CLASSES.iter().position(|room| *room as u64 >= needed) {
            let cut = Cut::extents(class);
            return match self.find_room(cut)? {
                Some(room) => Ok(Place::Cut(room, cut)),
                None => Err(full()?),
            };
        }
        match self.free_span((len as u64).saturating_add(CHUNK_HEADER).div_ceil(CHUNK))? {
            Some((first, span)) => Ok(Place::Run(first, span)),
            None => Err(full()?),
        }
    }

    fn write_run_header(&self, first: u64) -> Result<(), Trouble> {
        let at = first * CHUNK;
        let words = self.mem.words_mut(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        let mark = chunk::MAGIC | kind::RUN << 32;
        words.store(chunk::MARK, mark, Relaxed);
        words.store(chunk::NUMBER, first, Relaxed);
        words.store(chunk::UUID, self.uuid, Relaxed);
        words.store(chunk::CRC, chunk_crc(mark, first, self.uuid, 0), Relaxed);
        Ok(())
    }

    /// Copies a value into an extent that nobody reads yet.
    pub(crate) fn fill(&self, extent: Extent, bytes: &[u8]) -> Result<(), Trouble> {
        // SYNC POINT S9: who still reads what lay here sees, with a byte of the new value, that its
        // slot was made invalid.
        self.mem.fence(Release);
        self.copy_in(extent, bytes)
    }

    fn copy_in(&self, extent: Extent, bytes: &[u8]) -> Result<(), Trouble> {
        let mut bytes = bytes;
        for (at, len) in layout::pieces(extent.at, bytes.len() as u64) {
            let (piece, rest) = bytes.split_at(bytes.len().min(len as usize));
            let words = self.mem.words_mut(at, piece.len().div_ceil(8));
            words.ok_or_else(|| outside(at))?.copy_from(piece);
            bytes = rest;
        }
        Ok(())
    }

    /// A slot refers to it now. With the record's lock, or its mark.
    pub(crate) fn filled(&self, extent: Extent) {
        if let Some(head) = self.mem.words_mut(extent.at - extent::HEAD, extent::WORDS) {
            // Pairs with the Acquire in `is_in_use`: who finds no filler finds the slot.
            head.store(extent::FILLER, 0, Release);
        }
    }

    /// Gives back an extent that no slot refers to.
    pub(crate) fn forsake(&self, extent: Extent) {
        self.filled(extent);
        self.release_quietly(Replaced(extent.at));
    }

    /// Gives back an extent that a slot referred to. If it cannot be, a sweep finds it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "on the path of every set; most release nothing")]
    pub(crate) fn release_quietly(&self, replaced: Replaced) {
        if replaced != Replaced::NOTHING {
            let _ = self.release(replaced.0);
        }
    }

    #[cold]
    fn release(&self, at: u64) -> Result<bool, Trouble> {
        let _held = self.lock_structure()?;
        self.reclaim(at)
    }

    /// Frees the extent at `at`, unless it is in use; answers whether it did. Under L, with nothing
    /// in the journal but the collection of a record.
    pub(crate) fn reclaim(&self, at: u64) -> Result<bool, Trouble> {
        let Some(place) = self.place_of(at)? else { return Ok(false) };
        if self.is_in_use(at)? || self.is_pinned(at)? {
            return Ok(false);
        }
        match place {
            Place::Cut(room, cut) => {
                self.clear_bit(room)?;
                self.free_if_empty(at / CHUNK, cut)?;
            }
            Place::Run(first, span) => {
                self.free_run_of(first, span)?;
            }
        }
        Ok(true)
    }

    /// Makes the chunks of a run free. A death in between leaves chunks of kind `REST` behind no
    /// head, and those the next sweep frees: there is no journal to be had, since the caller may be
    /// in the midst of a collection.
    fn free_run_of(&self, first: u64, span: u64) -> Result<(), Trouble> {
        self.hint_free(first)?;
        self.set_chunk(first, kind::FREE, 0)?;
        for number in first + 1..first + span {
            if self.chunk_kind(number)?.0 == kind::REST {
                self.set_chunk(number, kind::FREE, 0)?;
            }
        }
        Ok(())
    }

    /// Where the extent lies whose data begin at `at`; `None` where there is none.
    fn place_of(&self, at: u64) -> Result<Option<Place>, Trouble> {
        let (number, chunks) = (at / CHUNK, self.chunk_count()?);
        if number < layout::META_CHUNKS || number >= chunks {
            return Ok(None);
        }
        let (found, class) = self.chunk_kind(number)?;
        if found == kind::RUN && at % CHUNK == CHUNK_HEADER {
            let span = self.run_len(number)?.min(chunks - number);
            return Ok((span > 0).then_some(Place::Run(number, span)));
        }
        let room = match at.checked_sub(extent::HEAD) {
            Some(head) if found == kind::EXTENTS => self.room_of(head, kind::EXTENTS)?,
            _ => None,
        };
        let Some(room) = room else { return Ok(None) };
        let cut = Cut::extents(class);
        Ok(self.is_taken(room)?.then_some(Place::Cut(room, cut)))
    }

    /// Bytes that the extent holds whose data begin at `at`; `None` where there is none.
    pub(crate) fn capacity_at(&self, at: u64) -> Result<Option<u64>, Trouble> {
        Ok(self.place_of(at)?.map(capacity))
    }

    fn is_in_use(&self, at: u64) -> Result<bool, Trouble> {
        let head_at = at - extent::HEAD;
        let head = self.mem.words(head_at, extent::WORDS).ok_or_else(|| outside(head_at))?;
        let filler = head.load(extent::FILLER, Acquire);
        if filler != 0 && self.lives(filler)? {
            return Ok(true);
        }
        let record = head.load(extent::RECORD, Relaxed);
        let id = head.load(extent::ID, Relaxed);
        self.refers(record, id, at)
    }

    /// Whether a slot of the variable `id` in the record at `record` refers to the extent.
    fn refers(&self, record: u64, id: u64, at: u64) -> Result<bool, Trouble> {
        let Some(line) = self.mem.words(record, record::LINE) else { return Ok(false) };
        let found = line.load(record::ID, Acquire);
        let meta = Meta(line.load(record::META, Relaxed));
        let Some(handle) = Handle::checked(record, found, meta, &self.mem) else {
            return Ok(false);
        };
        if found & !record::RETIRED != id || !self.records_lie_at(handle)? {
            return Ok(false);
        }
        for number in 0..slot::COUNT {
            let slot_at = handle.slot_at(number);
            let slot = self.mem.words(slot_at, slot::LEAST).ok_or_else(|| outside(slot_at))?;
            if Desc(slot.load(slot::DESC, Acquire)).is_extent()
                && slot.load(slot::DATA, Acquire) == at
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the process that this word in an extent's head names lives.
    pub(crate) fn lives(&self, filler: u64) -> Result<bool, Trouble> {
        let number = (filler >> 56) as usize;
        if number >= layout::PARTICIPANT_SLOTS {
            return Ok(false);
        }
        let words = self.mem.words(seat::at(number), seat::WORDS);
        let words = words.ok_or_else(|| outside(seat::at(number)))?;
        Ok(self.mem.is_seat_taken(number) && words.load(seat::TOKEN, Acquire) == filler)
    }

    /// Pins the extent of the variable's value, if it lies in one. With the record's lock, so that
    /// what the slot says is so; and with [`pinning`](Self::pinning).
    pub(crate) fn pin(&self, handle: Handle) -> Result<Option<Pinned>, Trouble> {
        let lost = || outside(handle.at);
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(lost)?;
        let state = State(line.load(record::STATE, Relaxed));
        if handle.atomic || line.load(record::ID, Acquire) != handle.id {
            return Ok(None);
        }
        let at = handle.slot_at(state.current());
        let slot = self.mem.words(at, slot::LEAST).ok_or_else(lost)?;
        let desc = Desc(slot.load(slot::DESC, Relaxed));
        if !desc.is_extent() || desc.kind() == slot::TOMBSTONE {
            return Ok(None);
        }
        let filler = self.mem.seat()?;
        let number = (filler >> 56) as usize;
        let (data, room) = self.referred(slot, desc);
        let words = self.mem.words_mut(seat::at(number), seat::WORDS).ok_or_else(lost)?;
        words.store(seat::PIN, data, SeqCst);
        // Set once, and left: who frees then looks at the seat's pin.
        let bit = 1 << (number % 64);
        let pins = live::PINS + number / 64 % 2;
        if self.live()?.load(pins, Relaxed) & bit == 0 {
            self.live_mut()?.fetch_or(pins, bit, SeqCst);
        }
        // SYNC POINT S12.
        self.mem.fence(SeqCst);
        Ok(Some(Pinned {
            desc,
            type_id: (slot.load(slot::TYPE, Relaxed) >> 32) as u32,
            owner: self.owner_at(at, desc),
            at: data,
            room,
            version: state.version(),
            seat: number,
            slot: at,
        }))
    }

    /// Copies what is pinned, and lets it go.
    pub(crate) fn take_pinned<R>(
        &self,
        pinned: &Pinned,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        let slot = self.mem.words(pinned.slot, slot::LEAST).ok_or_else(|| outside(pinned.slot));
        let seen = slot.and_then(|slot| {
            let shot = Shot {
                mem: &self.mem,
                desc: pinned.desc,
                slot,
                data: pinned.at,
                room: pinned.room,
                type_id: Some(pinned.type_id),
            };
            if !shot.is_value() {
                return Err(Trouble::Corrupt("a value's description makes no sense", pinned.slot));
            }
            Ok(Seen::Value(take(shot), pinned.version))
        });
        if let Some(words) = self.mem.words_mut(seat::at(pinned.seat), seat::WORDS) {
            // Release: the copy is made before it goes.
            words.store(seat::PIN, 0, Release);
        }
        if pinned.owner != 0 && !self.lives(pinned.owner)? {
            return Ok(Seen::Absent);
        }
        seen
    }

    /// A process has one pin: its threads take turns.
    pub(crate) fn pinning(&self) -> MutexGuard<'_, ()> {
        self.pinning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody who lives reads the extent. Whoever asks has seen to it that no slot that is
    /// current refers to it.
    fn is_pinned(&self, at: u64) -> Result<bool, Trouble> {
        // SYNC POINT S12.
        self.mem.fence(SeqCst);
        for word in 0..2 {
            let mut bits = self.live()?.load(live::PINS + word, SeqCst);
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let words = self.mem.words(seat::at(number), seat::WORDS);
                let pin = words.ok_or_else(|| outside(seat::at(number)))?.load(seat::PIN, SeqCst);
                if pin == at && self.mem.is_seat_taken(number) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn journal_run(&self, first: u64, span: u64) -> Result<(), Trouble> {
        let journal = self.journal()?;
        journal.store(journal::OLD, first, Relaxed);
        journal.store(journal::NEW, span, Relaxed);
        // SYNC POINT S8.
        journal.store(journal::OPERATION, journal::RUN, Release);
        Ok(())
    }

    /// Undoes the taking of a run.
    pub(crate) fn replay_run(&self) -> Result<(), Trouble> {
        let journal = self.journal()?;
        let first = journal.load(journal::OLD, Relaxed);
        let span = journal.load(journal::NEW, Relaxed);
        let chunks = self.chunk_count()?;
        if first >= layout::META_CHUNKS && first < chunks {
            let end = first.saturating_add(span);
            for number in first..end.min(chunks) {
                if matches!(self.chunk_kind(number)?.0, kind::RUN | kind::REST) {
                    self.set_chunk(number, kind::FREE, 0)?;
                }
            }
            self.hint_free(first)?;
        }
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }

    /// Frees every extent that nothing refers to, and those of old values that nobody needs; answers
    /// how many bytes came free. L is given back now and then.
    #[allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]
    pub fn sweep(&self) -> Result<u64, Trouble> {
        self.trim_all()?;
        let mut freed = 0;
        let mut number = layout::META_CHUNKS;
        while number < self.chunk_count()? {
            let _held = self.lock_structure()?;
            let end = self.chunk_count()?.min(number.saturating_add(BATCH));
            number = self.past_run(number)?;
            while number < end {
                let (found, class) = self.chunk_kind(number)?;
                let mut next = number + 1;
                match found {
                    kind::EXTENTS => {
                        let cut = Cut::extents(class);
                        for at in self.taken(number, cut)? {
                            if self.reclaim(at + extent::HEAD)? {
                                freed += cut.bytes();
                            }
                        }
                        // Of one who died before he took its first, or after he freed its last.
                        if self.chunk_kind(number)?.0 == kind::EXTENTS
                            && self.free_if_empty(number, cut)?
                        {
                            freed += CHUNK;
                        }
                    }
                    kind::RUN => {
                        let span = self.run_len(number)?;
                        next = number.saturating_add(span.max(1));
                        if self.reclaim(number * CHUNK + CHUNK_HEADER)? {
                            freed += span * CHUNK;
                        }
                    }
                    // Not behind a head: of a run that somebody died freeing.
                    kind::REST => {
                        self.hint_free(number)?;
                        self.set_chunk(number, kind::FREE, 0)?;
                        freed += CHUNK;
                    }
                    _ => {}
                }
                number = next;
            }
        }
        Ok(freed)
    }

    /// The end of the run in whose midst chunk `number` lies, else `number`: a run may have been
    /// made since a sweep came so far. Under L.
    fn past_run(&self, number: u64) -> Result<u64, Trouble> {
        let mut first = number;
        while first > layout::META_CHUNKS {
            match self.chunk_kind(first)?.0 {
                kind::REST | kind::TABLE => first -= 1,
                kind::RUN if first < number => {
                    return Ok(number.max(first.saturating_add(self.run_len(first)?)));
                }
                _ => break,
            }
        }
        Ok(number)
    }

    /// Takes away the extents of old values, of every record that is free at once.
    fn trim_all(&self) -> Result<(), Trouble> {
        let mut trimmed = Vec::new();
        self.each_record(|handle| {
            if self.has_stale(handle) {
                trimmed.push(handle);
            }
            true
        })?;
        for handle in trimmed {
            let _held = self.lock_structure()?;
            let line = self.mem.words(handle.at, record::LINE);
            if line.is_none_or(|line| line.load(record::ID, Acquire) != handle.id) {
                // Given back since: a replay would do that again, and its block may be another's.
                continue;
            }
            let journal = self.journal()?;
            journal.store(journal::RECORD, handle.at, Relaxed);
            // A mark is journalled before it is set. That it is the mark of a collection is no harm:
            // what is not removed is not collected.
            journal.store(journal::OPERATION, journal::UNLINK, Release);
            if let Ok(taken) = self.mem.mark(handle.lock(), Locks::MARK_L) {
                if taken == mapvar_os::Taken::Recovered {
                    self.rouse_waiters(handle);
                }
                for Replaced(at) in self.drop_stale(handle, None) {
                    self.reclaim(at)?;
                }
                self.mem.unmark(handle.lock());
            }
            journal.store(journal::OPERATION, journal::NOTHING, Release);
        }
        Ok(())
    }

    fn has_stale(&self, handle: Handle) -> bool {
        let Some(words) = self.mem.words(handle.at, handle.words()) else { return false };
        let state = State(words.load(record::STATE, Relaxed));
        (0..slot::COUNT)
            .filter(|number| *number != state.current())
            .filter(|number| !self.file || (*number != state.a() && *number != state.b()))
            .any(|number| Desc(words.load(handle.slot(number) + slot::DESC, Relaxed)).is_extent())
    }
}

fn data(place: Place) -> u64 {
    match place {
        Place::Cut(room, _) => room.at + extent::HEAD,
        Place::Run(first, _) => first * CHUNK + CHUNK_HEADER,
    }
}

/// Bytes that an extent holds.
fn capacity(place: Place) -> u64 {
    match place {
        Place::Cut(_, cut) => cut.bytes() - extent::HEAD,
        Place::Run(first, span) => {
            let tables = region::table_chunks(first, first + span).count() as u64;
            // A forged run may consist of tables.
            (span.saturating_sub(tables) * CHUNK).saturating_sub(CHUNK_HEADER)
        }
    }
}

#[cfg(test)]
mod tests;
