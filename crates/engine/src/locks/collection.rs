//! The collection of a removed variable's record, from its mark to its end: idempotent, so that a successor does it from the start.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    index::inline_bytes,
    layout::{self, Desc, Meta, State, chunk, journal, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    store::Store,
};
use mapvar_os::Locks;

/// What can become of the record of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    /// It is a variable's; or it is removed, and the file does not know so yet.
    Kept,
    /// Free at once: no file knows of it.
    Erased,
    /// Free when the next flush is complete: the file has its tombstone.
    Retired,
}

impl<M: Mem> Store<M> {
    /// Whether the record can be given back, or the next flush is to be waited for.
    pub(crate) fn collectable(&self, handle: Handle, words: M::Words<'_>) -> bool {
        self.fate(handle, words).is_ok_and(|fate| fate != Disposition::Kept)
    }

    /// What can become of a record. It counts under the record's mark; without, it is a guess.
    fn fate(&self, handle: Handle, words: M::Words<'_>) -> Result<Disposition, EngineError> {
        let id = words.load(record::ID, Acquire);
        if self.file && id & record::RETIRED != 0 {
            // Who retired it died in the midst of it.
            return Ok(Disposition::Retired);
        }
        if id == 0 {
            // The same, of who erased it: a flush that has begun since does not know the record.
            return Ok(Disposition::Erased);
        }
        let state = State(words.load(record::STATE, Acquire));
        let desc = Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed));
        if desc.kind() != slot::TOMBSTONE {
            return Ok(Disposition::Kept);
        }
        if !self.file {
            return Ok(Disposition::Erased);
        }
        let seal = |number| words.load(handle.slot(number) + slot::SEAL, Acquire);
        let (header, bit) = layout::dirty_bit(handle.at);
        let header = self.mem.words(header, chunk::WORDS).ok_or_else(|| outside(header))?;
        // Before the seals: a flush that chose it seals it, and then clears the bit.
        let chosen = header.load(chunk::FLUSHING, Acquire) & bit != 0;
        if (0..slot::COUNT).all(|number| seal(number) == 0) {
            // If no flush is about to seal it either, no file knows of it.
            return Ok(if chosen { Disposition::Kept } else { Disposition::Erased });
        }
        let durable = seal(state.b());
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let retired = state.current() == state.b() && durable != 0 && durable <= complete;
        Ok(if retired { Disposition::Retired } else { Disposition::Kept })
    }

    /// Takes a removed variable, which is durably so, out of the map: its tombstone stays in the
    /// file until a flush that began later is complete. Idempotent.
    fn retire(&self, handle: Handle) -> Result<(), EngineError> {
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

    /// From the mark on a record to its end: idempotent, so that a replay does it from its start.
    pub(crate) fn finish_collect(&self, at: u64) -> Result<(), EngineError> {
        let journal = self.journal()?;
        let line = self.mem.words_mut(at, record::LINE).ok_or_else(|| outside(at))?;
        let meta = Meta(line.load(record::META, Relaxed));
        if let Some(handle) = Handle::checked(at, 0, meta, &self.mem)
            && self.records_lie_at(handle)?
            && self.mem.is_marked(handle.lock(), Locks::MARK_L)
        {
            let words = self.mem.words(at, handle.words()).ok_or_else(|| outside(at))?;
            let fate = self.fate(handle, words)?;
            if fate == Disposition::Retired {
                self.retire(handle)?;
            } else if fate == Disposition::Erased {
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
                let inline = inline_bytes(meta);
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

    pub(crate) fn finish_collect_if_record(&self, at: u64) -> Result<(), EngineError> {
        if self.mem.words(at, record::LINE).is_some() {
            return self.finish_collect(at);
        }
        self.journal()?.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }
}
