//! The one seam between the engine and the region: every load, store, fence and lock goes through
//! [`Mem`].
//!
//! Three things stand behind it: a mapping ([`Mapped`]); plain words of this process
//! ([`heap::Heap`], for tests and the fuzzers); and, in `harness`, the memory of a model checker
//! that tries every order that the orderings allow, or one that answers every load with what an
//! attacker likes.
//!
//! SYNC POINTs, both ends of each (engine rules in `docs/FORMAT.md`):
//!
//! | # | release | acquire | carries |
//! | --- | --- | --- | --- |
//! | S1 | `state.swap(AcqRel)` in `slots::write` | `state.load(Acquire)` in `slots::read` | the slot's content |
//! | S2 | `fence(Release)` after `version = INVALID` in `slots::write` | `fence(Acquire)` before the last load of `version` in `slots::read` | that the slot is being rewritten |
//! | S3 | `fence(Release)` after `id = 0` in `store::insert`, `store::collect` | `fence(Acquire)` before the last load of `id` | that the record is being remade |
//! | S4 | `id.store(Release)` in `store::insert` | `id.load(Acquire)` in `index::find`, `slots::read` | name, meta and first slot of a new record |
//! | S5 | `unlock` (Release) | `lock` (Acquire) | all that was written under the lock |
//! | S6 | `root.store(Release)` in `index::rebuild` | `root.load(Acquire)` in `index::find` | the new index |
//! | S7 | `index_seq.fetch_add(Release)` | `index_seq.load(Acquire)` in `index::find` | that an index word or the root changed |
//! | S8 | `operation.store(Release)` in the journal | `lock(L)`, which replays | the journal's other words |
//! | S9 | `fence(Release)` before a chunk is used anew, in `index::rebuild`, `alloc::cut_chunk` | `fence(Acquire)` after a miss in `index::find` | the `index_seq` that was counted before |

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]
#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]

use mapvar_os::{Locks, Refused, Taken, View, Words, WordsMut};
use std::time::Duration;

#[cfg(any(test, feature = "internals"))]
use std::sync::atomic::AtomicU64;

/// A word of this process.
pub(crate) type Private = std::sync::atomic::AtomicU64;
pub use std::sync::atomic::Ordering;

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
pub trait Store: Load {
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
}

/// A fault that a harness plants to see that it is caught. The real memories plant none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The id of a new record is stored before its index word.
    IdBeforeIndex,
    /// A value slot is chosen that may be the current one.
    ReuseCurrent,
    /// A reader does not look at the id again.
    NoIdCheck,
    /// A reader does not look at the slot's version at the end.
    NoVersionCheck,
    /// A slot is not marked invalid before it is rewritten.
    NoInvalid,
    /// A writer does not look whether the record is still the variable's.
    NoIdCheckUnderLock,
}

/// A region's memory.
pub trait Mem: Send + Sync + 'static {
    /// A range for reading.
    type Words<'a>: Load;
    /// A range for writing too.
    type WordsMut<'a>: Store;

    /// How often a read is tried before it takes the lock.
    const ATTEMPTS: usize = 8;

    /// Bytes of the region that are mapped: a private number that no peer can change.
    fn size(&self) -> u64;
    /// `count` words from offset `at`, if they lie within and `at` is a multiple of 8.
    fn words(&self, at: u64, count: usize) -> Option<Self::Words<'_>>;
    /// The same for writing; `None` also where the region is mapped for reading.
    fn words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>>;
    /// A fence.
    fn fence(&self, order: Ordering);

    /// Takes the lock word at offset `at`.
    ///
    /// # Errors
    /// As [`Locks::lock`].
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
    /// Frees a lock whose holders are all gone.
    fn reset(&self, at: u64);

    /// Whether a harness planted this fault.
    #[inline]
    fn planted(&self, _: Fault) -> bool {
        false
    }
}

impl Load for Words<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        Words::load(self, at, order)
    }

    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        Words::copy_to(self, into);
    }
}

impl Load for WordsMut<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        WordsMut::load(self, at, order)
    }
}

impl Store for WordsMut<'_> {
    #[inline]
    fn store(self, at: usize, value: u64, order: Ordering) {
        WordsMut::store(self, at, value, order);
    }

    #[inline]
    fn copy_from(self, from: &[u8]) {
        WordsMut::copy_from(self, from);
    }

    #[inline]
    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::swap(self, at, value, order)
    }

    #[inline]
    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_add(self, at, value, order)
    }

    #[inline]
    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_and(self, at, value, order)
    }

    #[inline]
    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_or(self, at, value, order)
    }
}

/// A region in a mapped section, from its first byte.
#[derive(Debug)]
pub struct Mapped {
    view: View,
    locks: Locks,
    timeout: Duration,
}

impl Mapped {
    pub(crate) fn new(view: View, locks: Locks, timeout: Duration) -> Self {
        Self { view, locks, timeout }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn close(self) -> mapvar_os::Result<()> {
        self.view.close()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Offsets in a region fit `usize` once they were found to lie within a mapping.
#[inline]
fn within(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Mem for Mapped {
    type Words<'a> = Words<'a>;
    type WordsMut<'a> = WordsMut<'a>;

    #[inline]
    fn size(&self) -> u64 {
        self.view.len() as u64
    }

    #[inline]
    fn words(&self, at: u64, count: usize) -> Option<Words<'_>> {
        self.view.plain_words(within(at), count)
    }

    #[inline]
    fn words_mut(&self, at: u64, count: usize) -> Option<WordsMut<'_>> {
        self.view.plain_words_mut(within(at), count)
    }

    #[inline]
    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }

    #[inline]
    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.locks.lock(&self.view, within(at), self.timeout)
    }

    #[inline]
    fn try_lock(&self, at: u64) -> Option<Taken> {
        self.locks.try_lock(&self.view, within(at)).then_some(Taken::Clean)
    }

    fn pause(&self, round: u32) -> bool {
        const NAP: Duration = Duration::from_micros(50);
        if round < 64 {
            std::thread::yield_now();
            return true;
        }
        std::thread::sleep(NAP);
        NAP * (round - 64) < self.timeout
    }

    #[inline]
    fn unlock(&self, at: u64) {
        self.locks.unlock(&self.view, within(at));
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.locks.mark(&self.view, within(at), mark)
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.locks.is_marked(&self.view, within(at), mark)
    }

    fn unmark(&self, at: u64) {
        self.locks.unmark(&self.view, within(at));
    }

    #[cold]
    fn wake(&self, at: u64) {
        self.locks.wake(&self.view, within(at));
    }

    fn reset(&self, at: u64) {
        self.locks.reset(&self.view, within(at));
    }
}

#[cfg(any(test, feature = "internals"))]
pub mod heap;
