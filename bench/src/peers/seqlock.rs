//! A seqlock written by hand in shared memory: the floor.

use super::{Cell, Value};
use crate::Result;
use memmap2::MmapMut;
use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
};

/// A counter and a value, of one writer, on an anonymous shared mapping.
pub struct Seqlock<T> {
    mapping: Arc<MmapMut>,
    value: PhantomData<T>,
}

impl<T: Value> Seqlock<T> {
    pub fn new(value: T) -> Result<Self> {
        let mapping = MmapMut::map_anon(8 + T::WORDS * 8)?;
        let new = Self { mapping: Arc::new(mapping), value: PhantomData };
        new.set(&value);
        Ok(new)
    }

    /// Another handle for the same value. Only one of them may set it.
    pub fn again(&self) -> Self {
        Self { mapping: self.mapping.clone(), value: PhantomData }
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        let at = self.mapping.as_ptr().cast();
        // SAFETY: `new` mapped as many words, at a page boundary; the mapping lives as long as
        // `self`, and everything in it is atomic.
        #[allow(unsafe_code, reason = "shared memory")]
        unsafe {
            std::slice::from_raw_parts(at, 1 + T::WORDS)
        }
    }
}

impl<T: Value> Cell for Seqlock<T> {
    const PEER: &'static str = "seqlock by hand";
    type Value = T;

    #[inline]
    fn get(&self) -> T {
        let words = self.words();
        let (sequence, words) = (&words[0], &words[1..]);
        loop {
            let before = sequence.load(Ordering::Acquire);
            let value = T::from_words(|at| words[at].load(Ordering::Relaxed));
            // Pairs with the writer's fence: a word of a later write shows its odd counter.
            fence(Ordering::Acquire);
            if before & 1 == 0 && sequence.load(Ordering::Relaxed) == before {
                return value;
            }
        }
    }

    #[inline]
    fn set(&self, value: &T) {
        let words = self.words();
        let (sequence, words) = (&words[0], &words[1..]);
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (at, word) in words.iter().enumerate() {
            word.store(value.word(at), Ordering::Relaxed);
        }
        sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}
