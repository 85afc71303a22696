//! Shared memory as atomic words: the only form in which it is handed upward.
//!
//! Another process may change any word at any moment. A word is therefore an atomic of one size
//! for ever, a load answers some value that was stored, and what it answers is to be checked and
//! then used, without a second look.

#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]
#![allow(unsafe_code, reason = "hands ranges of words to `bulk`")]

use crate::memory::bulk;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// A range of a view as 64-bit words, for reading. Little-endian, as they lie in memory.
///
/// Indices are checked: beyond the end a load answers 0 and a store does nothing, and in a debug
/// build both panic, because an index is computed by the caller from checked sizes.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    words: &'a [AtomicU64],
}

/// A range of a view as 64-bit words, for reading and writing.
#[derive(Clone, Copy, Debug)]
pub struct WordsMut<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Words<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// How many words there are.
    #[inline]
    pub fn len(self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.words.is_empty()
    }

    /// Loads word `at`. Of the orderings `Relaxed` and `Acquire` are meant; any other counts as
    /// `Acquire`.
    #[inline]
    pub fn load(self, at: usize, order: Ordering) -> u64 {
        load(self.words, at, order)
    }

    /// Copies bytes out, from the first word on, `Relaxed`: as many as there are, at the most.
    #[inline]
    pub fn copy_to(self, into: &mut [u8]) {
        copy_out(self.words, 0, into);
    }
}

impl<'a> WordsMut<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// The same range, for reading.
    #[inline]
    pub fn read(self) -> Words<'a> {
        Words { words: self.words }
    }

    #[inline]
    fn word(self, at: usize) -> Option<&'a AtomicU64> {
        let word = self.words.get(at);
        debug_assert!(word.is_some(), "word {at} of {}", self.words.len());
        word
    }

    /// Loads word `at`. Not `Release` or `AcqRel`, which a load cannot be: they count as `Acquire`.
    #[inline]
    pub fn load(self, at: usize, order: Ordering) -> u64 {
        match order {
            // The page is writable, so this is the language's own.
            Ordering::SeqCst => self.word(at).map_or(0, |word| word.load(Ordering::SeqCst)),
            _ => load(self.words, at, order),
        }
    }

    /// Stores word `at`.
    #[inline]
    pub fn store(self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.word(at) {
            word.store(value, order);
        }
    }

    /// Copies bytes in, from the first word on, `Relaxed`. The last word is filled up with zeros.
    #[inline]
    pub fn copy_from(self, from: &[u8]) {
        let (whole, rest) = from.as_chunks::<8>();
        store(self.words, whole);
        if let (false, Some(word)) = (rest.is_empty(), self.words.get(whole.len())) {
            let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            word.store(last, Ordering::Relaxed);
        }
    }

    /// Swaps word `at` and answers what stood there.
    #[inline]
    pub fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.swap(value, order))
    }

    /// Adds to word `at`, wrapping, and answers what stood there.
    #[inline]
    pub fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_add(value, order))
    }

    /// Sets bits of word `at` and answers what stood there.
    #[inline]
    pub fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_or(value, order))
    }

    /// Keeps only the bits of `value` in word `at` and answers what stood there.
    #[inline]
    pub fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_and(value, order))
    }

    /// Replaces `old` by `new` in word `at`, `SeqCst`; `Err` has what stood there instead.
    ///
    /// # Errors
    /// The value found, where it was not `old`.
    #[inline]
    pub fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        self.word(at).map_or(Err(0), |word| {
            word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
        })
    }
}

/// A relaxed load, and a fence where an acquire was asked for. Not `load(Acquire)`: the language
/// promises only of relaxed loads that they do not write, and the page may be read-only. On x86
/// the two are the same instruction.
#[inline]
fn load(words: &[AtomicU64], at: usize, order: Ordering) -> u64 {
    let word = words.get(at);
    debug_assert!(word.is_some(), "word {at} of {}", words.len());
    let Some(word) = word else { return 0 };
    let value = word.load(Ordering::Relaxed);
    if order != Ordering::Relaxed {
        fence(Ordering::Acquire);
    }
    value
}

/// Copies out of words that others may be writing: each byte is one that stood there, the whole is
/// whole only if something else says so. `words` begin at the byte that `skip` is counted from.
#[inline]
pub(crate) fn copy_out(words: &[AtomicU64], skip: usize, into: &mut [u8]) {
    let there = size_of_val(words);
    if bulk::FAST && into.len() >= bulk::SHORTEST && skip <= there && into.len() <= there - skip {
        let from = words.as_ptr().cast::<u8>().wrapping_add(skip);
        // SAFETY: as many bytes from `skip` on lie within `words` (checked above), which are only
        // read, as atomics may be by others meanwhile; `into` is private to the caller and not a
        // part of them.
        unsafe { bulk::copy(from, into.as_mut_ptr(), into.len()) };
        return;
    }
    let (first, within) = (skip / 8, skip % 8);
    let Some(mut words) = words.get(first..) else { return };
    let mut into = into;
    if within != 0 {
        let Some((word, rest)) = words.split_first() else { return };
        let bytes = word.load(Ordering::Relaxed).to_le_bytes();
        let (head, tail) = into.split_at_mut(into.len().min(8 - within));
        for (to, from) in head.iter_mut().zip(bytes.iter().skip(within)) {
            *to = *from;
        }
        (words, into) = (rest, tail);
    }
    // Iterators and not an index: the obvious loop was 3.5 times slower.
    let (whole, rest) = into.as_chunks_mut::<8>();
    for (to, word) in whole.iter_mut().zip(words) {
        *to = word.load(Ordering::Relaxed).to_le_bytes();
    }
    if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
        let bytes = word.load(Ordering::Relaxed).to_le_bytes();
        for (to, from) in rest.iter_mut().zip(bytes) {
            *to = from;
        }
    }
}

/// Stores whole words: as many as there are of both.
#[inline]
fn store(words: &[AtomicU64], from: &[[u8; 8]]) {
    let len = 8 * words.len().min(from.len());
    if bulk::FAST && len >= bulk::SHORTEST {
        let to = words.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: `len` bytes lie within `words`, where they may be written through a shared
        // reference as they are atomics (and on a writable mapping: only `WordsMut` and `write_at`
        // come here), and within `from`, which is private to the caller and not a part of them.
        unsafe { bulk::copy(from.as_ptr().cast(), to, len) };
        return;
    }
    for (word, bytes) in words.iter().zip(from) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

/// Copies into words that others may be reading. Where the range begins or ends inside a word, the
/// other bytes of that word keep what another process stores there meanwhile.
pub(crate) fn copy_in(words: &[AtomicU64], skip: usize, from: &[u8]) {
    let (first, within) = (skip / 8, skip % 8);
    let Some(mut words) = words.get(first..) else { return };
    let mut from = from;
    if within != 0 {
        let Some((word, rest)) = words.split_first() else { return };
        let (head, tail) = from.split_at(from.len().min(8 - within));
        merge(word, within, head);
        (words, from) = (rest, tail);
    }
    let (whole, rest) = from.as_chunks::<8>();
    store(words, whole);
    if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
        merge(word, 0, rest);
    }
}

/// Replaces some bytes of a word by a loop of compare-and-swap: a word has one access size.
fn merge(word: &AtomicU64, within: usize, bytes: &[u8]) {
    let mut old = word.load(Ordering::Relaxed);
    loop {
        let mut new = old.to_le_bytes();
        for (to, from) in new.iter_mut().skip(within).zip(bytes) {
            *to = *from;
        }
        match word.compare_exchange_weak(
            old,
            u64::from_le_bytes(new),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

/// A 64-bit word of shared memory.
pub(crate) type Word = AtomicU64;
/// A 32-bit word of shared memory: locks and wake words.
pub(crate) type Half = AtomicU32;
/// How much of a mapping can be reached: memory of this process's own, not shared.
pub(crate) type Length = AtomicUsize;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|at| AtomicU64::new(0x0101_0101_0101_0101 * at as u64)).collect()
    }

    #[test]
    fn copies_agree_with_slices_at_every_offset_and_length() {
        let plain: Vec<u8> = (0..=255_u8).rev().collect();
        for skip in 0..24 {
            for len in (0..=80).chain([127, 128, 129, 250]) {
                let words = words(36);
                let mut mirror: Vec<u8> =
                    words.iter().flat_map(|w| w.load(Ordering::Relaxed).to_le_bytes()).collect();
                let mut out = vec![0; len];
                copy_out(&words, skip, &mut out);
                assert_eq!(out, mirror[skip..skip + len], "out {skip} {len}");
                copy_in(&words, skip, &plain[..len]);
                mirror[skip..skip + len].copy_from_slice(&plain[..len]);
                let now: Vec<u8> =
                    words.iter().flat_map(|w| w.load(Ordering::Relaxed).to_le_bytes()).collect();
                assert_eq!(now, mirror, "in {skip} {len}");
            }
        }
    }
}
