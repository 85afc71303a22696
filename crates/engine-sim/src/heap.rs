//! A region in plain words of this process, for tests and models.

use mapvar_engine::mem::{Load, Mem, Ordering, StoreWords};
use mapvar_engine::{error::EngineError, layout::seat};
use mapvar_os::{Locks, Refused, Taken};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A region of plain words. Its locks are plain words too: no death frees them.
#[derive(Debug)]
pub struct Heap {
    words: Vec<AtomicU64>,
    /// The 32-bit words, by offset / 4. They are kept apart, since a word has one access size.
    halves: Vec<AtomicU32>,
}

const DIED: u32 = 0x4000_0000;
const HELD: u32 = 1;

impl Heap {
    /// A region of `bytes` zero bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect(),
            halves: (0..bytes / 4).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn half(&self, at: u64) -> Option<&AtomicU32> {
        self.halves.get(usize::try_from(at).ok()? / 4)
    }

    fn range(&self, at: u64, count: usize) -> Option<&[AtomicU64]> {
        let first = usize::try_from(at).ok().filter(|at| at.is_multiple_of(8))? / 8;
        self.words.get(first..first.checked_add(count)?)
    }
}

/// A range of a [`Heap`].
#[derive(Clone, Copy, Debug)]
pub struct HeapWords<'a>(&'a [AtomicU64]);

#[allow(clippy::indexing_slicing, reason = "tests want to see an index that is out of bounds")]
impl Load for HeapWords<'_> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.0[at].load(order)
    }
}

#[allow(clippy::indexing_slicing, reason = "tests want to see an index that is out of bounds")]
impl StoreWords for HeapWords<'_> {
    fn store(self, at: usize, value: u64, order: Ordering) {
        self.0[at].store(value, order);
    }

    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.0[at].swap(value, order)
    }

    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.0[at].fetch_add(value, order)
    }

    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.0[at].fetch_and(value, order)
    }

    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.0[at].fetch_or(value, order)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        self.0[at].compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

impl Mem for Heap {
    type Words<'a> = HeapWords<'a>;
    type WordsMut<'a> = HeapWords<'a>;

    fn size(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn words(&self, at: u64, count: usize) -> Option<HeapWords<'_>> {
        self.range(at, count).map(HeapWords)
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<HeapWords<'_>> {
        self.range(at, count).map(HeapWords)
    }

    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }

    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        let Some(word) = self.half(at) else { return Err(Refused::TimedOut(None)) };
        // Bounded, as every wait is: some seconds of yielding.
        for _ in 0..10_000_000 {
            let found = word.load(Ordering::Relaxed);
            if found == Locks::MARK_L || found == Locks::MARK_T {
                return Err(Refused::Marked(found));
            }
            if (found == 0 || found == DIED)
                && word.compare_exchange(found, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Ok(if found == DIED { Taken::Recovered } else { Taken::Clean });
            }
            std::thread::yield_now();
        }
        Err(Refused::TimedOut(None))
    }

    fn unlock(&self, at: u64) {
        self.reset(at);
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        let word = self.half(at).ok_or(0_u32)?;
        match word.compare_exchange(0, mark, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Taken::Clean),
            Err(DIED) => word
                .compare_exchange(DIED, mark, Ordering::Acquire, Ordering::Relaxed)
                .map(|_| Taken::Recovered),
            Err(owner) => Err(owner),
        }
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.half(at).is_some_and(|word| word.load(Ordering::Acquire) == mark)
    }

    fn is_held(&self, at: u64) -> bool {
        self.half(at).is_some_and(|word| word.fetch_add(0, Ordering::AcqRel) & !DIED != 0)
    }

    fn unmark(&self, at: u64) {
        self.reset(at);
    }

    fn wake(&self, at: u64) {
        if let Some(word) = self.half(at) {
            word.fetch_add(1, Ordering::Release);
        }
    }

    fn wakes(&self, at: u64) -> Result<u32, EngineError> {
        Ok(self.half(at).map_or(0, |word| word.load(Ordering::Acquire)))
    }

    fn reset(&self, at: u64) {
        if let Some(word) = self.half(at) {
            word.store(0, Ordering::Release);
        }
    }

    fn seat(&self) -> Result<u64, EngineError> {
        // Everything on the heap belongs to this process.
        if let Some(words) = self.words_mut(seat::at(0), seat::WORDS) {
            words.store(seat::TOKEN, 1, Ordering::SeqCst);
        }
        Ok(1)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        number == 0
    }
}
