//! Recovery: after a restart a file contains the last epoch that reached it whole, and nothing
//! else. First a scan, which only reads, decides which epoch that is. Then everything else is
//! wiped, and tables, bits and index are rebuilt. A recovery that is interrupted anywhere begins
//! again and finds the same. `docs/FORMAT.md` has the steps.

use crate::{
    durable::checksum::{Sum, Superblock, Tally},
    error::{EngineError, outside},
    handle::Handle,
    header::{chunk_crc, meta_crc, table_chunks},
    index::{Query, inline_bytes},
    layout::{
        self, BLOCK_CLASSES, CHUNK, CHUNK_HEADER, EXTENT_CLASSES, Extent, Meta, State, Table,
        chunk, commit, dirty, extent, has_id, incarnation, journal, kind, live, record, ring, room,
        seat, slot, superblock, turns,
    },
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    space::chunks::SizeClass,
    store::Store,
};
use mapvar_os::{Error, ErrorKind};

/// The result of a recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The epoch that it accepted; 0 = no flush was ever complete.
    pub epoch: u64,
    /// Variables in the map.
    pub variables: u64,
    /// Variables of the epoch that are lost, or older than the epoch says.
    pub lost: u64,
    /// Whether the file is damaged: an epoch that was complete is not in the file as it was.
    pub damaged: bool,
    /// Variables whose newest value, or whose removal, is in the file but in no complete epoch, so
    /// that the recovery takes it back.
    pub rolled_back: u64,
}

/// The chunks with a valid header, in ascending order: number, kind, class. All others are free, and
/// a sparse file may have millions of them, so they take no memory.
#[derive(Default)]
struct Kinds(Vec<(u32, u8, u8)>);

impl Kinds {
    /// Returns kind and class of a chunk; zeros without a valid header.
    fn of(&self, number: u64) -> (u8, u8) {
        let Ok(number) = u32::try_from(number) else { return (0, 0) };
        let found = self.0.binary_search_by_key(&number, |(number, ..)| *number);
        let found = found.ok().and_then(|at| self.0.get(at));
        found.map_or((0, 0), |(_, kind, class)| (*kind, *class))
    }

    /// Returns number and class of each chunk of records.
    fn of_records(&self) -> impl Iterator<Item = (u64, usize)> {
        let records = self.0.iter().filter(|(_, found, _)| u64::from(*found) == kind::RECORDS);
        records.map(|(number, _, class)| (u64::from(*number), usize::from(*class)))
    }
}

const _: () = assert!(layout::MOST_CHUNKS <= u32::MAX as u64, "a chunk's number fits 32 bits");

/// The result of the scan: the chunks by their headers, and the slots that count.
struct Scan {
    chunks: u64,
    kinds: Kinds,
    /// For each record position, in order: a bit for each slot that counts.
    masks: Vec<u8>,
    superblocks: [Superblock; 2],
    /// The slots that are sealed for the epoch of each superblock.
    found: [Tally; 2],
    greatest_id: u64,
    /// The greatest epoch that a superblock or a seal names, valid or not.
    greatest_epoch: u64,
}

impl Scan {
    fn highest(&self) -> u64 {
        self.superblocks.iter().filter(|it| it.good).map(|it| it.epoch).max().unwrap_or(0)
    }

    /// A number too far above every valid one is corrupt. Counted, it would use up the numbers.
    fn note_epoch(&mut self, number: u64) {
        if number <= self.highest().saturating_add(superblock::FARTHEST) {
            self.greatest_epoch = self.greatest_epoch.max(number);
        }
    }
}

/// The accepted epoch, and what follows from it.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    epoch: u64,
    next_epoch: u64,
    damaged: bool,
    /// The count and sum of all variables in the epoch's superblock.
    all: Option<Tally>,
    rejected: [bool; 2],
}

impl Recovered {
    /// Compares the variables that were found with those that the epoch says.
    fn compare(&mut self, accepted: &Accepted, found: Tally) {
        let Some(said) = accepted.all else { return };
        self.lost = said.count.saturating_sub(found.count);
        if said != found {
            self.damaged = true;
            self.lost = self.lost.max(1);
        }
    }
}

/// The greatest incarnation: above it there are no versions.
const LAST_INCARNATION: u64 = (1 << 16) - 2;

impl<M: Mem> Store<M> {
    /// Restores the region as the last complete flush saw it. The caller must be alone with a file
    /// that no process has written to since the restart; `bytes` is its real length. Returns once
    /// the disk has stored the result.
    pub fn recover(&mut self, bytes: u64) -> Result<Recovered, EngineError> {
        self.recover_if(bytes, &|| false, |_| Ok(()))
    }

    /// As [`recover`](Self::recover), but gives up where `late` returns true: the next recovery
    /// begins again, and finds the same. Passes to `consent` what the recovery will find, before
    /// anything is changed; an error of `consent` ends the recovery.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if `late` returned true, and those of `consent`.
    pub fn recover_if(
        &mut self,
        bytes: u64,
        late: &dyn Fn() -> bool,
        consent: impl FnOnce(&Recovered) -> Result<(), EngineError>,
    ) -> Result<Recovered, EngineError> {
        let scan = self.scan(bytes, late)?;
        let accepted = self.accept(&scan)?;
        let forecast = self.forecast(&scan, &accepted, late)?;
        consent(&forecast)?;
        let recovered = self.rebuild_all(&scan, &accepted, late)?;
        let recovered = Recovered { rolled_back: forecast.rolled_back, ..recovered };
        self.mem.barrier(&[(0, scan.chunks * CHUNK)])?;
        // After the barrier: this word proves that the epoch was complete.
        self.live_mut()?.store(live::EPOCH, accepted.epoch, Release);
        self.reload()?;
        Ok(recovered)
    }

    /// Scans the whole file, and changes nothing.
    fn scan(&self, bytes: u64, late: &dyn Fn() -> bool) -> Result<Scan, EngineError> {
        let most = bytes.min(self.mem.limit()).min(self.max_size) / CHUNK;
        let most = most.min(layout::MOST_CHUNKS);
        let chunks = if self.mem.reach(most * CHUNK) { most } else { self.mem.size() / CHUNK };
        let mut scan = Scan {
            chunks: chunks.min(most),
            kinds: Kinds::default(),
            masks: Vec::new(),
            superblocks: self.superblocks()?,
            found: [Tally::default(); 2],
            greatest_id: 0,
            greatest_epoch: 0,
        };
        for superblock in scan.superblocks {
            scan.note_epoch(superblock.epoch);
        }
        let mut ids = Vec::new();
        let mut used = self.used_chunks(scan.chunks);
        let mut next = used.headed(layout::META_CHUNKS);
        while let Some(number) = next {
            next = used.headed(number + 1);
            if layout::holds_table(number) && number >= layout::TABLE_WORDS {
                continue;
            }
            in_time(late)?;
            let ((found, class), id) = self.trusted_header(number)?;
            if u64::from(found) == kind::FREE {
                continue;
            }
            scan.kinds.0.push((number as u32, found, class));
            if u64::from(found) == kind::RECORDS {
                ids.push((number, usize::from(class), id));
                scan.greatest_id = scan.greatest_id.max(id);
            }
        }
        for (number, class, chunk_id) in ids {
            for within in 0..layout::records_in_chunk(class) {
                in_time(late)?;
                let at = place(number, class, within);
                let mask = self.valid_slots(&mut scan, at, class, chunk_id)?;
                scan.masks.push(mask);
            }
        }
        Ok(scan)
    }

    /// Returns kind and class of a chunk by its header, and the id of a chunk of records; zeros if
    /// the header is invalid.
    fn trusted_header(&self, number: u64) -> Result<((u8, u8), u64), EngineError> {
        const NONE: ((u8, u8), u64) = ((0, 0), 0);
        let at = number * CHUNK;
        let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        let mark = header.load(chunk::MARK, Relaxed);
        let (found, class) = ((mark >> 32) & 0xff, (mark >> 40) & 0xff);
        if mark & 0xffff_ffff != chunk::MAGIC || mark >> 48 != 0 {
            return Ok(NONE);
        }
        let id = if has_id(found, class as usize) { header.load(chunk::ID, Relaxed) } else { 0 };
        let good = header.load(chunk::NUMBER, Relaxed) == number
            && header.load(chunk::UUID, Relaxed) == self.uuid
            && header.load(chunk::CRC, Relaxed) == chunk_crc(mark, number, self.uuid, id);
        let known = match found {
            kind::RUN => class == 0,
            // No file has records of which recovery could lose the durable slot.
            kind::RECORDS => layout::classes(true).contains(&(class as usize)),
            _ => SizeClass::of(found, class as usize).is_some(),
        };
        Ok(if good && known { ((found as u8, class as u8), id) } else { NONE })
    }

    /// Returns which slots of the record at `at` count.
    fn valid_slots(
        &self,
        scan: &mut Scan,
        at: u64,
        class: usize,
        chunk_id: u64,
    ) -> Result<u8, EngineError> {
        let plain = Handle::new(at, 0, class, false);
        let words = self.mem.words(at, plain.words()).ok_or_else(|| outside(at))?;
        for number in 0..plain.slots() {
            let seal = words.load(plain.slot(number) + slot::SEAL, Relaxed);
            scan.note_epoch(seal);
        }
        let Some(handle) = self.good_record(scan, at, class)? else { return Ok(0) };
        scan.greatest_id = scan.greatest_id.max(handle.id);
        let mut mask = 0;
        for number in 0..handle.slots() {
            let seal = words.load(handle.slot(number) + slot::SEAL, Relaxed);
            if seal == 0 {
                continue;
            }
            let Some(sum) = self.slot_sum_of_data(chunk_id, handle, number, seal)? else {
                continue;
            };
            let lies = sum.extent.is_none_or(|extent| extent_lies(scan, extent));
            let same = sum.crc == sum.stored;
            if !same || sum.version > State::LARGEST || !lies {
                continue;
            }
            mask |= 1 << number;
            for (superblock, found) in scan.superblocks.iter().zip(&mut scan.found) {
                if superblock.good && superblock.epoch == seal {
                    found.add(handle.id, sum.version, sum.crc);
                }
            }
        }
        Ok(mask)
    }

    /// Returns the record at `at`, with its id without the `RETIRED` bit, if id, meta and name are
    /// valid.
    fn good_record(
        &self,
        scan: &Scan,
        at: u64,
        class: usize,
    ) -> Result<Option<Handle>, EngineError> {
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let id = line.load(record::ID, Acquire) & !record::RETIRED;
        let meta = Meta(line.load(record::META, Relaxed));
        if id == 0 || (meta.class() != class) {
            return Ok(None);
        }
        let inline = inline_bytes(meta);
        if meta.name_len() > inline {
            let block = line.load(record::NAME + inline / 8 - 1, Relaxed);
            if !block_lies(scan, block, meta.name_len()) {
                return Ok(None);
            }
            let first = self.mem.words(block, 1).ok_or_else(|| outside(block))?;
            if first.load(0, Relaxed) != id {
                return Ok(None);
            }
        }
        // The checksum covers the name alone. The padding, and the prefix in the record of a name
        // in a block, must be right too: otherwise no lookup finds the variable.
        let found = |name: &[u8]| self.name_is(line, meta, &Query::new(name, self.seed));
        let whole = self
            .name_of(at)
            .is_some_and(|name| meta_crc(id, meta, &name) == meta.crc() && found(&name));
        Ok(Handle::checked(at, id, meta, &self.mem).filter(|_| whole))
    }

    /// Decides which epoch the file contains.
    fn accept(&self, scan: &Scan) -> Result<Accepted, EngineError> {
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let good = |at: &usize| scan.superblocks.get(*at).is_some_and(|it| it.good);
        let mut order: Vec<usize> = (0..2).filter(good).collect();
        let epoch_of = |at: usize| scan.superblocks.get(at).map_or(0, |it| it.epoch);
        order.sort_by_key(|at| std::cmp::Reverse(epoch_of(*at)));
        let matches = |at: usize| match (scan.superblocks.get(at), scan.found.get(at)) {
            (Some(superblock), Some(found)) => superblock.sealed == *found,
            _ => false,
        };
        let (mut taken, mut damaged) = (None, false);
        for at in &order {
            if matches(*at) {
                taken = Some(*at);
                break;
            }
            if complete >= epoch_of(*at) {
                // The epoch was complete, so this is damage and not an interrupted flush.
                (taken, damaged) = (Some(*at), true);
                break;
            }
        }
        // An epoch was complete, and no superblock matches: damage. The highest valid one is taken.
        if taken.is_none() && complete != 0 {
            damaged = true;
            taken = order.first().copied();
        }
        let reasonable =
            |number: u64| number <= scan.highest().saturating_add(superblock::FARTHEST);
        let epoch = match taken {
            Some(at) => epoch_of(at),
            None if complete != 0 && reasonable(complete) => complete,
            None => 0,
        };
        // The newest superblock may have rotted while the one before it is whole. Then the accepted
        // epoch is older than the complete one.
        let damaged = damaged || complete > epoch;
        let next_epoch = scan.greatest_epoch.max(epoch).saturating_add(1);
        let rejected = |at: usize| {
            scan.superblocks
                .get(at)
                .is_some_and(|it| it.epoch > epoch || (!it.good && taken != Some(at)))
        };
        Ok(Accepted {
            epoch,
            next_epoch,
            damaged,
            all: taken.and_then(|at| scan.superblocks.get(at)).map(|it| it.all),
            rejected: [rejected(0), rejected(1)],
        })
    }

    /// Returns what a recovery will find, and changes nothing.
    fn forecast(
        &self,
        scan: &Scan,
        accepted: &Accepted,
        late: &dyn Fn() -> bool,
    ) -> Result<Recovered, EngineError> {
        let mut forecast =
            Recovered { epoch: accepted.epoch, damaged: accepted.damaged, ..Recovered::default() };
        let mut all = Tally::default();
        let mut masks = scan.masks.iter();
        for (number, class) in scan.kinds.of_records() {
            for within in 0..layout::records_in_chunk(class) {
                in_time(late)?;
                let at = place(number, class, within);
                let mask = masks.next().copied().unwrap_or(0);
                let newest = self.newest_slot(accepted.epoch, at, class, mask)?;
                if let Some((handle, slot, _)) = newest {
                    let words = self.mem.words(at, handle.words()).ok_or_else(|| outside(at))?;
                    let base = handle.slot(slot);
                    let desc = layout::Desc(words.load(base + slot::DESC, Relaxed));
                    if desc.kind() != slot::TOMBSTONE {
                        let version = words.load(base + slot::VERSION, Relaxed);
                        // The scan has compared the checksum with the value.
                        all.add(handle.id, version, words.load(base + slot::TYPE, Relaxed) as u32);
                        forecast.variables += u64::from(!self.is_of_lock(at));
                    }
                }
                let kept = newest.map(|(_, slot, _)| slot);
                forecast.rolled_back += u64::from(self.is_taken_back(at, class, kept)?);
            }
        }
        forecast.compare(accepted, all);
        Ok(forecast)
    }

    /// Whether the record at `at` holds another value than its slot `kept`, or a variable where
    /// nothing is kept. Locks and ephemeral values do not count: their processes are gone.
    fn is_taken_back(
        &self,
        at: u64,
        class: usize,
        kept: Option<usize>,
    ) -> Result<bool, EngineError> {
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let id = line.load(record::ID, Relaxed);
        if id == 0 || id & record::RETIRED != 0 {
            return Ok(false);
        }
        let handle = Handle::new(at, id, class, Meta(line.load(record::META, Relaxed)).atomic());
        let words = self.mem.words(at, handle.words()).ok_or_else(|| outside(at))?;
        let state = State(line.load(record::STATE, Relaxed));
        let kind_of =
            |number| layout::Desc(words.load(handle.slot(number) + slot::DESC, Relaxed)).kind();
        let desc = words.load(handle.slot(state.current()) + slot::DESC, Relaxed);
        if layout::Desc(desc).is_ephemeral() || self.is_of_lock(at) {
            return Ok(false);
        }
        let removed = state.removed() || kind_of(state.current()) == slot::TOMBSTONE;
        Ok(match kept {
            None => !removed,
            Some(kept) if removed => kind_of(kept) != slot::TOMBSTONE,
            Some(kept) if kept != state.current() => true,
            Some(kept) if handle.atomic => {
                line.load(record::VALUE, Relaxed)
                    != words.load(handle.slot(kept) + slot::DATA, Relaxed)
            }
            Some(_) => false,
        })
    }

    /// Rewrites everything but the accepted slots.
    fn rebuild_all(
        &self,
        scan: &Scan,
        accepted: &Accepted,
        late: &dyn Fn() -> bool,
    ) -> Result<Recovered, EngineError> {
        let base = self.count_incarnation()?;
        self.forget_users()?;
        self.begin_tables(scan)?;
        let live = self.live_mut()?;
        live.store(live::BIRTHS, scan.greatest_id.max(base), Relaxed);
        live.store(live::VERSION_BASE, base, Relaxed);
        live.store(live::NEXT_EPOCH, accepted.next_epoch, Relaxed);

        let mut recovered =
            Recovered { epoch: accepted.epoch, damaged: accepted.damaged, ..Recovered::default() };
        let mut all = Tally::default();
        let mut present = Vec::new();
        let mut masks = scan.masks.iter();
        for (number, class) in scan.kinds.of_records() {
            let header = self.mem.words(number * CHUNK, chunk::WORDS);
            let header = header.ok_or_else(|| outside(number * CHUNK))?;
            let chunk_id = header.load(chunk::ID, Relaxed);
            for within in 0..layout::records_in_chunk(class) {
                in_time(late)?;
                let at = place(number, class, within);
                let mask = masks.next().copied().unwrap_or(0);
                let kept = self.restore(scan, accepted, at, class, chunk_id, mask, &mut all)?;
                if let Some(handle) = kept {
                    present.push(handle);
                }
            }
        }
        let of_users = present.iter().filter(|handle| !self.is_of_lock(handle.at));
        recovered.variables = of_users.count() as u64;
        let counted = present.iter().filter(|handle| self.is_counted(handle.at));
        live.store(live::BORN, counted.count() as u64, Relaxed);
        if present.iter().any(|handle| self.is_ephemeral(*handle)) {
            // Its owner process is gone, and the next count finds that out.
            live.store(live::LOST, 1, Relaxed);
        }
        recovered.compare(accepted, all);
        if recovered.damaged {
            live.store(live::RECOUNT, 1, Relaxed);
        }
        for handle in present.iter().filter(|handle| handle.atomic) {
            self.mark_atomics(handle.at)?;
        }
        self.index_all(&present)?;
        for (at, rejected) in superblock::AT.into_iter().zip(accepted.rejected) {
            if rejected {
                // Only its check word: if all of it were zeroed, a power cut half-way could make it
                // valid.
                let words =
                    self.mem.words_mut(at, superblock::WORDS).ok_or(EngineError::ReadOnly)?;
                words.store(superblock::CHECK, 0, Relaxed);
            }
        }
        Ok(recovered)
    }

    /// Increments the incarnation; returns the number above which its ids and versions begin.
    fn count_incarnation(&self) -> Result<u64, EngineError> {
        let words = self.mem.words_mut(incarnation::AT, incarnation::WORDS);
        let words = words.ok_or(EngineError::ReadOnly)?;
        let count = words.load(incarnation::COUNT, Relaxed);
        let count = count.saturating_add(1).min(LAST_INCARNATION);
        words.store(incarnation::COUNT, count, Relaxed);
        Ok(count << 40)
    }

    /// Clears what the former users held: locks, journals, pins, F.
    fn forget_users(&self) -> Result<(), EngineError> {
        for at in [live::LOCK_L, live::LOCK_T, live::BIRTHS_WAKE, live::CHANGES_WAKE] {
            self.mem.reset(at);
        }
        let zero = |at: u64, from: usize, count: usize| {
            let words = self.mem.words_mut(at, from + count).ok_or(EngineError::ReadOnly)?;
            (from..from + count).for_each(|word| words.store(word, 0, Relaxed));
            Ok::<_, EngineError>(())
        };
        zero(journal::AT, 0, journal::WORDS)?;
        zero(commit::AT, 0, commit::WORDS)?;
        zero(turns::AT, 0, turns::WORDS)?;
        // An entry of the file may belong to a lap that is still to come.
        zero(ring::AT, 0, ring::WORDS)?;
        self.clear_summaries()?;
        for number in 0..layout::PARTICIPANT_SLOTS {
            // The tokens too. The file may be a copy, and on Windows the users of the original
            // would seem to have its seats, and so its locks and ephemeral values. No process has
            // taken a seat in this file yet.
            zero(seat::at(number), seat::TOKEN, 3)?;
        }
        let live = self.live_mut()?;
        live.store(live::TSEQ, 0, Relaxed);
        live.store(live::CHANGES, 0, Relaxed);
        live.store(live::NET, 0, Relaxed);
        live.store(live::LOST, 0, Relaxed);
        for word in [live::PINS, live::PINS + 1, live::FLUSHER, live::FAILED, live::RECOUNT] {
            live.store(word, 0, Relaxed);
        }
        Ok(())
    }

    /// Writes a chunk table that contains only chunks of records, all of whose records are free; an
    /// empty index; and the counts and hints to match.
    fn begin_tables(&self, scan: &Scan) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        let counts = self.mem.words_mut(room::AT, room::WORDS).ok_or(EngineError::ReadOnly)?;
        (0..room::WORDS).for_each(|word| counts.store(word, 0, Relaxed));
        self.all_may_be_free()?;
        // All are free, also those behind the end: the file may have been longer, and its length not
        // have reached the disk, so that it grows there again. The loop ends with the last word that
        // lies in the file. Words in holes say "free" already.
        let mut used = self.used_chunks(layout::MOST_CHUNKS);
        let mut next = used.described(0);
        while let Some(number) = next {
            let at = layout::table_word(number);
            if at >= scan.chunks * CHUNK {
                break;
            }
            let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
            if word.load(0, Relaxed) != 0 {
                word.store(0, 0, Relaxed);
            }
            next = used.described(number + 1);
        }
        for number in 0..layout::META_CHUNKS.min(scan.chunks) {
            self.set_chunk(number, kind::META, 0)?;
        }
        for number in table_chunks(0, scan.chunks) {
            self.set_chunk(number, kind::TABLE, 0)?;
        }
        for (number, class) in scan.kinds.of_records() {
            self.set_chunk(number, kind::RECORDS, class)?;
            let at = number * CHUNK;
            let header = self.mem.words_mut(at, chunk::WORDS).ok_or_else(|| outside(at))?;
            header.store(chunk::BITS, 0, Relaxed);
            header.store(chunk::ATOMICS, 0, Relaxed);
            let words = self.dirty_words(number)?;
            (0..dirty::WORDS).for_each(|word| words.store(word, 0, Relaxed));
            let places = layout::records_in_chunk(class) as u64;
            counts.fetch_add(room::FREE + layout::size_of_class(class), places, Relaxed);
            counts.fetch_add(room::RECORDS, places, Relaxed);
        }
        live.store(live::CHUNKS, scan.chunks, Relaxed);
        live.store(live::FREE_HINT, layout::META_CHUNKS, Relaxed);
        (0..layout::RECORD_SIZES).for_each(|size| live.store(live::CLASS_HINT + size, 0, Relaxed));
        (0..BLOCK_CLASSES.len()).for_each(|class| live.store(live::BLOCK_HINT + class, 0, Relaxed));
        (0..EXTENT_CLASSES.len())
            .for_each(|class| live.store(live::EXTENT_HINT + class, 0, Relaxed));
        live.store(live::RUN_HINT, 0, Relaxed);
        let table = Table { at: layout::FIRST_INDEX, lines: layout::FIRST_INDEX_LINES };
        let words = (table.lines * 8) as usize;
        let first = self.mem.words_mut(table.at, words).ok_or(EngineError::ReadOnly)?;
        (0..words).for_each(|word| first.store(word, 0, Relaxed));
        live.store(live::ROOT, table.root(), Relaxed);
        live.store(live::INDEX_USED, 0, Relaxed);
        live.fetch_add(live::INDEX_SEQ, 1, Relaxed);
        Ok(())
    }

    /// Restores the record at `at` as the accepted epoch says; returns its variable.
    #[allow(clippy::too_many_arguments, reason = "what is known of one place")]
    fn restore(
        &self,
        scan: &Scan,
        accepted: &Accepted,
        at: u64,
        class: usize,
        chunk_id: u64,
        mask: u8,
        all: &mut Tally,
    ) -> Result<Option<Handle>, EngineError> {
        self.mem.reset(at + record::LOCK);
        self.mem.reset(at + record::WAKE);
        let found = self.newest(accepted.epoch, at, class, chunk_id, mask)?;
        let found = match found {
            // No two variables share an extent or a block. If two claim the same, one is forged.
            Some((handle, number, sum)) if self.claim(scan, handle, &sum)? => {
                Some((handle, number, sum))
            }
            _ => None,
        };
        let plain = Handle::new(at, 0, class, false);
        let words = self.mem.words_mut(at, plain.words()).ok_or_else(|| outside(at))?;
        // The kept slot is not written: an interrupted recovery must find it again.
        let kept = found.map(|(_, number, _)| number);
        for number in (0..plain.slots()).filter(|number| Some(*number) != kept) {
            let slot = plain.slot(number);
            // Only if it is not wiped yet: an unchanged page need not be written.
            let wiped = words.load(slot + slot::SEAL, Relaxed) == 0
                && words.load(slot + slot::VERSION, Relaxed) == slot::INVALID
                && words.load(slot + slot::DESC, Relaxed) == 0;
            if !wiped {
                words.store(slot + slot::SEAL, 0, Relaxed);
                words.store(slot + slot::VERSION, slot::INVALID, Relaxed);
                words.store(slot + slot::DESC, 0, Relaxed);
            }
        }
        let Some((handle, number, sum)) = found else {
            if words.load(record::ID, Relaxed) != 0 {
                words.store(record::ID, 0, Relaxed);
            }
            return Ok(None);
        };
        if sum.tombstone {
            // A tombstone stays until the next flush is complete. Wiped now, it could leave the
            // file before an older slot does, and an interrupted recovery would bring the value
            // back.
            words.store(record::ID, handle.id | record::RETIRED, Relaxed);
            words.store(record::STATE, accepted.next_epoch | record::QUIET, Relaxed);
            return Ok(None);
        }
        all.add(handle.id, sum.version, sum.crc);
        words.store(record::ID, handle.id, Relaxed);
        words.store(record::STATE, State::new(sum.version, number, number, number).0, Relaxed);
        if handle.atomic {
            words.store(record::VALUE, sum.first_word, Relaxed);
        }
        Ok(Some(handle))
    }

    /// Returns the slot with the greatest version of those that count in the accepted epoch.
    fn newest(
        &self,
        epoch: u64,
        at: u64,
        class: usize,
        chunk_id: u64,
        mask: u8,
    ) -> Result<Option<(Handle, usize, Sum)>, EngineError> {
        let newest = self.newest_slot(epoch, at, class, mask)?;
        let Some((handle, number, seal)) = newest else { return Ok(None) };
        let sum = self.slot_sum_of_data(chunk_id, handle, number, seal)?;
        Ok(sum.map(|sum| (handle, number, sum)))
    }

    /// As [`newest`](Self::newest), without the checksum: the record, the slot, and its seal.
    fn newest_slot(
        &self,
        epoch: u64,
        at: u64,
        class: usize,
        mask: u8,
    ) -> Result<Option<(Handle, usize, u64)>, EngineError> {
        if mask == 0 {
            return Ok(None);
        }
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let id = line.load(record::ID, Acquire) & !record::RETIRED;
        let meta = Meta(line.load(record::META, Relaxed));
        let handle = Handle::new(at, id, class, meta.atomic());
        let words = self.mem.words(at, handle.words()).ok_or_else(|| outside(at))?;
        let mut newest: Option<(u64, usize, u64)> = None;
        for number in (0..handle.slots()).filter(|number| mask >> number & 1 != 0) {
            let seal = words.load(handle.slot(number) + slot::SEAL, Relaxed);
            let version = words.load(handle.slot(number) + slot::VERSION, Relaxed);
            if seal != 0 && seal <= epoch && newest.is_none_or(|(best, ..)| version > best) {
                newest = Some((version, number, seal));
            }
        }
        Ok(newest.map(|(_, number, seal)| (handle, number, seal)))
    }

    /// Allocates the record, its block and its extent. Returns false if one of them already has an
    /// owner, and takes nothing from that owner.
    fn claim(&self, scan: &Scan, handle: Handle, sum: &Sum) -> Result<bool, EngineError> {
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        let meta = Meta(line.load(record::META, Relaxed));
        let inline = inline_bytes(meta);
        if let Some(extent) = sum.extent
            && !self.claim_extent(scan, handle, extent)?
        {
            return Ok(false);
        }
        if meta.name_len() > inline {
            let block = line.load(record::NAME + inline / 8 - 1, Relaxed);
            if !self.claim_part(scan, block, kind::BLOCKS)? {
                return Ok(false);
            }
        }
        if let Some(part) = self.record_at(handle.at)? {
            self.take_bit(part)?;
        }
        Ok(true)
    }

    /// Allocates a part of a chunk of blocks or extents. The first allocation makes it such a
    /// chunk.
    fn claim_part(&self, scan: &Scan, at: u64, wanted: u64) -> Result<bool, EngineError> {
        let number = at / CHUNK;
        let (_, class) = scan.kinds.of(number);
        let class = usize::from(class);
        let Some(cut) = SizeClass::of(wanted, class) else { return Ok(false) };
        match self.chunk_kind(number)? {
            (kind::FREE, _) => {
                let base = number * CHUNK;
                let header = self.mem.words_mut(base, chunk::WORDS).ok_or_else(|| outside(base))?;
                header.store(chunk::BITS, 0, Relaxed);
                header.store(chunk::BITS + 1, 0, Relaxed);
                self.set_chunk(number, wanted, class)?;
                self.count_free(cut)?;
            }
            (found, of) if found == wanted && of == class => {}
            _ => return Ok(false),
        }
        let Some(part) = self.allocation_at(at, wanted)? else { return Ok(false) };
        if self.is_taken(part)? {
            return Ok(false);
        }
        self.take_bit(part)?;
        Ok(true)
    }

    fn claim_extent(
        &self,
        scan: &Scan,
        handle: Handle,
        owned: Extent,
    ) -> Result<bool, EngineError> {
        // Validated once more, as the slot was: a hostile peer may have changed it since the scan.
        if !extent_lies(scan, owned) {
            return Ok(false);
        }
        let number = owned.at / CHUNK;
        let (found, _) = scan.kinds.of(number);
        if u64::from(found) == kind::RUN {
            let Some(span) = run_span(owned, scan.chunks) else { return Ok(false) };
            let own = |number: &u64| !layout::holds_table(*number);
            for number in (number..number + span).filter(own) {
                if self.chunk_kind(number)?.0 != kind::FREE {
                    return Ok(false);
                }
            }
            for number in (number + 1..number + span).filter(own) {
                self.set_chunk(number, kind::REST, 0)?;
            }
            self.set_run_head(number, span)?;
        } else if !self.claim_part(scan, owned.at - extent::HEAD, kind::EXTENTS)? {
            return Ok(false);
        }
        let at = owned.at - extent::HEAD;
        let head = self.mem.words_mut(at, extent::WORDS).ok_or_else(|| outside(at))?;
        head.store(extent::RECORD, handle.at, Relaxed);
        head.store(extent::ID, handle.id, Relaxed);
        head.store(extent::FILLER, 0, Release);
        Ok(true)
    }

    /// Builds the index of these variables. Of two with one name, the younger gets it.
    fn index_all(&self, present: &[Handle]) -> Result<(), EngineError> {
        let counts = self.mem.words(room::AT, room::WORDS).ok_or_else(|| outside(room::AT))?;
        let places = counts.load(room::RECORDS, Relaxed).min(self.most_records());
        match self.make_index_fit(places) {
            Err(EngineError::Full { needed, .. }) => {
                let seen = self.chunk_count()?;
                self.grow(needed, seen)?;
                self.make_index_fit(places)?;
            }
            done => done?,
        }
        let mut youngest_first: Vec<&Handle> = present.iter().collect();
        youngest_first.sort_by_key(|handle| std::cmp::Reverse(handle.id));
        for handle in youngest_first {
            let Some(name) = self.name_of(handle.at) else { continue };
            let query = Query::new(&name, self.seed);
            if self.find(query)?.is_some() {
                continue;
            }
            let mut vacancy = self.vacancy(self.table()?, query.hash)?;
            if vacancy.is_none() || !self.index_has_space()? {
                match self.rebuild() {
                    // No run of chunks is free for a larger index: this one serves until its probe
                    // bound.
                    Err(EngineError::Full { .. }) if vacancy.is_some() => {}
                    done => {
                        done?;
                        vacancy = self.vacancy(self.table()?, query.hash)?;
                    }
                }
            }
            let place =
                vacancy.ok_or(EngineError::Corrupt("the index overflows at a low load", 0))?;
            self.link(place, query.hash, handle.at)?;
        }
        self.live_mut()?.fetch_add(live::INDEX_SEQ, 1, SeqCst);
        Ok(())
    }
}

/// Fails once the time is up. An interrupted recovery begins again and finds the same.
///
/// # Errors
/// [`ErrorKind::TimedOut`] if `late` returns true.
pub fn in_time(late: &dyn Fn() -> bool) -> Result<(), EngineError> {
    if !late() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::TimedOut, "", "").detail(
        "its recovery takes longer than it may; open it with a longer timeout (`recovery_timeout`), \
         as the size of its data asks for",
    );
    Err(EngineError::Explained(error))
}

/// Returns the offset of a record.
fn place(number: u64, class: usize, within: usize) -> u64 {
    number * CHUNK + CHUNK_HEADER + (within * layout::record_bytes(class)) as u64
}

/// Whether a block for a name of `len` bytes can begin at `at`, by the chunks' headers.
fn block_lies(scan: &Scan, at: u64, len: usize) -> bool {
    let (found, class) = scan.kinds.of(at / CHUNK);
    let Some(bytes) = BLOCK_CLASSES.get(usize::from(class)) else { return false };
    let Some(within) = (at % CHUNK).checked_sub(CHUNK_HEADER) else { return false };
    u64::from(found) == kind::BLOCKS
        && within.is_multiple_of(*bytes as u64)
        && within + *bytes as u64 <= CHUNK - CHUNK_HEADER
        && len + layout::BLOCK_NAME as usize <= *bytes
}

/// Whether an extent can lie where a slot says, by the chunks' headers.
fn extent_lies(scan: &Scan, owned: Extent) -> bool {
    let (found, class) = scan.kinds.of(owned.at / CHUNK);
    match u64::from(found) {
        kind::RUN => owned.at % CHUNK == CHUNK_HEADER && run_span(owned, scan.chunks).is_some(),
        kind::EXTENTS => {
            let Some(bytes) = EXTENT_CLASSES.get(usize::from(class)) else { return false };
            let (bytes, head) = (*bytes as u64, CHUNK_HEADER + extent::HEAD);
            (owned.at % CHUNK).checked_sub(head).is_some_and(|within| {
                within.is_multiple_of(bytes)
                    && within + bytes <= CHUNK - CHUNK_HEADER
                    && owned.capacity <= bytes - extent::HEAD
            })
        }
        _ => false,
    }
}

/// Returns the chunks of a run, tables between them included, in a region of `chunks` chunks;
/// `None` if no such run can exist.
fn run_span(owned: Extent, chunks: u64) -> Option<u64> {
    let bytes = owned.capacity.checked_add(CHUNK_HEADER)?;
    if bytes == CHUNK_HEADER || !bytes.is_multiple_of(CHUNK) || bytes / CHUNK > chunks {
        return None;
    }
    let first = owned.at / CHUNK;
    let (mut end, mut left) = (first, bytes / CHUNK);
    // Group by group: a table lies at the beginning of each.
    for (at, len) in layout::pieces(first * CHUNK, bytes) {
        end = (at + len) / CHUNK;
        left = left.saturating_sub(len / CHUNK);
        if end > chunks {
            return None;
        }
    }
    let tables = table_chunks(first, end).count() as u64;
    (left == 0 && end - first - tables == bytes / CHUNK).then_some(end - first)
}

const _: () = assert!(extent::WORDS * 8 == extent::HEAD as usize, "a head is before its data");
