//! A flush: a checkpoint of all variables, complete or without effect. It chooses a slot of each
//! record that was written since the last flush, and seals it. A superblock records the number of
//! sealed slots. Then the flush waits once for the disk. `docs/FORMAT.md` has the steps, and the
//! reasons for their order.

use crate::{
    commit::Blocked,
    durable::checksum::{Superblock, Tally},
    durable::dirty::RecordChunk,
    error::{EngineError, outside},
    handle::Handle,
    layout::{
        self, CHUNK, CHUNK_HEADER, Meta, State, chunk, dirty, live, record, slot, superblock,
    },
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    record::read::ByHandle,
    store::Store,
    value::{Kind, Raw},
};
use mapvar_os::{Error, ErrorKind, Refused};
use std::sync::PoisonError;

/// How often the choice is retried because other threads hold records.
const TRIES: usize = 10_000;

/// How often a change of `state` is retried: waiters set a bit in it.
const SWAPS: usize = 1_000;

/// A record of which a slot is to be sealed.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    handle: Handle,
    chunk_id: u64,
    /// The state as the flush wrote it: slot B is the chosen one.
    state: State,
}

/// RAII guard for the flush lock (F).
struct Flusher<'a, M: Mem> {
    store: &'a Store<M>,
    token: u64,
}

impl<M: Mem> Drop for Flusher<'_, M> {
    fn drop(&mut self) {
        if let Ok(live) = self.store.live_mut() {
            // SYNC POINT S14.
            let _ = live.compare_exchange(live::FLUSHER, self.token, 0);
        }
    }
}

impl<M: Mem> Store<M> {
    /// Makes everything that was set before this call survive a power cut; returns once the device
    /// has stored it. Does nothing for a map without a file.
    pub fn flush(&self) -> Result<(), EngineError> {
        if !self.file {
            return Ok(());
        }
        let removed = {
            // This mutex admits one thread of a process, and F one process.
            let _turn = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
            let _held = self.claim_flush()?;
            self.flush_once()?
        };
        // Their index words and large values are freed now, their records once the next flush is
        // complete.
        self.collect_each(removed);
        Ok(())
    }

    /// Whether the device failed at an earlier flush, so that no flush succeeds until a recovery.
    pub fn has_failed(&self) -> Result<bool, EngineError> {
        Ok(self.live()?.load(live::FAILED, Acquire) != 0)
    }

    /// Takes the flush lock (F) if it is free, or if its owner process is gone. A thread holds one
    /// robust lock at a time, and a flusher needs T. So F is a plain word with the token of its
    /// owner's seat.
    fn claim_flush(&self) -> Result<Flusher<'_, M>, EngineError> {
        let live = self.live_mut()?;
        let token = self.mem.seat()?;
        let mut round = 0;
        loop {
            let owner = live.load(live::FLUSHER, Acquire);
            // This process's own token can only be left by a failed release: the mutex `flushing`
            // admits one thread at a time.
            let free = owner == 0 || owner == token || !self.lives(owner)?;
            // SYNC POINT S14. Pairs with the exchange in the former flusher's `Drop`: its
            // superblock and bits in flight are seen.
            if free && live.compare_exchange(live::FLUSHER, owner, token).is_ok() {
                let held = Flusher { store: self, token };
                if owner != 0 {
                    self.suspect_all()?;
                }
                return Ok(held);
            }
            if !self.mem.pause(round) {
                let holder = self.process_of(owner).unwrap_or_default();
                return Err(EngineError::Lock(Refused::TimedOut(holder)));
            }
            round += 1;
        }
    }

    /// Runs a flush, with F held; returns the removed variables that it made durable.
    fn flush_once(&self) -> Result<Vec<Handle>, EngineError> {
        let live = self.live_mut()?;
        if live.load(live::FAILED, Acquire) != 0 {
            return Err(failed_before());
        }
        let complete = live.load(live::EPOCH, Acquire);
        let epoch = live.load(live::NEXT_EPOCH, Acquire).max(complete.saturating_add(1));
        if epoch >= u64::MAX / 2 {
            return Err(EngineError::Corrupt("the number of the flush is invalid", live::AT));
        }
        // Stored before any slot is sealed with it: no other flush may ever have this number. The
        // seals of a dead flush would count in its sum.
        live.store(live::NEXT_EPOCH, epoch + 1, SeqCst);
        let (chosen, chunks) = self.choose(complete)?;

        let base = self.superblocks()?.into_iter().find(|it| it.good && it.epoch == complete);
        let recount = live.load(live::RECOUNT, Acquire) != 0 || (base.is_none() && complete != 0);
        let mut all = base.map_or(Tally::default(), |base| base.all);
        let mut sealed = Tally::default();
        let mut removed = Vec::new();
        for one in &chosen {
            self.seal(one, epoch, complete, &mut sealed, &mut all, &mut removed)?;
        }
        if recount {
            all = self.count_all(epoch)?;
        }
        let [first, second] = superblock::AT;
        let at = match self.superblocks()? {
            // The superblock of the last complete epoch is kept until this epoch is complete.
            [one, _] if one.good && one.epoch == complete => second,
            _ => first,
        };
        self.write_superblock(at, &Superblock { epoch, sealed, all, good: true })?;

        // Syncs the whole file, since recovery also relies on words outside the chosen slots: a
        // word that was cleared before this flush must be clear in the file. The system writes only
        // changed pages.
        let bytes = self.chunk_count()? * CHUNK;
        if let Err(trouble) = self.mem.barrier(&[(0, bytes)]) {
            // An error of the device is permanent: the system may have dropped the pages that it could
            // not write, and a second attempt would then seem to succeed. After any other error,
            // such as a call that a signal interrupts or a sandbox denies, the pages are still
            // changed, and the next flush writes them. The word is shared, so such an error must
            // not set it: it would end flushing for every process.
            return Err(match trouble {
                EngineError::Explained(error) if error.is_of_device() => {
                    live.store(live::FAILED, 1, Release);
                    EngineError::Explained(error.detail(format!("the disk failed; {WAY_BACK}")))
                }
                trouble => trouble,
            });
        }
        if recount {
            live.store(live::RECOUNT, 0, Relaxed);
        }
        // SYNC POINT S15. Before the bits in flight are cleared: a flush that dies in between
        // leaves them to the next. In the other order no later flush would find the records.
        live.store(live::EPOCH, epoch, Release);
        for RecordChunk { number, .. } in chunks {
            let words = self.dirty_words(number)?;
            if words.load(dirty::FLUSHING, Relaxed) != 0 {
                words.store(dirty::FLUSHING, 0, Release);
            }
        }
        self.settle()?;
        Ok(removed)
    }

    fn chunk_id(&self, number: u64) -> Result<u64, EngineError> {
        let at = number * CHUNK;
        let header = self.mem.words(at, chunk::WORDS).ok_or_else(|| outside(at))?;
        Ok(header.load(chunk::ID, Relaxed))
    }

    /// Chooses a slot of each record that was written, all under one hold of T. No transaction
    /// commits meanwhile, so the epoch contains each transaction as a whole or not at all.
    /// Returns the chosen slots, and the chunks in which bits in flight may stand.
    fn choose(&self, complete: u64) -> Result<(Vec<Chosen>, Vec<RecordChunk>), EngineError> {
        for _ in 0..TRIES {
            let held = self.lock_transactions()?;
            let mut chosen = Vec::new();
            // Under T: of a transaction that has committed all chunks are among them, or none.
            let chunks = self.chunks_to_flush()?;
            let met = match self.choose_under(complete, &chunks, &mut chosen) {
                Ok(None) => return Ok((chosen, chunks)),
                Ok(Some(met)) => met,
                Err(trouble) => {
                    self.unmark_all()?;
                    return Err(trouble);
                }
            };
            self.unmark_all()?;
            drop(held);
            // A transaction may commit from here on, so the choice does not count. The next round
            // chooses the same records again, because their slots B are not durable.
            self.wait_for(&met)?;
        }
        Err(EngineError::Contended)
    }

    fn choose_under(
        &self,
        complete: u64,
        chunks: &[RecordChunk],
        chosen: &mut Vec<Chosen>,
    ) -> Result<Option<Blocked>, EngineError> {
        for &RecordChunk { number, class } in chunks {
            let atomics = self.atomics_of(number)?;
            let words = self.dirty_words(number)?;
            // SYNC POINT S10. In flight first: a death in between loses no bit.
            let dirty = words.load(dirty::DIRTY, Acquire);
            if dirty != 0 {
                words.fetch_or(dirty::FLUSHING, dirty, AcqRel);
                words.fetch_and(dirty::DIRTY, !dirty, AcqRel);
            }
            let flushing = words.load(dirty::FLUSHING, Acquire);
            if flushing | atomics == 0 {
                continue;
            }
            let chunk_id = self.chunk_id(number)?;
            for within in 0..layout::records_in_chunk(class) {
                let at =
                    number * CHUNK + CHUNK_HEADER + (within * layout::record_bytes(class)) as u64;
                let bit = layout::dirty_bit(at);
                if (flushing | atomics) & bit == 0 {
                    continue;
                }
                let Some(handle) = self.record_to_flush(at, class)? else { continue };
                if flushing & bit == 0 && !(handle.atomic && self.is_behind(handle, complete)?) {
                    continue;
                }
                if let Some(met) = self.mark_one(handle)? {
                    return Ok(Some(met));
                }
                if let Some(state) = self.choose_slot(handle, complete)? {
                    // An Atomic may be chosen without its bit, and so may a record that was just
                    // inserted in its place. Without the bit, the record could be erased before it
                    // is sealed.
                    words.fetch_or(dirty::FLUSHING, bit, AcqRel);
                    chosen.push(Chosen { handle, chunk_id, state });
                }
                self.unmark_all()?;
            }
        }
        Ok(None)
    }

    /// Returns the record at `at`, if it holds a variable. A record that is inserted now sets its
    /// dirty bit after its id, and the next flush finds it.
    fn record_to_flush(&self, at: u64, class: usize) -> Result<Option<Handle>, EngineError> {
        let line = self.mem.words(at, record::LINE).ok_or_else(|| outside(at))?;
        let id = line.load(record::ID, Acquire);
        let meta = Meta(line.load(record::META, Relaxed));
        if id == 0 || id & record::RETIRED != 0 || meta.class() != class {
            return Ok(None);
        }
        Ok(Handle::checked(at, id, meta, &self.mem))
    }

    /// Whether an `Atomic`'s word differs from the durable one, or none is durable. Takes no lock,
    /// but sees every operation that ended before the call.
    fn is_behind(&self, handle: Handle, complete: u64) -> Result<bool, EngineError> {
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        let state = State(words.load(record::STATE, Acquire));
        let current = handle.slot(state.current());
        let seal = words.load(current + slot::SEAL, Acquire);
        let durable = state.current() == state.b() && seal != 0 && seal <= complete;
        let same = state.removed()
            || words.load(record::VALUE, SeqCst) == words.load(current + slot::DATA, Relaxed);
        Ok(!durable || !same)
    }

    /// Makes the current slot of a marked record slot B. `None` if it already is slot B and is
    /// durable, or if the record holds another variable.
    fn choose_slot(&self, handle: Handle, complete: u64) -> Result<Option<State>, EngineError> {
        let lost = || outside(handle.at);
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or_else(lost)?;
        // The record may have become another variable's before it was marked. Its insertion sets
        // the dirty bit again.
        if words.load(record::ID, Acquire) != handle.id {
            return Ok(None);
        }
        if handle.atomic {
            self.copy_atomic(handle)?;
        }
        for _ in 0..SWAPS {
            let found = words.load(record::STATE, Acquire);
            let state = State(found);
            let seal = words.load(handle.slot(state.b()) + slot::SEAL, Acquire);
            let durable = seal != 0 && seal <= complete;
            if state.current() == state.b() && durable {
                // The slot is not chosen. If it were sealed again and this flush died, the last
                // complete epoch would lose it.
                return Ok(None);
            }
            // A moves only to a durable B. Otherwise it could become the choice of a dead flush,
            // and a writer would take the slot that the last complete epoch counts.
            let a = if durable { state.b() } else { state.a() };
            let bits = found & (State::WAIT | State::REMOVED);
            let new =
                State(State::new(state.version(), state.current(), a, state.current()).0 | bits);
            // The mark keeps writers out; a waiter may set WAIT.
            if words.compare_exchange(record::STATE, found, new.0).is_ok() {
                return Ok(Some(new));
            }
        }
        Err(EngineError::Contended)
    }

    /// Copies the word of a marked `Atomic` to a free slot, if it differs from that of the current
    /// one.
    fn copy_atomic(&self, handle: Handle) -> Result<(), EngineError> {
        let lost = || outside(handle.at);
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or_else(lost)?;
        let state = State(words.load(record::STATE, Acquire));
        let current = handle.slot(state.current());
        let word = words.load(record::VALUE, SeqCst);
        if state.removed() || words.load(current + slot::DATA, Relaxed) == word {
            return Ok(());
        }
        let desc = layout::Desc(words.load(current + slot::DESC, Relaxed));
        let Some(kind) = Kind::of(desc.kind()) else { return Ok(()) };
        let raw = Raw { kind: desc.kind(), ..Raw::word(kind, word) };
        let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
        let number = handle.free_slot(state);
        let _ = self.fill_slot(handle.slot_at(number), version, &raw, false).ok_or_else(lost)?;
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or_else(lost)?;
        self.publish(line, ByHandle { mem: &self.mem, handle }, state, version, number, false);
        Ok(())
    }

    /// Seals slot B of a chosen record. Takes no lock: no writer takes slot B, and no collection
    /// touches a chosen record.
    fn seal(
        &self,
        one: &Chosen,
        epoch: u64,
        complete: u64,
        sealed: &mut Tally,
        all: &mut Tally,
        removed: &mut Vec<Handle>,
    ) -> Result<(), EngineError> {
        let Chosen { handle, chunk_id, state } = *one;
        let lost = || outside(handle.at);
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or_else(lost)?;
        // A slot that describes no value within the region is forged. It is not sealed, and the
        // durable one stays.
        let Some(sum) = self.slot_sum(chunk_id, handle, state.b(), epoch)? else { return Ok(()) };
        let a = handle.slot(state.a());
        let former = words.load(a + slot::SEAL, Acquire);
        if state.a() != state.b() && former != 0 && former <= complete {
            let desc = layout::Desc(words.load(a + slot::DESC, Relaxed));
            if desc.kind() != slot::TOMBSTONE {
                let version = words.load(a + slot::VERSION, Relaxed);
                // This slot replaces the one in A, which the last superblock counts.
                all.remove(handle.id, version, words.load(a + slot::TYPE, Relaxed) as u32);
            }
        }
        let b = handle.slot(state.b());
        words.store(b + slot::TYPE, sum.type_id << 32 | u64::from(sum.crc), Relaxed);
        // SYNC POINT S15. After the checksum: a sealed slot has a valid one.
        words.store(b + slot::SEAL, epoch, Release);
        sealed.add(handle.id, sum.version, sum.crc);
        if !sum.tombstone {
            all.add(handle.id, sum.version, sum.crc);
        } else if !handle.atomic {
            removed.push(handle);
        }
        Ok(())
    }

    /// Counts the newest slot of each variable that is sealed for an epoch up to this one,
    /// tombstones excepted.
    fn count_all(&self, epoch: u64) -> Result<Tally, EngineError> {
        let mut all = Tally::default();
        self.each_record(|handle| {
            let Some(words) = self.mem.words(handle.at, handle.words()) else { return true };
            let state = State(words.load(record::STATE, Acquire));
            for number in [state.b(), state.a()] {
                let slot = handle.slot(number);
                let seal = words.load(slot + slot::SEAL, Acquire);
                if seal != 0 && seal <= epoch {
                    let desc = layout::Desc(words.load(slot + slot::DESC, Relaxed));
                    if desc.kind() != slot::TOMBSTONE {
                        let version = words.load(slot + slot::VERSION, Relaxed);
                        let crc = words.load(slot + slot::TYPE, Relaxed) as u32;
                        all.add(handle.id, version, crc);
                    }
                    break;
                }
            }
            true
        })?;
        Ok(all)
    }
}

#[cold]
fn failed_before() -> EngineError {
    EngineError::Explained(
        Error::new(ErrorKind::Io, "flush", "")
            .detail(format!("the disk failed at an earlier flush; {WAY_BACK}")),
    )
}

const WAY_BACK: &str = "the changes since the flush before may be lost, and no flush of this file \
    succeeds any more; save the variables now with `mapvar repair --file PATH --into NEW`, and go \
    on with the new file. A restart restores the last successful flush";
