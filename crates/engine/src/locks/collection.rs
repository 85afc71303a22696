//! The collection of a removed variable's record, from its mark to its end. Idempotent, so that a
//! successor repeats it from the start.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    index::inline_bytes,
    layout::{self, CHUNK, Desc, Meta, State, dirty, journal, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    store::Store,
};
use mapvar_os::Locks;

/// How a record may be reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    /// Not at all: it holds a variable, or a removed one whose removal is not in the file yet.
    Kept,
    /// At once: no file knows of the variable.
    Erased,
    /// When the next flush is complete: the file has the tombstone.
    Retired,
}

impl<M: Mem> Store<M> {
    /// Whether the record can be erased or retired.
    pub(crate) fn collectable(&self, handle: Handle, words: M::Words<'_>) -> bool {
        self.fate(handle, words).is_ok_and(|fate| fate != Disposition::Kept)
    }

    /// Decides how a record may be reclaimed. Binding under the record's mark; without it, a guess.
    fn fate(&self, handle: Handle, words: M::Words<'_>) -> Result<Disposition, EngineError> {
        let id = words.load(record::ID, Acquire);
        if self.file && id & record::RETIRED != 0 {
            // A process died while it retired the record.
            return Ok(Disposition::Retired);
        }
        if id == 0 {
            // A process died while it erased the record. A flush that has begun since passes over
            // it, because it has no id.
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
        let (at, bit) = (dirty::at(handle.at / CHUNK), layout::dirty_bit(handle.at));
        let words_of_chunk = self.mem.words(at, dirty::WORDS).ok_or_else(|| outside(at))?;
        // Loaded before the seals. A flush seals the slots that it chose, and only then clears the
        // bit. In the other order both could be missed, and a record erased that the flush has
        // sealed.
        let chosen = words_of_chunk.load(dirty::FLUSHING, Acquire) & bit != 0;
        if (0..handle.slots()).all(|number| seal(number) == 0) {
            // If no flush is about to seal it either, no file knows of the variable.
            return Ok(if chosen { Disposition::Kept } else { Disposition::Erased });
        }
        let durable = seal(state.b());
        // SYNC POINT S15. Pairs with the Release stores of seal (`seal`) and epoch (`flush_once`).
        let complete = self.live()?.load(live::EPOCH, Acquire);
        let retired = state.current() == state.b() && durable != 0 && durable <= complete;
        Ok(if retired { Disposition::Retired } else { Disposition::Kept })
    }

    /// Takes a durably removed variable out of the map. Its tombstone stays in the record until a
    /// flush that begins later is complete: without it, an older slot in the file would bring the
    /// value back. Idempotent.
    fn retire(&self, handle: Handle) -> Result<(), EngineError> {
        let lost = || outside(handle.at);
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or_else(lost)?;
        let id = words.load(record::ID, Acquire);
        let valid =
            |number| words.load(handle.slot(number) + slot::VERSION, Acquire) != slot::INVALID;
        let mut left = (0..handle.slots()).filter(|number| valid(*number));
        let kept = match (left.next(), left.next()) {
            // A death after the other slots were cleared: the kept one is the only valid slot.
            // `state` may already be an epoch.
            (Some(only), None) if id & record::RETIRED != 0 => only,
            _ => State(words.load(record::STATE, Acquire)).b(),
        };
        words.store(record::ID, id | record::RETIRED, Relaxed);
        // SYNC POINT S3.
        self.mem.fence(Release);
        self.wake_waiters(handle);
        self.unlink(handle.at)?;
        for number in (0..handle.slots()).filter(|number| *number != kept) {
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
        // SYNC POINT S16. The epoch is loaded after the other slots are clear. A flush that was
        // already running may not bring the cleared slots to the file; the flush that takes this
        // number, or a later one, does.
        self.mem.fence(SeqCst);
        let epoch = self.live()?.load(live::NEXT_EPOCH, SeqCst);
        words.store(record::STATE, epoch & !record::QUIET, Release);
        Ok(())
    }

    /// Completes a collection from the record's mark on. Idempotent: a replay runs it from the
    /// start.
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
                // SYNC POINT S3. The wake follows: a waiter compares the id, and must find the
                // variable gone.
                self.mem.fence(Release);
                self.wake_waiters(handle);
                // The index word goes before the block: finding the word needs the name, which may
                // lie in the block.
                self.unlink(at)?;
                for number in 0..handle.slots() {
                    if Desc(words.load(handle.slot(number) + slot::DESC, Relaxed)).is_extent() {
                        // Without an id the record owns nothing. An extent that a reader has pinned
                        // stays, and a sweep frees it later.
                        self.reclaim(words.load(handle.slot(number) + slot::DATA, Relaxed))?;
                    }
                }
                let inline = inline_bytes(meta);
                if meta.name_len() > inline {
                    self.free_block(line.load(record::NAME + inline / 8 - 1, Relaxed))?;
                }
                // A lock-free operation on an `Atomic` may still be running, and it checks the id
                // only once. So the record is never reused for another variable.
                if !handle.atomic {
                    self.free_record(handle)?;
                }
            } else {
                // The process that set the mark may have found a dead owner's lock, and died before
                // it woke the waiters that the dead owner had not woken.
                self.wake_waiters(handle);
            }
            // The mark goes before the journal: a mark that no journal names would never be
            // removed.
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
