//! The one seam between the engine and the region: every load, store, fence and lock goes through
//! [`Mem`].
//!
//! What stands behind it: a mapping ([`mapped::Mapped`]), or one that is only looked at
//! ([`read_only::ReadOnly`]); in `mapvar-engine-sim`, plain words of a process, of which a process
//! may die at any step, whose loads an attacker answers, or behind which a disk loses power; and in
//! `harness/loom`, the memory of a model checker that tries every order that the orderings allow.
//!
//! SYNC POINTs, both ends of each (engine rules in `docs/FORMAT.md`):
//!
//! | # | release | acquire | carries |
//! | --- | --- | --- | --- |
//! | S1 | `state.swap(AcqRel)` in `record::write` | `state.load(Acquire)` in `record::read` | the slot's content |
//! | S2 | `fence(Release)` after `version = INVALID` in `record::write` | `fence(Acquire)` before the last load of `version` in `record::read` | that the slot is being rewritten |
//! | S3 | `fence(Release)` after `id = 0` in `variable::insert`, `locks::collection` | `fence(Acquire)` before the last load of `id` | that the record is being remade |
//! | S4 | `id.store(Release)` in `variable::insert` | `id.load(Acquire)` in `index::find`, `record::read` | name, meta and first slot of a new record |
//! | S5 | `unlock` (Release) | `lock` (Acquire) | all that was written under the lock |
//! | S6 | `root.store(Release)` in `index::rebuild` | `root.load(Acquire)` in `index::find` | the new index |
//! | S7 | `index_seq.fetch_add(Release)` | `index_seq.load(Acquire)` in `index::find` | that an index word or the root changed |
//! | S8 | `operation.store(Release)` in the journal | `lock(L)`, which replays | the journal's other words |
//! | S9 | `fence(Release)` before a chunk or an extent is used anew, in `index::rebuild`, `space::chunks`, `space::extents` | `fence(Acquire)` after a miss in `index::find`, before the last load of `version` in `record::read` | the `index_seq` that was counted before; that the slot was made invalid |
//! | S10 | `fetch_or` of a dirty bit in `record::write`, before the publication | the sweep of `durable::flush` | that a record is to be flushed |
//! | S11 | `chunks.store(Release)` in `reclaim::grow` | `chunks.load(Acquire)` in `space::chunks` | the new chunks' tables |
//! | S12 | `fence(SeqCst)` after the pin is set in `space::pin` | `fence(SeqCst)` in `space::extents`, after the slot no longer refers to the extent | one of the two sees the other |
//! | S13 | `status.store(Release)` in `commit` | `lock(T)`, which replays | slots filled, entries of the journal |
//! | S14 | compare-exchange of F in `durable::flush`, and its `Drop` | the same, in the next flusher | D, the superblocks, bits in flight |
//! | S15 | `seal.store(Release)` in `durable::flush`, then `epoch.store(Release)` | `epoch.load(Acquire)`, `seal.load(Acquire)` in `locks::collection` | that a tombstone is durable |
//! | S17 | `state.swap(AcqRel)` in `record::write`, after which WAIT is looked at | `state.fetch_or(WAIT, AcqRel)` in `record::wait` | one of the two sees the other: the writer that it is waited for, or who waits that it has changed |
//! | S18 | the addition in `mapvar_os::Locks::wake` | the load in `Mem::wakes`, before `record::wait` | that the variable changed before the count that was seen |
//! | S16 | `fence(SeqCst)` in `locks::collection`, after the slots were cleared | `next_epoch.store(SeqCst)` in `durable::flush`, before the barrier | a flush with a number from R on finds them clear |

#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]

pub mod mapped;
pub mod read_only;

use crate::error::EngineError;
use mapvar_os::{Refused, Taken};
use std::time::Duration;

/// A word of this process.
pub use std::sync::atomic::Ordering;

/// A word of this process.
pub type Private = std::sync::atomic::AtomicU64;

/// Loads from a range of words.
pub trait Load: Copy {
    /// Loads word `at`.
    fn load(self, at: usize, order: Ordering) -> u64;

    /// Copies bytes out, from the first word on, `Relaxed`.
    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        for (at, bytes) in into.chunks_mut(8).enumerate() {
            let word = self.load(at, Ordering::Relaxed).to_le_bytes();
            for (to, from) in bytes.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}

/// Stores to a range of words.
pub trait StoreWords: Load {
    /// Stores word `at`.
    fn store(self, at: usize, value: u64, order: Ordering);
    /// Copies bytes in, from the first word on, `Relaxed`. The last word is filled up with zeros.
    #[inline]
    fn copy_from(self, from: &[u8]) {
        for (at, bytes) in from.chunks(8).enumerate() {
            let word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.store(at, word, Ordering::Relaxed);
        }
    }
    /// Swaps word `at`.
    fn swap(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Adds to word `at`.
    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Keeps only the bits of `value`.
    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Sets bits of word `at`.
    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Stores `new` in word `at` if `old` stands there, `SeqCst`; answers what stood there, as `Err`
    /// where it was another.
    ///
    /// # Errors
    /// What stood there instead.
    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64>;
}

/// A region's memory.
pub trait Mem: Send + Sync + 'static {
    /// A range for reading.
    type Words<'a>: Load;
    /// A range for writing too.
    type WordsMut<'a>: StoreWords;

    /// How often a read is tried before it takes the lock.
    const ATTEMPTS: usize = 8;

    /// Bytes of the region that are mapped: a private number that no peer can change.
    fn size(&self) -> u64;
    /// `count` words from offset `at`, if they lie within and `at` is a multiple of 8.
    fn words(&self, at: u64, count: usize) -> Option<Self::Words<'_>>;
    /// The same, of what is mapped already: for the fast paths, which look nowhere else. What is
    /// beyond is asked of [`words`](Self::words) afterwards.
    #[inline]
    fn mapped_words(&self, at: u64, count: usize) -> Option<Self::Words<'_>> {
        self.words(at, count)
    }
    /// As [`mapped_words`](Self::mapped_words), for writing too.
    #[inline]
    fn mapped_words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>> {
        self.words_mut(at, count)
    }
    /// Makes the first `bytes` reachable, if another process has made the region that long; answers
    /// whether they are.
    fn reach(&self, bytes: u64) -> bool {
        bytes <= self.size()
    }
    /// Why the first `bytes` are not reachable though the region is that long; `None` where it is
    /// not.
    fn out_of_reach(&self, _: u64) -> Option<EngineError> {
        None
    }
    /// Bytes that the region can have in this process, at the most.
    fn limit(&self) -> u64 {
        self.size()
    }
    /// Makes the region so long, with memory or disk behind all of it.
    ///
    /// # Errors
    /// What the system says: then it is as long as it was.
    fn grow(&self, _: u64) -> Result<(), EngineError> {
        Err(EngineError::Full { needed: 0, free: 0 })
    }
    /// The seat of this process, with its token: what [`is_seat_taken`](Self::is_seat_taken) tells
    /// the others. Taken at the first call.
    ///
    /// # Errors
    /// All seats are taken.
    fn seat(&self) -> Result<u64, EngineError>;
    /// Whether a process that lives has the seat of this number.
    fn is_seat_taken(&self, number: usize) -> bool;
    /// The same for writing; `None` also where the region is mapped for reading.
    fn words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>>;
    /// A fence.
    fn fence(&self, order: Ordering);

    /// Takes the lock word at offset `at`.
    ///
    /// # Errors
    /// [`Refused`]: why the lock was not to be had.
    fn lock(&self, at: u64) -> Result<Taken, Refused>;
    /// Takes the lock word at offset `at` if it is free at once; a memory that says `None` always
    /// sends the fast paths to the slow ones.
    #[inline]
    fn try_lock(&self, _: u64) -> Option<Taken> {
        None
    }
    /// Waits a moment, longer in later rounds, for who may not take a lock; false when it has
    /// waited long enough.
    fn pause(&self, _: u32) -> bool {
        false
    }
    /// Frees it.
    fn unlock(&self, at: u64);
    /// Puts a mark into a free lock word.
    ///
    /// # Errors
    /// The owner found.
    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32>;
    /// Whether the mark stands there.
    fn is_marked(&self, at: u64, mark: u32) -> bool;
    /// Takes it away.
    fn unmark(&self, at: u64);
    /// Adds 1 to the 32-bit word at offset `at` and wakes those who sleep on it.
    fn wake(&self, at: u64);
    /// As [`wake`](Self::wake), whether anybody says that he sleeps or not: where somebody died who
    /// was about to wake them.
    fn force_wake(&self, at: u64) {
        self.wake(at);
    }
    /// The count of the wake word at offset `at`, loaded (Acquire) before what is waited for.
    ///
    /// # Errors
    /// [`EngineError::ReadOnly`] where the region is mapped for reading.
    fn wakes(&self, _: u64) -> Result<u32, EngineError> {
        Ok(0)
    }
    /// Sleeps until the wake word at offset `at` counts beyond `seen`, or for nothing, and no longer
    /// than `at_most`. A memory with nobody else in it does not sleep.
    ///
    /// # Errors
    /// What the system says.
    fn park(&self, _at: u64, _seen: u32, _at_most: Duration) -> Result<(), EngineError> {
        Ok(())
    }
    /// Frees a lock whose holders are all gone.
    fn reset(&self, at: u64);

    /// Waits until the device has these ranges (from, to), and the length of the file. Nothing to do
    /// for memory that no file is behind.
    ///
    /// # Errors
    /// What the system says; then nothing is known of what reached the device.
    fn barrier(&self, _: &[(u64, u64)]) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Offsets in a region fit `usize` once they were found to lie within a mapping.
#[inline]
pub(crate) fn within(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
