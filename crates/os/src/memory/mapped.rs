//! The accessible addresses of a view, as atomic words. A view and the locks of a system reach the
//! memory through them.

#![allow(unsafe_code, reason = "references into a mapping")]

use crate::{
    memory::words::{Half, Length, Word, Words, WordsMut},
    options::Access,
};
use std::{ptr::NonNull, sync::atomic::Ordering};

/// The reachable part of a mapping, from the first byte of its view on.
#[derive(Debug)]
pub(crate) struct MappedRange {
    /// First byte of the mapping, at the beginning of a page.
    address: NonNull<u8>,
    /// Bytes between the first byte of the mapping and the first byte of the range.
    lead: usize,
    access: Access,
    /// Reachable bytes of the range. Only `reach` changes it, and only upward.
    ///
    /// SYNC POINT: `reach` changes it with Release, after the system has mapped the bytes; this
    /// pairs with the Acquire load in `len`. So a thread that loads the new length accesses the new
    /// part after the system has mapped it. The accessors load this field and the two below
    /// Relaxed. That is enough for three reasons. The system orders the mapping by one thread
    /// before a later fault of another. An access cannot come before the bounds check that it
    /// depends on. A thread that learned of the growth from another thread (by a lock, or an
    /// Acquire load) sees the new length, since the values loaded from one location never go back.
    len: Length,
    /// Bytes in whole words, if the range begins with the mapping; 0 otherwise.
    plain: Length,
    /// As `plain`, but 0 for a read-only range.
    plain_mut: Length,
}

// SAFETY: the pointer is an address, and any thread may access the memory there by atomics only.
unsafe impl Send for MappedRange {}
// SAFETY: as above; all fields that change through a shared reference are atomics.
unsafe impl Sync for MappedRange {}

impl MappedRange {
    /// Creates a range that begins `lead` bytes into a mapping; no byte of it is reachable yet.
    ///
    /// # Safety
    /// A mapping begins at `address`, at the beginning of a page, as long as the value lives.
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

    /// Makes the first `len` bytes reachable for every thread. A `len` smaller than the current one
    /// changes nothing.
    ///
    /// # Safety
    /// The mapping is readable up to the end of the page in which `lead + len` bytes end, and also
    /// writable unless `access` is `Read`, as long as the value lives.
    pub(crate) unsafe fn reach(&self, len: usize) {
        let plain = if self.lead == 0 { len & !7 } else { 0 };
        let plain_mut = if self.access == Access::Read { 0 } else { plain };
        // The maximum, so that of two threads which grow the range at once neither shortens it.
        // `len` last: a thread that has loaded it (Acquire) finds these bytes on the fast path too.
        self.plain.fetch_max(plain, Ordering::Release);
        self.plain_mut.fetch_max(plain_mut, Ordering::Release);
        self.len.fetch_max(len, Ordering::Release);
    }

    /// Returns the number of reachable bytes. Acquire: see the field.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// As [`len`](Self::len), for a bounds check before an access: Relaxed.
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

    /// Returns the address of the first byte of the range.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.first().wrapping_add(self.lead)
    }

    /// Returns the address of the first byte of the mapping, where its first word lies.
    pub(crate) fn base(&self) -> NonNull<Word> {
        self.address.cast()
    }

    /// Returns the address of the first byte of the mapping.
    #[inline]
    fn first(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Returns all reachable words of the mapping, from its first byte on (`lead` included).
    #[allow(clippy::cast_ptr_alignment, reason = "a mapping starts at a page")]
    #[inline]
    pub(crate) fn all(&self) -> &[Word] {
        // The mapping ends at the end of a page, so the last word that the range overlaps is whole.
        let words = (self.lead + self.bound()).div_ceil(8);
        // SAFETY: the mapping starts at a page, so it is aligned. It is readable up to the end of
        // the page in which `lead + len` ends (`reach`, which ran before `len` had this value), so
        // each of the words lies in it. It lives as long as `self` (`new`). An atomic word has no
        // invalid values, and other processes may change it through a shared reference. On a
        // read-only mapping only relaxed loads access it: `words_mut` and `View::write_at` refuse
        // such a mapping, and `Words` has no stores.
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

    /// See [`View::all_plain_words`](crate::View::all_plain_words).
    #[allow(clippy::cast_ptr_alignment, reason = "a mapping starts at a page")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn all_plain_words(&self) -> Words<'_> {
        let count = self.plain.load(Ordering::Relaxed) / 8;
        // SAFETY: as in `plain_part`, with all of its words; or none, if `plain` is 0.
        Words::new(unsafe { std::slice::from_raw_parts(self.first().cast::<Word>(), count) })
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
        // SAFETY: if `plain` is not 0, the range begins with the mapping and has at least `plain`
        // bytes, and `at..end` lies within them.
        let first = unsafe { self.first().add(at) };
        // SAFETY: as in `all`; these words are a part of its slice.
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
        // Does not slice `all`: this is on the path of every read, and the length of `all` and a
        // second bounds check cost as much as the read.
        // SAFETY: as in `all`; these words are a part of its slice. They end at `lead + end`, and
        // `end` is at most `len` (checked above). `first` is a multiple of 8, and the mapping
        // starts at a page, so they are aligned.
        Some(unsafe { std::slice::from_raw_parts(address, count) })
    }

    /// Returns the 32-bit word at byte `at` of the range: a lock or wake word, which no process
    /// ever accesses as part of a 64-bit word. Returns `None` if the word is outside the range,
    /// misaligned, or not writable.
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 4 from a page's start")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn half(&self, at: usize) -> Option<&Half> {
        // The fast path, as in `plain_part`. `plain_mut` is a multiple of 8: if a multiple of 4 is
        // below it, so are the next three bytes.
        if at >= self.plain_mut.load(Ordering::Relaxed) || !at.is_multiple_of(4) {
            return self.half_anywhere(at);
        }
        // SAFETY: as in `plain_part`.
        let address = unsafe { self.first().add(at) };
        // SAFETY: the word lies within the mapping (checked above), which is writable, begins at a
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
