//! The addresses that a view may touch, as atomic words: what the lock words of a system are found
//! by, and what a view hands out.

#![allow(unsafe_code, reason = "references into a mapping")]

use crate::{
    memory::words::{Half, Length, Word, Words, WordsMut},
    options::Access,
};
use std::{ptr::NonNull, sync::atomic::Ordering};

/// The reachable part of a mapping, from where a view begins in it.
#[derive(Debug)]
pub(crate) struct MappedRange {
    /// First byte of the mapping, which lies at the beginning of a page.
    address: NonNull<u8>,
    /// Bytes between the mapping's first byte and the range's.
    lead: usize,
    access: Access,
    /// Bytes of the range that can be reached. Only `reach` changes it, and only upward.
    ///
    /// SYNC POINT: Release there, after the system was asked for the bytes. A thread that loads it
    /// and then touches the new part does so after that. Acquire in `len`; the accessors load it, and
    /// the two below, Relaxed: the system decides whether an address may be touched. It orders
    /// what it did for one thread before a later fault of another, and a touch cannot come before
    /// the check that it depends on. A thread that learned of the growth from another (a lock, an
    /// Acquire) sees the new length, since loads of one place never go back.
    len: Length,
    /// Bytes of the whole words in a range that begins where the mapping does, 0 for any other; and
    /// of those that may be written.
    plain: Length,
    plain_mut: Length,
}

// SAFETY: it is an address, and the memory there is reached only by atomics, from any thread.
unsafe impl Send for MappedRange {}
// SAFETY: as above; what changes through a shared reference is atomic.
unsafe impl Sync for MappedRange {}

impl MappedRange {
    /// A range that begins `lead` bytes into a mapping, of which nothing can be reached yet.
    ///
    /// # Safety
    /// As long as the value lives a mapping begins at `address`, at the beginning of a page.
    pub(crate) unsafe fn new(address: NonNull<u8>, lead: usize, access: Access) -> Self {
        Self {
            address,
            lead,
            access,
            len: Length::new(0),
            plain: Length::new(0),
            plain_mut: Length::new(0),
        }
    }

    /// Lets every thread reach the first `len` bytes. A smaller `len` than before changes nothing.
    ///
    /// # Safety
    /// As long as the value lives the mapping is readable to the end of the page in which
    /// `lead + len` bytes end, and writable there if the access says so.
    pub(crate) unsafe fn reach(&self, len: usize) {
        let plain = if self.lead == 0 { len & !7 } else { 0 };
        let plain_mut = if self.access == Access::Read { 0 } else { plain };
        // The greatest wins, so that of two threads that grow at once neither takes from the other.
        // `len` last: a thread that has seen it (Acquire) finds as much by the quick way.
        self.plain.fetch_max(plain, Ordering::Release);
        self.plain_mut.fetch_max(plain_mut, Ordering::Release);
        self.len.fetch_max(len, Ordering::Release);
    }

    /// Bytes that can be reached. Acquire: see the field.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// As [`len`](Self::len), for a check of bounds before an access: Relaxed.
    #[inline]
    pub(crate) fn bound(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn lead(&self) -> usize {
        self.lead
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Address of the first byte of the range.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.first().wrapping_add(self.lead)
    }

    /// Address of the first byte of the mapping.
    #[inline]
    fn first(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// All words of the mapping, from its first byte: `lead` is inside.
    #[allow(clippy::cast_ptr_alignment, reason = "a mapping starts at a page")]
    #[inline]
    pub(crate) fn all(&self) -> &[Word] {
        // The mapping ends at a page, so the last word that the range touches is whole.
        let words = (self.lead + self.bound()).div_ceil(8);
        // SAFETY: the mapping starts at a page, so it is aligned; it is readable up to the end of
        // the page in which `lead + len` ends (`reach`, which ran before `len` had this value), so
        // each of the words lies in it; it lives as long as `self` (`new`). An atomic word has no
        // invalid values and may be changed by others through a shared reference. On a mapping for
        // reading only relaxed loads reach it: `words_mut` and `View::write_at` refuse it, and
        // `Words` has no stores.
        unsafe { std::slice::from_raw_parts(self.first().cast::<Word>(), words) }
    }

    /// See [`View::words`](crate::View::words).
    #[inline]
    pub(crate) fn words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.part(at, count).map(Words::new)
    }

    /// See [`View::words_mut`](crate::View::words_mut).
    #[inline]
    pub(crate) fn words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        if self.access == Access::Read {
            return None;
        }
        self.part(at, count).map(WordsMut::new)
    }

    /// See [`View::plain_words`](crate::View::plain_words).
    #[inline]
    pub(crate) fn plain_words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.plain_part::<false>(at, count).map(Words::new)
    }

    /// See [`View::plain_words_mut`](crate::View::plain_words_mut).
    #[inline]
    pub(crate) fn plain_words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.plain_part::<true>(at, count).map(WordsMut::new)
    }

    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 8 from a page's start")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    fn plain_part<const WRITE: bool>(&self, at: usize, count: usize) -> Option<&[Word]> {
        let plain = if WRITE { &self.plain_mut } else { &self.plain }.load(Ordering::Relaxed);
        let end = at.checked_add(count.checked_mul(8)?)?;
        if end > plain || !at.is_multiple_of(8) {
            return None;
        }
        // SAFETY: where `plain` is not 0, the range begins with the mapping and has as many bytes
        // at least, and `at..end` lies within them.
        let first = unsafe { self.first().add(at) };
        // SAFETY: as in `all`, of which these words are some.
        Some(unsafe { std::slice::from_raw_parts(first.cast::<Word>(), count) })
    }

    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 8 from a page's start")]
    #[inline]
    fn part(&self, at: usize, count: usize) -> Option<&[Word]> {
        let end = count.checked_mul(8)?.checked_add(at)?;
        let first = at.checked_add(self.lead)?;
        if end > self.bound() || !first.is_multiple_of(8) {
            return None;
        }
        let address = self.first().wrapping_add(first).cast::<Word>();
        // SAFETY: as in `all`, of which this is a part: the words from `first` end at `lead + end`,
        // and `end` is at most `len` (checked above); `first` is a multiple of 8, and the mapping
        // starts at a page, so they are aligned. Not through `all`, which is on the path of every
        // read: its length and the second check of bounds cost as much as the read.
        Some(unsafe { std::slice::from_raw_parts(address, count) })
    }

    /// The 32-bit word at byte `at` of the range: a lock or wake word, which no process ever touches
    /// as part of a 64-bit one. `None` where it is not within, not aligned, or not writable.
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 4 from a page's start")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn half(&self, at: usize) -> Option<&Half> {
        // The quick way, as in `plain_part`. `plain_mut` is a multiple of 8, so with a multiple of
        // 4 below it the three bytes after that are within too.
        if at >= self.plain_mut.load(Ordering::Relaxed) || !at.is_multiple_of(4) {
            return self.half_anywhere(at);
        }
        // SAFETY: as in `plain_part`.
        let address = unsafe { self.first().add(at) };
        // SAFETY: the word lies within the mapping (checked above), which is writable, aligned to a
        // page and lives as long as `self`; `at` is a multiple of 4. An atomic word has no invalid
        // values.
        Some(unsafe { &*address.cast::<Half>() })
    }

    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 4 from a page's start")]
    #[cold]
    fn half_anywhere(&self, at: usize) -> Option<&Half> {
        let first = at.checked_add(self.lead)?;
        let len = self.bound();
        if at.checked_add(4)? > len || !first.is_multiple_of(4) || self.access == Access::Read {
            return None;
        }
        let address = self.first().wrapping_add(first).cast::<Half>();
        // SAFETY: as in `half`, with `first` for `at`.
        Some(unsafe { &*address })
    }
}
