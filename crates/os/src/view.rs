//! A view: a range of a section, mapped into this process.

use crate::{
    Access, Error, ErrorKind, Result, Section, Words, WordsMut,
    faults::Cause,
    section::Shared,
    sys::{Imp, Platform},
    words::{self, Half, Length, Word},
};
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

/// How to map a range of a section; from [`Section::view`].
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `map`"]
pub struct ViewOptions<'a> {
    section: &'a Section,
    offset: u64,
    pub(crate) len: Option<u64>,
    reserve: u64,
    access: Access,
    execute: bool,
    base_address: usize,
}

impl<'a> ViewOptions<'a> {
    pub(crate) fn new(section: &'a Section) -> Self {
        let writable = section.shared.options.protection.writable();
        Self {
            section,
            offset: 0,
            len: None,
            reserve: 0,
            access: if writable { Access::ReadWrite } else { Access::Read },
            execute: false,
            base_address: 0,
        }
    }

    /// First byte of the range; any number. What the system needs to be aligned (64 KiB on
    /// Windows, a page on Unix) is aligned underneath.
    pub fn offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// Length of the range in bytes; to the end of the section unless set.
    pub fn len(mut self, bytes: u64) -> Self {
        self.len = Some(bytes);
        self
    }

    /// Keeps address space behind the range, so that [`View::grow`] can make the view that long
    /// without moving it. The range must begin at a multiple of
    /// [`granularity`](crate::machine::granularity). Addresses only, no memory; where so many are
    /// not to be had the view gets fewer, in silence: [`View::reserved`] tells.
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// What the view may do: what the section's protection allows for sharing, unless set.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether code in the range may be run. Takes a section whose protection allows it.
    pub fn execute(mut self, execute: bool) -> Self {
        self.execute = execute;
        self
    }

    /// Where to map, a multiple of the system's granularity; anywhere unless set. The view begins
    /// there or the call fails; nothing that is mapped there already is replaced.
    pub fn base_address(mut self, address: usize) -> Self {
        self.base_address = address;
        self
    }

    /// Maps the range.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] where the range does not lie within the section;
    /// [`ErrorKind::InvalidArgument`] for an empty range or a misplaced base address;
    /// [`ErrorKind::ReadOnly`] or [`ErrorKind::PermissionDenied`] where the section's protection
    /// does not allow the access; [`ErrorKind::NoSpace`] where address space is short.
    pub fn map(self) -> Result<View> {
        let Self { section, offset, len, reserve, access, execute, base_address } = self;
        let refuse = |kind, detail: String| {
            Error::new(kind, "map a view of", section.shared.options.describe()).detail(detail)
        };
        let size = section.size()?;
        let len = len.unwrap_or(size.saturating_sub(offset));
        let within = offset.checked_add(len).is_some_and(|end| end <= size);
        if !within || len == 0 {
            let kind = if within { ErrorKind::InvalidArgument } else { ErrorKind::OutOfRange };
            return Err(refuse(
                kind,
                format!(
                    "bytes {offset}..{} of {size}; give a range within",
                    offset.saturating_add(len)
                ),
            ));
        }
        let protection = section.shared.options.protection;
        if access == Access::ReadWrite && !protection.writable() {
            return Err(refuse(
                ErrorKind::ReadOnly,
                "the section is for reading; map it with Access::Read or CopyOnWrite".into(),
            ));
        }
        if execute && !protection.executable() {
            return Err(refuse(
                ErrorKind::PermissionDenied,
                "the section's protection does not allow to execute; open it with one that does"
                    .into(),
            ));
        }
        let granularity = Imp::granularity();
        if !base_address.is_multiple_of(granularity) {
            return Err(refuse(
                ErrorKind::InvalidArgument,
                format!("base address {base_address:#x}; give a multiple of {granularity:#x}"),
            ));
        }
        let skip = offset % granularity as u64;
        if skip != 0 && reserve > len {
            return Err(refuse(
                ErrorKind::InvalidArgument,
                format!(
                    "a view that is to grow, from byte {offset}; let it begin at a multiple of {granularity:#x}"
                ),
            ));
        }
        let too_large =
            || refuse(ErrorKind::TooLarge, format!("{len} bytes; map a smaller range at a time"));
        let mapped = usize::try_from(len + skip).map_err(|_| too_large())?;
        // What is beyond the largest object of the language cannot be had anyway.
        let most = isize::MAX.cast_unsigned();
        let reserve = usize::try_from(reserve).map_or(most, |reserve| reserve.min(most));
        let spec = MapSpec {
            offset: offset - skip,
            len: mapped,
            reserve: reserve.max(mapped),
            access,
            execute,
            base_address,
        };
        let mapping = Imp::map(&section.shared.sys, &spec)
            .map_err(|error| section.told("map a view of", error))?;
        let view = View {
            mapping,
            section: section.shared.clone(),
            offset,
            skip: skip as usize,
            len: Length::new(0),
            access,
            plain: Length::new(0),
            plain_mut: Length::new(0),
        };
        view.reach(len as usize);
        Ok(view)
    }
}

/// What `sys` is asked to map: aligned to the granularity, checked against the section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapSpec {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// How long it may become: `len` or more.
    pub(crate) reserve: usize,
    pub(crate) access: Access,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

/// A range of a section, mapped into this process.
///
/// `Send` and `Sync`: the memory is only reached through atomic words, and by copies that are made
/// of them.
pub struct View {
    // Dropped before `section`: the handle outlives the mapping, so that a name never dies under a
    // view.
    mapping: <Imp as Platform>::Mapping,
    section: Arc<Shared>,
    /// First byte of the range in the section.
    offset: u64,
    /// Bytes between the mapping's first byte and the range's.
    skip: usize,
    /// Bytes of the range that can be reached. Only `reach` changes it, and only upward.
    ///
    /// SYNC POINT: Release there, after the system was asked for the bytes. Who loads it and then
    /// touches the new part does so after that. Acquire in `len`; the accessors load it, and the
    /// two below, Relaxed: whether an address may be touched is decided by the system, which orders
    /// what it did for one thread before a later fault of another, and a touch cannot come before
    /// the check that it depends on. Who was told of the growth by another thread (a lock, an
    /// Acquire) sees the new length, since loads of one place never go back.
    len: Length,
    access: Access,
    /// Bytes of the whole words in a range that begins where the mapping does, 0 for any other; and
    /// of those that may be written.
    plain: Length,
    plain_mut: Length,
}

impl View {
    /// Length of the range in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Never: an empty range cannot be mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long it can [`grow`](Self::grow), in bytes: what was
    /// [reserved](ViewOptions::reserve), or as much of that as the system gave; its length, or a
    /// little more, where nothing was.
    pub fn reserved(&self) -> usize {
        Imp::reserved(&self.mapping).saturating_sub(self.skip).max(self.len())
    }

    /// Makes the first `len` bytes of the range reachable, at the address that the view has, while
    /// other threads use it. The section must be that long already ([`Section::grow`], by whatever
    /// process). Never makes it shorter; many threads may call it at once.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond what is [reserved](Self::reserved): map it again;
    /// [`ErrorKind::OutOfRange`] beyond the end of the section;
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] as the system says; the error of a view that is
    /// [lost](Self::lost). The view is as long as it was.
    pub fn grow(&self, len: usize) -> Result<()> {
        if len <= self.len() {
            return Ok(());
        }
        let refuse = |kind, detail: String| {
            Error::new(kind, "grow the view of", self.section.options.describe()).detail(detail)
        };
        let reserved = self.reserved();
        if self.skip != 0 || len > reserved {
            return Err(refuse(
                ErrorKind::TooLarge,
                format!("{len} bytes where {reserved} are reserved; map it again, or reserve more"),
            ));
        }
        // It would not come back.
        self.believe("grow the view of")?;
        let told = |error: Error| error.during("grow the view of", self.section.options.describe());
        let size = Imp::size(&self.section.sys).map_err(told)?;
        if self.offset.checked_add(len as u64).is_none_or(|end| end > size) {
            return Err(refuse(
                ErrorKind::OutOfRange,
                format!(
                    "{len} bytes from byte {} of a section of {size}; grow the section first",
                    self.offset
                ),
            ));
        }
        Imp::extend(&self.section.sys, &self.mapping, len).map_err(told)?;
        self.reach(len);
        Ok(())
    }

    /// Lets everybody reach the first `len` bytes, which the mapping has.
    fn reach(&self, len: usize) {
        let plain = if self.skip == 0 { len & !7 } else { 0 };
        let plain_mut = if self.access == Access::Read { 0 } else { plain };
        // The greatest wins, so that of two who grow at once neither takes from the other. `len`
        // last: who has seen it (Acquire) finds as much by the quick way.
        self.plain.fetch_max(plain, Ordering::Release);
        self.plain_mut.fetch_max(plain_mut, Ordering::Release);
        self.len.fetch_max(len, Ordering::Release);
    }

    /// Where in the section the range begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What it may do.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Address of the first byte in this process, for those who hand it to foreign code.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping_ptr().wrapping_add(self.skip)
    }

    #[inline]
    fn mapping_ptr(&self) -> *mut u8 {
        Imp::address(&self.mapping)
    }

    /// The range as bytes.
    ///
    /// # Safety
    /// For as long as the slice lives no process writes to the range, and the file behind it, if
    /// any, is not made shorter.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is readable over `skip + len` bytes for as long as `self` lives
        // (contract of `Platform::map` and `extend`; `len` never falls), u8 has no alignment and no invalid values, and the caller
        // promises that nothing writes to it or unmaps its backing meanwhile.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// All words of the mapping, from its first byte: `skip` is inside.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    #[allow(clippy::cast_ptr_alignment, reason = "a mapping starts at a page")]
    #[inline]
    fn all(&self) -> &[Word] {
        // The mapping ends at a page, so the last word that the range touches is whole.
        let words = (self.skip + self.len.load(Ordering::Relaxed)).div_ceil(8);
        // SAFETY: the mapping starts at a page, so it is aligned; it is readable up to the end of
        // the page in which `skip + len` ends (contract of `Platform::map` and `extend`, which
        // returned before `len` had this value), so each of the words lies in it; it lives as long as `self`. An atomic word has no invalid values and may be
        // changed by others through a shared reference. On a mapping for reading only relaxed
        // loads reach it: `words_mut` and `write_at` refuse it, and `Words` has no stores.
        unsafe { std::slice::from_raw_parts(self.mapping_ptr().cast::<Word>(), words) }
    }

    /// `count` words from byte `at` of the range; `None` where they do not lie within it, or where
    /// `at` is not a multiple of 8 in the section.
    #[inline]
    pub fn words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.range(at, count).map(Words::new)
    }

    /// As [`words`](Self::words), to write too; `None` also where the view is for reading.
    #[inline]
    pub fn words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        if self.access == Access::Read {
            return None;
        }
        self.range(at, count).map(WordsMut::new)
    }

    /// As [`words`](Self::words), by two comparisons; `None` for any range where the view does not
    /// begin at a multiple of [`granularity`](crate::machine::granularity) in the section.
    #[inline]
    pub fn plain_words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.plain_range::<false>(at, count).map(Words::new)
    }

    /// As [`plain_words`](Self::plain_words), to write too.
    #[inline]
    pub fn plain_words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.plain_range::<true>(at, count).map(WordsMut::new)
    }

    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 8 from a page's start")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    fn plain_range<const WRITE: bool>(&self, at: usize, count: usize) -> Option<&[Word]> {
        let plain = if WRITE { &self.plain_mut } else { &self.plain }.load(Ordering::Relaxed);
        let end = at.checked_add(count.checked_mul(8)?)?;
        if end > plain || !at.is_multiple_of(8) {
            return None;
        }
        // SAFETY: where `plain` is not 0, the range begins with the mapping and has as many bytes
        // at least, and `at..end` lies within them.
        let first = unsafe { self.mapping_ptr().add(at) };
        // SAFETY: as in `all`, of which these words are some.
        Some(unsafe { std::slice::from_raw_parts(first.cast::<Word>(), count) })
    }

    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 8 from a page's start")]
    #[inline]
    fn range(&self, at: usize, count: usize) -> Option<&[Word]> {
        let end = count.checked_mul(8)?.checked_add(at)?;
        let first = at.checked_add(self.skip)?;
        if end > self.len.load(Ordering::Relaxed) || !first.is_multiple_of(8) {
            return None;
        }
        let address = self.mapping_ptr().wrapping_add(first).cast::<Word>();
        // SAFETY: as in `all`, of which this is a part: the words from `first` end at `skip + end`,
        // and `end` is at most `len` (checked above); `first` is a multiple of 8, and the mapping
        // starts at a page, so they are aligned. Not through `all`, which is on the path of every
        // read: its length and the second check of bounds cost as much as the read.
        Some(unsafe { std::slice::from_raw_parts(address, count) })
    }

    /// The 32-bit word at byte `at` of the range: a lock or wake word, which nobody ever touches
    /// as part of a 64-bit one. `None` where it is not within, not aligned, or not writable.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 4 from a page's start")]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn half(&self, at: usize) -> Option<&Half> {
        // The quick way, as in `plain_range`. `plain_mut` is a multiple of 8, so with a multiple of
        // 4 below it the three bytes after that are within too.
        if at >= self.plain_mut.load(Ordering::Relaxed) || !at.is_multiple_of(4) {
            return self.half_anywhere(at);
        }
        // SAFETY: as in `plain_range`.
        let address = unsafe { self.mapping_ptr().add(at) };
        // SAFETY: the word lies within the mapping (checked above), which is writable, aligned to a
        // page and lives as long as `self`; `at` is a multiple of 4. An atomic word has no invalid
        // values.
        Some(unsafe { &*address.cast::<Half>() })
    }

    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    #[allow(clippy::cast_ptr_alignment, reason = "checked: a multiple of 4 from a page's start")]
    #[cold]
    fn half_anywhere(&self, at: usize) -> Option<&Half> {
        let first = at.checked_add(self.skip)?;
        let len = self.len.load(Ordering::Relaxed);
        if at.checked_add(4)? > len || !first.is_multiple_of(4) || self.access == Access::Read {
            return None;
        }
        let address = self.mapping_ptr().wrapping_add(first).cast::<Half>();
        // SAFETY: as in `half`, with `first` for `at`.
        Some(unsafe { &*address })
    }

    /// What became of the memory: `None` as long as all of it is there. Otherwise, and for ever, an
    /// error of kind [`Truncated`](ErrorKind::Truncated) where the file was made shorter, or
    /// [`Io`](ErrorKind::Io) where the system could not read or keep a page (disk full, read error,
    /// lost share). Nothing that was read or written by way of the view since is to be believed.
    /// See [`faults`](crate::faults).
    pub fn lost(&self) -> Option<Error> {
        if self.is_lost() { self.loss("use") } else { None }
    }

    /// Whether the view is [lost](Self::lost), by one load. After copies and loads put a
    /// `fence(Acquire)` before it, as for [`is_epoch`](crate::machine::is_epoch).
    #[inline]
    pub fn is_lost(&self) -> bool {
        Imp::losses(&self.mapping).is_lost()
    }

    #[cold]
    fn loss(&self, operation: &'static str) -> Option<Error> {
        let loss = Imp::losses(&self.mapping).loss()?;
        let byte = (self.offset - self.skip as u64).saturating_add(loss.at as u64);
        let (kind, detail) = match loss.cause {
            Cause::Truncated => (
                ErrorKind::Truncated,
                format!("it was made shorter while mapped and byte {byte} is gone; open it anew"),
            ),
            Cause::Io => (
                ErrorKind::Io,
                format!(
                    "the system could not read or keep byte {byte} (full or failing disk, lost \
                     share); make room or repair it, and open it anew"
                ),
            ),
        };
        Some(Error::new(kind, operation, self.section.options.describe()).detail(detail))
    }

    /// For the end of an operation: whether it may be believed.
    #[inline]
    fn believe(&self, operation: &'static str) -> Result<()> {
        if self.is_lost() { self.loss(operation).map_or(Ok(()), Err) } else { Ok(()) }
    }

    fn bounds(&self, operation: &'static str, at: usize, len: usize) -> Result<usize> {
        let whole = self.len.load(Ordering::Relaxed);
        match at.checked_add(len) {
            Some(end) if end <= whole => Ok(at + self.skip),
            _ => Err(Error::new(ErrorKind::OutOfRange, operation, self.section.options.describe())
                .detail(format!(
                    "bytes {at}..{} of a view of {whole}; stay within",
                    at.saturating_add(len)
                ))),
        }
    }

    /// Copies `into.len()` bytes out, from byte `at` of the range.
    ///
    /// Bytes that another process writes meanwhile come old or new, each by itself.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`], with nothing copied; [`ErrorKind::Truncated`] and
    /// [`ErrorKind::Io`], with anything copied, where the view is [lost](Self::lost).
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> Result<()> {
        let skip = self.bounds("read from", at, into.len())?;
        words::copy_out(self.all(), skip, into);
        // A page that another thread found gone was replaced after the mark was set.
        fence(Ordering::Acquire);
        self.believe("read from")
    }

    /// Copies `from` in, to byte `at` of the range.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] and [`ErrorKind::ReadOnly`], with nothing written;
    /// [`ErrorKind::Truncated`] and [`ErrorKind::Io`] where the view is [lost](Self::lost).
    pub fn write_at(&self, at: usize, from: &[u8]) -> Result<()> {
        if self.access == Access::Read {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "write to",
                self.section.options.describe(),
            )
            .detail("the view is for reading; map it with Access::ReadWrite"));
        }
        let skip = self.bounds("write to", at, from.len())?;
        words::copy_in(self.all(), skip, from);
        // The same for stores, which a later load may overtake otherwise.
        fence(Ordering::SeqCst);
        self.believe("write to")
    }

    /// The first `len` bytes: what [`write_string`](Self::write_string) wrote. Bytes, never
    /// characters, zeros included.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`].
    pub fn read_string(&self, len: usize) -> Result<Vec<u8>> {
        self.bounds("read from", 0, len)?;
        let mut bytes = vec![0; len];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes `bytes` at the start of the range, with no terminator and no length.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] where they do not fit, with nothing written;
    /// [`ErrorKind::ReadOnly`].
    pub fn write_string(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.write_at(0, bytes.as_ref())
    }

    /// Starts writing a range to the file (`FlushViewOfFile`, `msync`). Does not wait for the
    /// device on every system: [`flush_durable`](Self::flush_durable) does. Nothing to do without
    /// a file.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`]; [`ErrorKind::Io`] with the system's code; the error of a view
    /// that is [lost](Self::lost).
    pub fn flush(&self, range: Range<usize>) -> Result<()> {
        self.flushed(range, true)
    }

    /// Writes a range to the file and waits until the device has it, with the file's size and
    /// times: `FlushViewOfFile` then `FlushFileBuffers`, `msync` then `fdatasync`, or
    /// `F_FULLFSYNC`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush). After [`ErrorKind::Io`] nothing is known of what reached
    /// the device.
    pub fn flush_durable(&self, range: Range<usize>) -> Result<()> {
        self.flush(range)?;
        self.sync()
    }

    /// As [`flush`](Self::flush), without waiting for anything: for each of many ranges, before
    /// one [`sync`](Self::sync) for all of them. `FlushViewOfFile`, `msync(MS_ASYNC)`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub fn flush_start(&self, range: Range<usize>) -> Result<()> {
        self.flushed(range, false)
    }

    /// Waits until the device has what was flushed of the file, by whatever view, with its size and
    /// times: `FlushFileBuffers`, `fdatasync`, or `F_FULLFSYNC`. Nothing to do without a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; nothing is known then of what reached the device.
    pub fn sync(&self) -> Result<()> {
        Imp::sync(&self.section.sys)
            .map_err(|error| error.during("flush", self.section.options.describe()))
    }

    fn flushed(&self, range: Range<usize>, wait: bool) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        let first = self.bounds("flush", range.start, len)?;
        let flushed = Imp::flush(&self.section.sys, &self.mapping, first, len, wait);
        // First: what was flushed, or failed to be, was not the file's.
        self.believe("flush")?;
        flushed.map_err(|error| error.during("flush", self.section.options.describe()))
    }

    /// Unmaps the range and reports what the system says. Dropping a view unmaps it in silence.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    pub fn close(self) -> Result<()> {
        let Self { mapping, section, .. } = self;
        let unmapped = Imp::unmap(mapping);
        unmapped.map_err(|error| error.during("unmap", section.options.describe()))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("section", &self.section)
            .field("offset", &self.offset)
            .field("len", &self.len())
            .field("reserved", &self.reserved())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
