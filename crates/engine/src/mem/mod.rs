//! The one seam between the engine and the region: every load, store, fence and lock goes through
//! [`Mem`].
//!
//! Implementations: a mapping ([`mapped::Mapped`]), and a mapping for reading only
//! ([`read_only::ReadOnly`]). `mapvar-engine-sim` adds words on the heap, on which a process may
//! die at any step, an attacker forges loads, or a disk loses power. `harness/loom` adds the memory
//! of a model checker, which tries every execution that the orderings allow.
//!
//! The sync points, with both ends of each (`docs/FORMAT.md` has the protocol, and `harness/loom`
//! shows what fails without each):
//!
//! | # | release | acquire | carries |
//! | --- | --- | --- | --- |
//! | S1 | `state.store(Release)`, for an Atomic `state.swap(AcqRel)`, in `record::write` | `state.load(Acquire)` in `record::read` | the slot's content |
//! | S2 | `fence(Release)` after `version = INVALID` in `record::write` | `fence(Acquire)` before the last load of `version` in `record::read` | that the slot is being rewritten |
//! | S3 | `fence(Release)` after `id = 0` in `variable::insert`, `locks::collection` | `fence(Acquire)` before the last load of `id` | that the record is being remade |
//! | S4 | `id.store(Release)` in `variable::insert` | `id.load(Acquire)` in `index::find`, where each handle is made | name, meta and first slot of a new record |
//! | S5 | `unlock` (Release) | `lock` (Acquire) | everything written under the lock |
//! | S6 | `root.store(Release)` in `index::rebuild` | `root.load(Acquire)` in `index::find` | the new index |
//! | S7 | `index_seq.fetch_add(Release)` | `index_seq.load(Acquire)` in `index::find` | that an index word or the root changed |
//! | S8 | `operation.store(Release)` in the journal, and `record.store(Release)` before it | `lock(L)`, which replays; both loads (Acquire) in `Store::births_now` | the journal's other words; the publication of the insertion before |
//! | S9 | `fence(Release)` before a chunk or an extent is reused, in `index::rebuild`, `space::chunks`, `space::extents` | `fence(Acquire)` after a miss in `index::find`, before the last load of `version` in `record::read` | the earlier increment of `index_seq`; that the slot was invalidated |
//! | S10 | `fetch_or` of a dirty bit in `record::write`, before the publication | the sweep of `durable::flush` | that a record is to be flushed |
//! | S11 | `chunks.store(Release)` in `reclaim::grow` | `chunks.load(Acquire)` in `space::chunks` | the new chunks' tables |
//! | S12 | `fence(SeqCst)` after the pin is set in `space::pin` | `fence(SeqCst)` in `space::extents`, after the slot no longer refers to the extent | one of the two sees the other |
//! | S13 | `status.store(Release)` in `commit` | `lock(T)`, which replays | the filled slots, the entries of the journal |
//! | S14 | compare-exchange of F in `durable::flush`, and its `Drop` | the same, in the next flusher | D, the superblocks, the bits in flight |
//! | S15 | `seal.store(Release)` in `durable::flush`, then `epoch.store(Release)` | `epoch.load(Acquire)`, `seal.load(Acquire)` in `locks::collection` | that a tombstone is durable |
//! | S16 | `fence(SeqCst)` in `locks::collection`, after the slots were cleared | `next_epoch.store(SeqCst)` in `durable::flush`, before the barrier | a flush that takes the stored epoch or a later one finds the slots clear |
//! | S17 | an Atomic's word, changed by SeqCst, then `state.load(SeqCst)` in `record::atomic`; `state.swap(AcqRel)` in `record::write` | `state.fetch_or(WAIT, SeqCst)`, then the load of the word (SeqCst), in `record::wait` | one of the two sees the other: the writer sees WAIT, or the waiter sees the change |
//! | S18 | the addition in `mapvar_os::Locks::wake` | the load in `Mem::wakes`, before `record::wait` | the change that preceded the count that the waiter loaded |
//! | S19 | `head.fetch_add(AcqRel)` in `record::wake`, after the publication | `head.load(Acquire)` in `record::changes`, before the variables are looked at | the change whose number is below the head |
//! | S20 | `fetch_or(AcqRel)` of nothing on the dirty bits, in `durable::dirty` | `fetch_or(AcqRel)` of a dirty bit and `dirty.load(Acquire)`, in `record::dirty` | that the bit of the chunk was cleared before; in the other order the dirty bit |
//! | S21 | `state.fetch_or(WAIT, AcqRel)`, then `is_held` (AcqRel), in `record::wait` and `variable::follow` | `lock` or `mark` (Acquire), then the load of `state` in `record::write` | WAIT, to each owner of the record's lock after one that found it free; what earlier owners published, the waiter sees (S5). Of variables that are no Atomics |
//! | S22 | compare-exchange of a word of seats in `record::turns`, before the publication, and after the change of `net`; `born.store(Release)` in `variable::insert`, after the publication and before the journal is cleared | `seats.load(Acquire)` twice in `variable::count`, around `net`; `operation.load(Acquire)` before `born` | that an operation is under way; then what it counts |

#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]

pub mod seat_bits;
pub mod mapped;
pub mod read_only;

use crate::error::EngineError;
use mapvar_os::{Refused, Section, Taken};
use std::time::Duration;

/// The memory orderings.
pub use std::sync::atomic::Ordering;

/// A word that this process alone uses.
pub type Private = std::sync::atomic::AtomicU64;

/// Loads from a range of words.
pub trait Load: Copy {
    /// Loads word `at`.
    fn load(self, at: usize, order: Ordering) -> u64;

    /// Copies bytes out, from the first word on, by `Relaxed` loads.
    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        for (at, bytes) in into.chunks_mut(8).enumerate() {
            let word = self.load(at, Ordering::Relaxed).to_le_bytes();
            for (to, from) in bytes.iter_mut().zip(word) {
                *to = from;
            }
        }
    }

    /// Returns a bit for each of the first eight words: whether its bits from 40 up are those of
    /// `pattern`. A hint: each word must be loaded again. Words behind an empty one need no bit.
    #[inline]
    fn alike(self, pattern: u64) -> u32 {
        alike_by_word(self, pattern)
    }

    /// Whether the bytes from word `first` on are `bytes`, if that takes a few instructions only;
    /// `None` if the caller must compare them word by word.
    #[inline]
    fn are(self, _first: usize, _bytes: &[u8]) -> Option<bool> {
        None
    }

    /// Asks the processor to fetch the cache line of word `at`, which may lie beyond the range.
    #[inline]
    fn fetch(self, _at: usize) {}
}

/// Stores to a range of words.
pub trait StoreWords: Load {
    /// Stores word `at`.
    fn store(self, at: usize, value: u64, order: Ordering);
    /// Copies bytes in, from the first word on, by `Relaxed` stores. Zeros pad the last word.
    #[inline]
    fn copy_from(self, from: &[u8]) {
        for (at, bytes) in from.chunks(8).enumerate() {
            let word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.store(at, word, Ordering::Relaxed);
        }
    }
    /// Swaps word `at` and returns the old value.
    fn swap(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Adds to word `at` and returns the old value.
    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Clears the bits of word `at` that `value` lacks, and returns the old value.
    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Sets bits of word `at` and returns the old value.
    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Stores `new` in word `at` if it holds `old`, `SeqCst`; returns the old value.
    ///
    /// # Errors
    /// The value found, if it is not `old`.
    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64>;
}

/// A region's memory.
pub trait Mem: Send + Sync + 'static {
    /// A range of words, for reading.
    type Words<'a>: Load;
    /// A range of words, for reading and writing.
    type WordsMut<'a>: StoreWords;

    /// How often a read is attempted before the reader takes the record's lock.
    const ATTEMPTS: usize = 8;

    /// Returns how many bytes of the region are mapped: a private number that no peer can change.
    fn size(&self) -> u64;
    /// Returns `count` words from offset `at`, if they lie within the region and `at` is a multiple
    /// of 8. Maps more of the region first, if another process has made it longer.
    fn words(&self, at: u64, count: usize) -> Option<Self::Words<'_>>;
    /// As [`words`](Self::words), but only of the part that is already mapped: for the fast paths.
    /// Where it fails, the slow path calls [`words`](Self::words).
    #[inline]
    fn mapped_words(&self, at: u64, count: usize) -> Option<Self::Words<'_>> {
        self.words(at, count)
    }
    /// Returns what does as [`mapped_words`](Self::mapped_words) for the part that is mapped now: for
    /// several accesses, whose bounds it loads once.
    #[inline]
    fn mapped_now<'a>(&'a self) -> impl Fn(u64, usize) -> Option<Self::Words<'a>> + use<'a, Self> {
        |at, count| self.mapped_words(at, count)
    }
    /// As [`mapped_words`](Self::mapped_words), for reading and writing.
    #[inline]
    fn mapped_words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>> {
        self.words_mut(at, count)
    }
    /// Copies bytes out, from any offset of the part that is already mapped; returns whether it
    /// holds all of them.
    #[inline]
    fn copy_bytes(&self, at: u64, into: &mut [u8]) -> bool {
        let skip = (at % 8) as usize;
        let (first, rest) = into.split_at_mut(if skip == 0 { 0 } else { into.len().min(8 - skip) });
        if !first.is_empty() {
            let Some(word) = self.mapped_words(at - skip as u64, 1) else { return false };
            let word = word.load(0, Ordering::Relaxed).to_le_bytes();
            for (to, from) in first.iter_mut().zip(word.into_iter().skip(skip)) {
                *to = from;
            }
        }
        match self.mapped_words(at + first.len() as u64, rest.len().div_ceil(8)) {
            _ if rest.is_empty() => true,
            Some(words) => {
                words.copy_to(rest);
                true
            }
            None => false,
        }
    }
    /// Maps the first `bytes`, if another process has made the region that long; returns whether
    /// they are mapped.
    fn reach(&self, bytes: u64) -> bool {
        bytes <= self.size()
    }
    /// Returns why the first `bytes` cannot be mapped although the region is that long; `None` if
    /// the region is shorter.
    fn out_of_reach(&self, _: u64) -> Option<EngineError> {
        None
    }
    /// Returns how many bytes of the region this process can map at most.
    fn limit(&self) -> u64 {
        self.size()
    }
    /// Returns the first range of bytes from `at` on that may hold anything but zeros, as its start
    /// and its end; `None` if only zeros are mapped from there on.
    ///
    /// Only a walk that may miss what is written meanwhile uses it: recovery, which is alone with
    /// the file, inspection, and a walk over the records. A flush would lose what it misses.
    fn data_from(&self, at: u64) -> Option<(u64, u64)> {
        (at < self.size()).then(|| (at, self.size()))
    }
    /// Returns the start of what [`data_from`](Self::data_from) returns. Takes no longer when much
    /// data follows.
    fn next_data(&self, at: u64) -> Option<u64> {
        self.data_from(at).map(|(start, _)| start)
    }
    /// Makes the region `bytes` long, with memory or disk behind all of it.
    ///
    /// # Errors
    /// The error of the system; then the region keeps its length.
    fn grow(&self, _: u64) -> Result<(), EngineError> {
        Err(EngineError::Full { needed: 0, free: 0 })
    }
    /// Returns the token of this process's seat, by which [`is_seat_taken`](Self::is_seat_taken)
    /// tells other processes whether it lives. The first call takes the seat.
    ///
    /// # Errors
    /// All seats are taken.
    fn seat(&self) -> Result<u64, EngineError>;
    /// Returns the number of this process's seat, if it has one. Takes none, and asks no system: for
    /// a caller that owns a record's lock.
    fn seat_taken(&self) -> Option<usize> {
        self.seat().ok().map(|token| (token >> 56) as usize)
    }
    /// Whether a living process has seat `number`.
    fn is_seat_taken(&self, number: usize) -> bool;
    /// As [`words`](Self::words), for reading and writing; `None` also if the region is mapped for
    /// reading.
    fn words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>>;
    /// Executes a fence.
    fn fence(&self, order: Ordering);

    /// Takes the lock word at offset `at`, and waits until it is free.
    ///
    /// # Errors
    /// [`Refused`]: why the lock could not be taken.
    fn lock(&self, at: u64) -> Result<Taken, Refused>;
    /// As [`lock`](Self::lock), if that needs no wait for a living owner. For what another process
    /// can do later.
    ///
    /// # Errors
    /// [`Refused`]: why the lock could not be taken.
    fn lock_now(&self, at: u64) -> Result<Taken, Refused> {
        self.lock(at)
    }
    /// Takes the lock word at offset `at` if it is free at once. A memory that always returns
    /// `None` sends every fast path to its slow one.
    #[inline]
    fn try_lock(&self, _: u64) -> Option<Taken> {
        None
    }
    /// Waits a moment, longer in later rounds, in a loop that cannot sleep on a lock; returns false
    /// once the timeout has passed.
    fn pause(&self, _: u32) -> bool {
        false
    }
    /// Unlocks the lock word at offset `at`.
    fn unlock(&self, at: u64);
    /// Puts a mark into the lock word at offset `at`, if it is free.
    ///
    /// # Errors
    /// The owner, or the other mark, found there.
    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32>;
    /// Whether the lock word at offset `at` has the mark.
    fn is_marked(&self, at: u64, mark: u32) -> bool;
    /// Whether the lock word at offset `at` names an owner, or has a mark; by a read-modify-write
    /// (`AcqRel`) that changes nothing.
    fn is_held(&self, at: u64) -> bool;
    /// Removes the mark from the lock word at offset `at`.
    fn unmark(&self, at: u64);
    /// Adds 1 to the wake word at offset `at`, and wakes the threads that sleep on it.
    fn wake(&self, at: u64);
    /// As [`wake`](Self::wake), whether the word says that a thread sleeps or not. A process that
    /// died while it woke the sleepers may have cleared that bit before its system call.
    fn force_wake(&self, at: u64) {
        self.wake(at);
    }
    /// Returns the count of the wake word at offset `at` (Acquire). The waiter loads it before the
    /// variable that it waits for.
    ///
    /// # Errors
    /// [`EngineError::ReadOnly`] if the region is mapped for reading.
    fn wakes(&self, _: u64) -> Result<u32, EngineError> {
        Ok(0)
    }
    /// Sleeps until the wake word at offset `at` counts beyond `seen`, at most for `at_most`. May
    /// return early. A memory without other processes does not sleep.
    ///
    /// # Errors
    /// The error of the system.
    fn park(&self, _at: u64, _seen: u32, _at_most: Duration) -> Result<(), EngineError> {
        Ok(())
    }
    /// Frees a lock whose owners are all gone.
    fn reset(&self, at: u64);

    /// Waits until the device has stored these ranges (from, to) and the length of the file. Does
    /// nothing for memory without a file.
    ///
    /// # Errors
    /// The error of the system; then it is unknown which bytes reached the device.
    fn barrier(&self, _: &[(u64, u64)]) -> Result<(), EngineError> {
        Ok(())
    }
}

/// As [`Load::alike`], by a load of each word up to an empty one.
#[inline]
pub fn alike_by_word(words: impl Load, pattern: u64) -> u32 {
    let mut alike = 0;
    for at in 0..8 {
        let word = words.load(at, Ordering::Relaxed);
        if word == 0 {
            break;
        }
        alike |= u32::from((word ^ pattern) >> 40 == 0) << at;
    }
    alike
}

/// Converts an offset in a region to `usize`. An offset that does not fit becomes one that lies in
/// no mapping.
#[inline]
pub(crate) fn within(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Returns the first range from `at` on that may hold data, of a section whose first `mapped` bytes
/// are mapped. If the system cannot tell, everything counts.
pub(crate) fn data_in(section: &Section, at: u64, mapped: u64) -> Option<(u64, u64)> {
    if at >= mapped {
        return None;
    }
    match section.data_from(at) {
        Ok(found) => found
            .filter(|(from, _)| *from < mapped)
            .map(|(from, to)| (from.max(at), to.min(mapped).max(from.max(at) + 1))),
        Err(_) => Some((at, mapped)),
    }
}

/// Returns the start of what [`data_in`] returns.
pub(crate) fn next_data_in(section: &Section, at: u64, mapped: u64) -> Option<u64> {
    let found = if at < mapped { section.next_data(at).unwrap_or(Some(at)) } else { None };
    found.filter(|from| *from < mapped).map(|from| from.max(at))
}
