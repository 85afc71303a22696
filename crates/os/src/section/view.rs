//! A view: a range of a section, mapped into this process.

use crate::{
    error::{Error, ErrorKind, Result},
    memory::{
        mapped::MappedRange,
        registry::Cause,
        words::{self, Words, WordsMut},
    },
    options::Access,
    section::shared::Shared,
    spec::MapSpec,
    sys::{Imp, Platform},
};
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

/// How to map a range of a section; from [`Section::view`](crate::Section::view).
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `map`"]
pub struct ViewOptions<'a> {
    section: &'a Arc<Shared>,
    offset: u64,
    pub(crate) len: Option<u64>,
    reserve: u64,
    access: Access,
    execute: bool,
    base_address: usize,
}

impl<'a> ViewOptions<'a> {
    pub(crate) fn new(section: &'a Arc<Shared>) -> Self {
        let writable = section.options.protection.writable();
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
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub fn map(self) -> Result<View> {
        let Self { section, offset, len, reserve, access, execute, base_address } = self;
        let refuse = |kind, detail: String| {
            Error::new(kind, "map a view of", section.options.describe()).detail(detail)
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
        let protection = section.options.protection;
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
        let mapping = Imp::map(&section.sys, &spec)
            .map_err(|error| section.with_context("map a view of", error))?;
        // SAFETY: the mapping begins there, at a page (contract of `Platform::map`). `View` owns
        // both it and the range, and hands out the range by reference only.
        let range = unsafe { MappedRange::new(Imp::address(&mapping), skip as usize, access) };
        // SAFETY: `spec.len` bytes were mapped, which are `lead + len`, to the end of their last
        // page and with this access (contract of `Platform::map`).
        unsafe { range.reach(len as usize) };
        Ok(View { mapping, range, section: section.clone(), offset })
    }
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
    /// The part of the mapping that can be reached.
    range: MappedRange,
    /// First byte of the range in the section.
    offset: u64,
}

impl View {
    /// Length of the range in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Never: an empty range cannot be mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long it can [`grow`](Self::grow), in bytes: what was
    /// [reserved](ViewOptions::reserve), or as much of that as the system gave; its length, or a
    /// little more, where nothing was.
    pub fn reserved(&self) -> usize {
        Imp::reserved(&self.mapping).saturating_sub(self.range.lead()).max(self.len())
    }

    /// Makes the first `len` bytes of the range reachable, at the address that the view has, while
    /// other threads use it. The section must be that long already ([`Section::grow`](crate::Section::grow), by whatever
    /// process). Never makes it shorter; many threads may call it at once.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond what is [reserved](Self::reserved): map it again;
    /// [`ErrorKind::OutOfRange`] beyond the end of the section;
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] as the system says; the error of a view that is
    /// [lost](Self::lost). The view is as long as it was.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub fn grow(&self, len: usize) -> Result<()> {
        if len <= self.len() {
            return Ok(());
        }
        let refuse = |kind, detail: String| {
            Error::new(kind, "grow the view of", self.section.options.describe()).detail(detail)
        };
        let reserved = self.reserved();
        if self.range.lead() != 0 || len > reserved {
            return Err(refuse(
                ErrorKind::TooLarge,
                format!("{len} bytes where {reserved} are reserved; map it again, or reserve more"),
            ));
        }
        // It would not come back.
        self.believe("grow the view of")?;
        let context = |error| self.section.with_context("grow the view of", error);
        let size = Imp::size(&self.section.sys).map_err(context)?;
        if self.offset.checked_add(len as u64).is_none_or(|end| end > size) {
            return Err(refuse(
                ErrorKind::OutOfRange,
                format!(
                    "{len} bytes from byte {} of a section of {size}; grow the section first",
                    self.offset
                ),
            ));
        }
        Imp::extend(&self.section.sys, &self.mapping, len).map_err(context)?;
        // SAFETY: the system has made as many bytes reachable, to the end of their last page and
        // with the view's access (contract of `Platform::extend`); `lead` is 0.
        unsafe { self.range.reach(len) };
        Ok(())
    }

    /// Where in the section the range begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What it may do.
    pub fn access(&self) -> Access {
        self.range.access()
    }

    /// Address of the first byte in this process, for those who hand it to foreign code.
    pub fn as_ptr(&self) -> *mut u8 {
        self.range.as_ptr()
    }

    /// The range as bytes.
    ///
    /// # Safety
    /// For as long as the slice lives no process writes to the range, and the file behind it, if
    /// any, is not made shorter.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is readable over `lead + len` bytes for as long as `self` lives
        // (contract of `Platform::map` and `extend`; `len` never falls), u8 has no alignment and no invalid values, and the caller
        // promises that nothing writes to it or unmaps its backing meanwhile.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// `count` words from byte `at` of the range; `None` where they do not lie within it, or where
    /// `at` is not a multiple of 8 in the section.
    #[inline]
    pub fn words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.range.words(at, count)
    }

    /// As [`words`](Self::words), to write too; `None` also where the view is for reading.
    #[inline]
    pub fn words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.range.words_mut(at, count)
    }

    /// As [`words`](Self::words), by two comparisons; `None` for any range where the view does not
    /// begin at a multiple of [`granularity`](crate::machine::granularity) in the section.
    #[inline]
    pub fn plain_words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.range.plain_words(at, count)
    }

    /// As [`plain_words`](Self::plain_words), to write too.
    #[inline]
    pub fn plain_words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.range.plain_words_mut(at, count)
    }

    /// What its lock words are found by.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn range(&self) -> &MappedRange {
        &self.range
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
        let byte = (self.offset - self.range.lead() as u64).saturating_add(loss.at as u64);
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
        let whole = self.range.bound();
        match at.checked_add(len) {
            Some(end) if end <= whole => Ok(at + self.range.lead()),
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
        words::copy_out(self.range.all(), skip, into);
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
        if self.range.access() == Access::Read {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "write to",
                self.section.options.describe(),
            )
            .detail("the view is for reading; map it with Access::ReadWrite"));
        }
        let skip = self.bounds("write to", at, from.len())?;
        words::copy_in(self.range.all(), skip, from);
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
        Imp::sync(&self.section.sys).map_err(|error| self.section.with_context("flush", error))
    }

    fn flushed(&self, range: Range<usize>, wait: bool) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        let first = self.bounds("flush", range.start, len)?;
        let flushed = Imp::flush(&self.section.sys, &self.mapping, first, len, wait);
        // First: what was flushed, or failed to be, was not the file's.
        self.believe("flush")?;
        flushed.map_err(|error| self.section.with_context("flush", error))
    }

    /// Unmaps the range and reports what the system says. Dropping a view unmaps it in silence.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    pub fn close(self) -> Result<()> {
        let Self { mapping, section, .. } = self;
        let unmapped = Imp::unmap(mapping);
        unmapped.map_err(|error| section.with_context("unmap", error))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("section", &self.section)
            .field("offset", &self.offset)
            .field("len", &self.len())
            .field("reserved", &self.reserved())
            .field("access", &self.access())
            .finish_non_exhaustive()
    }
}
