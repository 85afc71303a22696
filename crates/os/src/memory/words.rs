//! Shared memory as atomic words: the only form in which this crate exposes it.
//!
//! Another process may change any word at any moment. A word is therefore an atomic that is always
//! accessed with the same size. A load returns some value that was stored. The caller must check
//! that value and use it without a second load.

#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]
#![allow(unsafe_code, reason = "hands ranges of words to `bulk` and `compare`")]

use crate::memory::{bulk, compare};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// A read-only range of a view as 64-bit atomic words; from [`View::words`](crate::View::words).
///
/// The first byte of a word in memory is its lowest (little-endian). Every access checks the index.
/// Beyond the end a load returns 0 and a store has no effect. In a debug build both panic, because
/// such an index is a bug of the caller, which computes indices from checked sizes.
///
/// ```
/// use mapvar_os::Section;
/// use std::sync::atomic::Ordering;
///
/// let section = Section::options().size(4096).create()?;
/// let view = section.view().map()?;
/// view.write_at(8, &7_u64.to_le_bytes())?;
/// let words = view.words(0, 2).unwrap();
/// assert_eq!(words.load(1, Ordering::Acquire), 7);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    words: &'a [AtomicU64],
}

/// A writable range of a view as 64-bit atomic words; from
/// [`View::words_mut`](crate::View::words_mut).
///
/// Indices are checked as in [`Words`].
///
/// ```
/// use mapvar_os::Section;
/// use std::sync::atomic::Ordering;
///
/// let section = Section::options().size(4096).create()?;
/// let view = section.view().map()?;
/// let words = view.words_mut(0, 2).unwrap();
/// words.store(1, 7, Ordering::Release);
/// assert_eq!(words.fetch_add(1, 1, Ordering::AcqRel), 7);
/// assert_eq!(words.compare_exchange(1, 9, 10), Err(8));
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WordsMut<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Words<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Returns the number of words.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "its length is what its user asked for")]
    pub fn len(self) -> usize {
        self.words.len()
    }

    /// Loads word `at`. Any ordering other than `Relaxed` counts as `Acquire`.
    #[inline]
    pub fn load(self, at: usize, order: Ordering) -> u64 {
        load(self.words, at, order)
    }

    /// Copies bytes out of the range, from its first word on, with `Relaxed` loads.
    ///
    /// If `into` is longer than the range, the rest of `into` is unchanged. Each byte is one that
    /// was stored; the copy as a whole may mix bytes of several stores.
    #[inline]
    pub fn copy_to(self, into: &mut [u8]) {
        copy_out(self.words, 0, into);
    }

    /// As [`copy_to`](Self::copy_to), from byte `skip` of the range on.
    #[doc(hidden)]
    #[inline]
    pub fn copy_part_to(self, skip: usize, into: &mut [u8]) {
        copy_out(self.words, skip, into);
    }

    /// Returns the `count` words from byte `at` of the range on; `None` if the range has fewer, or if
    /// no word begins there.
    #[doc(hidden)]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub fn part(self, at: usize, count: usize) -> Option<Self> {
        if !at.is_multiple_of(8) {
            return None;
        }
        let words = self.words.get(at / 8..(at / 8).checked_add(count)?)?;
        Some(Self { words })
    }

    /// Returns a bit for each of the first eight words: whether its bits from 40 up are those of
    /// `pattern`. `None` if this takes a loop on this processor, or if there are fewer words.
    ///
    /// A bit is a hint: the words are loaded in no order with other loads. But the bit of a word
    /// that has these bits throughout the call is set.
    #[doc(hidden)]
    #[allow(clippy::inline_always, reason = "measured: on the path of every lookup")]
    #[inline(always)]
    pub fn alike(self, pattern: u64) -> Option<u32> {
        if !compare::FAST {
            return None;
        }
        let words = self.words.first_chunk::<8>()?;
        // SAFETY: the 64 bytes are these eight words, and the call only reads them. Other threads
        // may write to them as atomics meanwhile.
        Some(unsafe { compare::alike(words.as_ptr().cast(), pattern) })
    }

    /// Whether the bytes from word `first` on are `bytes`, 16 to 32 of them. `None` for any other
    /// number, if this takes a loop on this processor, or if there are fewer.
    ///
    /// As after [`copy_to`](Self::copy_to), each byte is one that was stored, and the comparison as
    /// a whole may mix bytes of several stores.
    #[doc(hidden)]
    #[allow(clippy::inline_always, reason = "measured: on the path of every lookup")]
    #[inline(always)]
    pub fn are(self, first: usize, bytes: &[u8]) -> Option<bool> {
        let len = bytes.len();
        if !compare::FAST || !(compare::SHORTEST..=compare::LONGEST).contains(&len) {
            return None;
        }
        let words = self.words.get(first..)?;
        if size_of_val(words) < len {
            return None;
        }
        // SAFETY: `len` bytes, 16 to 32 (checked above), lie within `words` (just compared) and
        // within `bytes`. The call only reads them. Other threads may write to `words` as atomics
        // meanwhile.
        Some(unsafe { compare::same(words.as_ptr().cast(), bytes.as_ptr(), len) })
    }

    /// Asks the processor to fetch the cache line of word `at`, which may lie beyond the range.
    #[doc(hidden)]
    #[allow(clippy::inline_always, reason = "measured: one instruction")]
    #[inline(always)]
    pub fn fetch(self, at: usize) {
        compare::fetch(self.words.as_ptr().wrapping_add(at).cast());
    }
}

impl<'a> WordsMut<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Returns the same range as read-only words.
    #[doc(hidden)]
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

    /// Loads word `at`. `Release` and `AcqRel`, which a load does not support, count as `Acquire`.
    #[inline]
    pub fn load(self, at: usize, order: Ordering) -> u64 {
        match order {
            // The page is writable, so the load of the standard library may be used.
            Ordering::SeqCst => self.word(at).map_or(0, |word| word.load(Ordering::SeqCst)),
            _ => load(self.words, at, order),
        }
    }

    /// Stores `value` to word `at`.
    ///
    /// # Panics
    /// If `order` is `Acquire` or `AcqRel`, which a store does not support.
    #[inline]
    pub fn store(self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.word(at) {
            word.store(value, order);
        }
    }

    /// Copies bytes into the range, from its first word on, with `Relaxed` stores.
    ///
    /// The rest of the last word is filled with zeros. Bytes beyond the end of the range are not
    /// copied.
    #[inline]
    pub fn copy_from(self, from: &[u8]) {
        let (whole, rest) = from.as_chunks::<8>();
        store(self.words, whole);
        if let (false, Some(word)) = (rest.is_empty(), self.words.get(whole.len())) {
            let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            word.store(last, Ordering::Relaxed);
        }
    }

    /// Stores `value` to word `at` and returns the previous value.
    #[inline]
    pub fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.swap(value, order))
    }

    /// Adds `value` to word `at`, wrapping, and returns the previous value.
    #[inline]
    pub fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_add(value, order))
    }

    /// Sets the bits of `value` in word `at` and returns the previous value.
    #[inline]
    pub fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_or(value, order))
    }

    /// Clears all bits of word `at` that are not in `value` and returns the previous value.
    #[inline]
    pub fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.fetch_and(value, order))
    }

    /// Replaces `old` by `new` in word `at`, with `SeqCst`; returns `old`.
    ///
    /// # Errors
    /// The current value, if it is not `old`.
    #[inline]
    pub fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        self.word(at).map_or(Err(0), |word| {
            word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
        })
    }
}

/// Loads a word Relaxed, with an Acquire fence after it unless `order` is Relaxed.
///
/// Not `load(Acquire)`: the page may be read-only, and the language promises only of relaxed loads
/// that they do not write. On x86 both are the same instruction.
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

/// Copies bytes out of words that other processes may be writing, from byte `skip` of `words` on.
///
/// Each byte is one that was stored. The copy as a whole may be torn; the caller checks it by other
/// means.
#[inline]
pub(crate) fn copy_out(words: &[AtomicU64], skip: usize, into: &mut [u8]) {
    let there = size_of_val(words);
    if bulk::FAST && into.len() >= bulk::SHORTEST && skip <= there && into.len() <= there - skip {
        let from = words.as_ptr().cast::<u8>().wrapping_add(skip);
        // SAFETY: `into.len()` bytes from `skip` on lie within `words` (checked above). The call
        // only reads them, and other threads may access them as atomics meanwhile. `into` is
        // private to the caller and does not overlap them.
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
    // Iterators: a loop over an index was 3.5 times slower.
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

/// Stores whole words, up to the end of `words` or of `from`, whichever comes first.
#[inline]
fn store(words: &[AtomicU64], from: &[[u8; 8]]) {
    let len = 8 * words.len().min(from.len());
    if bulk::FAST && len >= bulk::SHORTEST {
        let to = words.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: `len` bytes lie within `words`. They are atomics, so they may be written through
        // a shared reference, and the mapping is writable: only `WordsMut` and `write_at` call
        // this. `len` bytes also lie within `from`, which is private to the caller and does not
        // overlap `words`.
        unsafe { bulk::copy(from.as_ptr().cast(), to, len) };
        return;
    }
    for (word, bytes) in words.iter().zip(from) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

/// Copies bytes into words that other processes may be reading, from byte `skip` of `words` on.
///
/// If the range begins or ends inside a word, the other bytes of that word keep the values that
/// another process stores there meanwhile.
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

/// Replaces some bytes of a word by a compare-and-swap loop, since a word is never accessed with a
/// smaller size.
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
/// A 64-bit word of this process, not shared.
pub(crate) type PrivateWord = AtomicU64;
/// The reachable length of a mapping: private memory of this process, not shared.
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
