//! A view: a range of a section, mapped into this process.

use crate::{
    error::{Error, ErrorKind, Result},
    memory::{
        addresses::Addresses,
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

/// Options to map a range of a section; from [`Section::view`](crate::Section::view).
///
/// ```
/// use mapvar_os::{Access, Section};
///
/// let section = Section::options().size(4096).create()?;
/// let view = section.view().offset(100).len(50).access(Access::Read).map()?;
/// assert_eq!((view.offset(), view.len()), (100, 50));
/// # Ok::<(), mapvar_os::Error>(())
/// ```
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

    /// Sets the first byte of the range. The default is 0.
    ///
    /// Any offset is valid. The mapping itself begins at the multiple of the system's
    /// [`granularity`](crate::machine::granularity) at or before it.
    pub fn offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// Sets the length of the range in bytes. By default the range ends with the section.
    pub fn len(mut self, bytes: u64) -> Self {
        self.len = Some(bytes);
        self
    }

    /// Reserves address space, so that [`View::grow`] can extend the view to `bytes` without moving
    /// it.
    ///
    /// The range must begin at a multiple of [`granularity`](crate::machine::granularity). The
    /// reservation consumes no memory. If that much address space is not available, the view
    /// reserves less and does not fail; [`View::reserved`] returns the reserved length.
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// Sets the access of the view.
    ///
    /// The default is [`Access::ReadWrite`] if the section's protection is writable, and
    /// [`Access::Read`] otherwise.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets whether code in the range may be executed. The section's protection must permit it.
    pub fn execute(mut self, execute: bool) -> Self {
        self.execute = execute;
        self
    }

    /// Sets the address of the mapping, a multiple of the system's granularity.
    ///
    /// By default the system chooses the address. If the system cannot map at `address`,
    /// [`map`](Self::map) fails; it never replaces an existing mapping.
    pub fn base_address(mut self, address: usize) -> Self {
        self.base_address = address;
        self
    }

    /// Maps the range.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if the range does not lie within the section;
    /// [`ErrorKind::InvalidArgument`] for an empty range or a misaligned base address;
    /// [`ErrorKind::ReadOnly`] or [`ErrorKind::PermissionDenied`] if the section's protection does
    /// not permit the access; [`ErrorKind::NoSpace`] if there is not enough address space.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub fn map(self) -> Result<View> {
        let Self { section, offset, len, reserve, access, execute, base_address } = self;
        let refuse = |kind, detail: String| {
            Error::new(kind, "map a view of", section.options.describe()).detail(detail)
        };
        let size = section.size()?;
        let len = len.unwrap_or(size.saturating_sub(offset));
        let within = offset.checked_add(len).is_some_and(|end| end <= size);
        if len == 0 && within {
            let detail = if size == 0 {
                "it has 0 bytes, which no view can show; grow it, or create it anew with a size"
            } else {
                "an empty range, which no view can show; give at least 1 byte"
            };
            return Err(refuse(ErrorKind::InvalidArgument, detail.into()));
        }
        if !within {
            return Err(refuse(
                ErrorKind::OutOfRange,
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
        // No object exceeds `isize::MAX` bytes; a 32-bit system may offer more addresses.
        let most = isize::MAX.cast_unsigned();
        let mapped = usize::try_from(len + skip).ok().filter(|mapped| *mapped <= most);
        let mapped = mapped.ok_or_else(too_large)?;
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
        // both the mapping and the range, and lends the range by reference only.
        let range = unsafe { MappedRange::new(Imp::address(&mapping), skip as usize, access) };
        // SAFETY: `spec.len`, which is `lead + len`, bytes were mapped to the end of their last
        // page, with this access (contract of `Platform::map`).
        unsafe { range.reach(len as usize) };
        let addresses = Addresses::count(Imp::reserved(&mapping));
        Ok(View { mapping, range, section: section.clone(), offset, _addresses: addresses })
    }
}

/// A range of a section, mapped into this process.
///
/// `Send` and `Sync`: all access to the memory is by atomic words, or by copies with the same
/// guarantees.
///
/// ```
/// let section = mapvar_os::Section::options().size(4096).create()?;
/// let view = section.view().map()?;
/// view.write_at(10, b"hello")?;
///
/// let mut bytes = [0; 5];
/// view.read_at(10, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// assert!(view.lost().is_none());
/// # Ok::<(), mapvar_os::Error>(())
/// ```
pub struct View {
    // Dropped before `section`: the handle must outlive the mapping, since Windows removes a name
    // with the last handle.
    mapping: <Imp as Platform>::Mapping,
    section: Arc<Shared>,
    /// The reachable part of the mapping.
    range: MappedRange,
    /// First byte of the range in the section.
    offset: u64,
    _addresses: Addresses,
}

impl View {
    /// Returns the length of the range in bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "no view is empty")]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Returns the length in bytes to which the view can [`grow`](Self::grow).
    ///
    /// It is the [reserved](ViewOptions::reserve) length, or less if the system had less address
    /// space. Without a reservation it is the length of the view, or slightly more.
    #[doc(hidden)]
    pub fn reserved(&self) -> usize {
        Imp::reserved(&self.mapping).saturating_sub(self.range.lead()).max(self.len())
    }

    /// Extends the view to `len` bytes, without moving it.
    ///
    /// Other threads may use the view meanwhile, and several threads may call this at once. The
    /// section must be long enough already; this or another process calls
    /// [`Section::grow`](crate::Section::grow) first. The call never shortens the view.
    ///
    /// # Errors
    /// The view keeps its length.
    ///
    /// * [`ErrorKind::TooLarge`] beyond the [reserved](Self::reserved) length: map a new view.
    /// * [`ErrorKind::OutOfRange`] beyond the end of the section.
    /// * [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] for errors of the system.
    /// * The error of a view that is [lost](Self::lost).
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
        // A lost view stays lost, even if the file is long enough again.
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
        // SAFETY: the system has made `len` bytes accessible, to the end of their last page and
        // with the view's access (contract of `Platform::extend`); `lead` is 0.
        unsafe { self.range.reach(len) };
        Ok(())
    }

    /// Tells the system that the pages of this part of the view are read and written singly and in
    /// no order, so that it neither reads others ahead nor writes them along (Linux; elsewhere it
    /// has no effect).
    #[doc(hidden)]
    pub fn scatter(&self, range: Range<usize>) {
        let lead = self.range.lead();
        if range.end <= self.len() {
            Imp::scatter(&self.mapping, lead + range.start, lead + range.end);
        }
    }

    /// Returns the offset of the range in the section.
    #[doc(hidden)]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the access of the view.
    pub fn access(&self) -> Access {
        self.range.access()
    }

    /// Returns the address of the first byte in this process, to pass it to foreign code.
    pub fn as_ptr(&self) -> *mut u8 {
        self.range.as_ptr()
    }

    /// Returns the range as a slice of bytes.
    ///
    /// # Safety
    /// As long as the slice lives, no process writes to the range, and the file behind it, if any,
    /// is not truncated.
    #[allow(unsafe_code, reason = "crates/os is where unsafe lives")]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is readable over `lead + len` bytes as long as `self` lives (contract
        // of `Platform::map` and `extend`; `len` never falls). `u8` has no alignment and no invalid
        // values. The caller promises that no process writes to it or truncates its file meanwhile.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// Returns `count` words from byte `at` of the range on.
    ///
    /// Returns `None` if they do not lie within the range, or if their offset in the section is not
    /// a multiple of 8.
    #[inline]
    pub fn words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.range.words(at, count)
    }

    /// As [`words`](Self::words), but writable; also `None` if the view is read-only.
    #[inline]
    pub fn words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.range.words_mut(at, count)
    }

    /// As [`words`](Self::words), but cheaper: it costs two comparisons.
    ///
    /// Always returns `None` if the offset of the view in the section is not a multiple of
    /// [`granularity`](crate::machine::granularity).
    #[doc(hidden)]
    #[inline]
    pub fn plain_words(&self, at: usize, count: usize) -> Option<Words<'_>> {
        self.range.plain_words(at, count)
    }

    /// Returns all words of [`plain_words`](Self::plain_words), as many as are reachable now.
    #[doc(hidden)]
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub fn all_plain_words(&self) -> Words<'_> {
        self.range.all_plain_words()
    }

    /// As [`plain_words`](Self::plain_words), but writable; also `None` if the view is read-only.
    #[doc(hidden)]
    #[inline]
    pub fn plain_words_mut(&self, at: usize, count: usize) -> Option<WordsMut<'_>> {
        self.range.plain_words_mut(at, count)
    }

    /// Returns the range in which the locks find their words.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as a read")]
    #[inline(always)]
    pub(crate) fn range(&self) -> &MappedRange {
        &self.range
    }

    /// Returns the error of a lost mapping; `None` as long as no memory of the view is lost.
    ///
    /// The kind is [`Truncated`](ErrorKind::Truncated) if the file was truncated, and
    /// [`Io`](ErrorKind::Io) if the system could not read or store a page (disk full, read error,
    /// lost share). A lost view stays lost. All reads and writes through the view since the loss
    /// are invalid. See [`faults`](crate::faults).
    pub fn lost(&self) -> Option<Error> {
        if self.is_lost() { self.loss("use") } else { None }
    }

    /// Returns whether the view is [lost](Self::lost). It costs one load.
    ///
    /// After copies and loads the caller needs a `fence(Acquire)` before this call, as for
    /// [`is_epoch`](crate::machine::is_epoch).
    #[doc(hidden)]
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
                    "the system could not read or write byte {byte} (full or failing disk, lost \
                     share); free some space or repair it, and open it again"
                ),
            ),
        };
        Some(Error::new(kind, operation, self.section.options.describe()).detail(detail))
    }

    /// Fails if the view is lost. The end of an operation calls this to validate the operation.
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

    /// Copies `into.len()` bytes from byte `at` of the range to `into`.
    ///
    /// If another process writes meanwhile, each byte has either its old or its new value.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`], and nothing is copied. [`ErrorKind::Truncated`] and
    /// [`ErrorKind::Io`] if the view is [lost](Self::lost); the content of `into` is then
    /// unspecified.
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> Result<()> {
        let skip = self.bounds("read from", at, into.len())?;
        words::copy_out(self.range.all(), skip, into);
        // If another thread faulted, its handler set the mark before it replaced the page. With
        // this fence, a copy that read replaced memory is followed by a load that sees the mark.
        fence(Ordering::Acquire);
        self.believe("read from")
    }

    /// Copies `from` to byte `at` of the range.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] and [`ErrorKind::ReadOnly`], and nothing is written.
    /// [`ErrorKind::Truncated`] and [`ErrorKind::Io`] if the view is [lost](Self::lost).
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
        // As in `read_at`; SeqCst, since otherwise the load of the mark could overtake the stores.
        fence(Ordering::SeqCst);
        self.believe("write to")
    }

    /// Returns the first `len` bytes of the range, as [`write_string`](Self::write_string) wrote
    /// them.
    ///
    /// The result is raw bytes, which may contain zeros.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`]; the error of a view that is [lost](Self::lost).
    pub fn read_string(&self, len: usize) -> Result<Vec<u8>> {
        self.bounds("read from", 0, len)?;
        let mut bytes = vec![0; len];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes `bytes` at the start of the range, with no terminator and no length.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if they do not fit, and nothing is written;
    /// [`ErrorKind::ReadOnly`]; the error of a view that is [lost](Self::lost).
    pub fn write_string(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.write_at(0, bytes.as_ref())
    }

    /// Writes a range to the file (`FlushViewOfFile`, `msync`).
    ///
    /// Not every system waits for the device; [`flush_durable`](Self::flush_durable) does. Without
    /// a file the call has no effect.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`]; [`ErrorKind::Io`] with the system's code; the error of a view
    /// that is [lost](Self::lost).
    pub fn flush(&self, range: Range<usize>) -> Result<()> {
        self.flushed(range, true)
    }

    /// Writes a range to the file and waits until the device has stored it.
    ///
    /// It combines [`flush`](Self::flush) and [`sync`](Self::sync).
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush). After [`ErrorKind::Io`] any part of the range may have
    /// reached the device.
    pub fn flush_durable(&self, range: Range<usize>) -> Result<()> {
        self.flush(range)?;
        self.sync()
    }

    /// Starts writing a range to the file, without waiting (`FlushViewOfFile`, `msync(MS_ASYNC)`).
    ///
    /// For many ranges: call it for each of them, and then [`sync`](Self::sync) once.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    #[doc(hidden)]
    pub fn flush_start(&self, range: Range<usize>) -> Result<()> {
        self.flushed(range, false)
    }

    /// Waits until the device has stored all flushed ranges of the file, and its size
    /// (`FlushFileBuffers`, `fdatasync`, or `F_FULLFSYNC`).
    ///
    /// It covers ranges that were flushed through any view. Without a file the call has no effect.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; any part of the flushed ranges may have reached the device.
    #[doc(hidden)]
    pub fn sync(&self) -> Result<()> {
        Imp::sync(&self.section.sys).map_err(|error| self.section.with_context("flush", error))
    }

    fn flushed(&self, range: Range<usize>, wait: bool) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        let first = self.bounds("flush", range.start, len)?;
        let flushed = Imp::flush(&self.section.sys, &self.mapping, first, len, wait);
        // Before the error of the flush: the pages of a lost view do not belong to the file, so
        // neither the success nor the failure of the flush says anything about the file.
        self.believe("flush")?;
        flushed.map_err(|error| self.section.with_context("flush", error))
    }

    /// Unmaps the range and reports errors, unlike a drop.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code. On Linux also [`ErrorKind::InvalidArgument`] if a
    /// thread of this process owns a lock in the view. The range then stays mapped until that
    /// thread has released the lock or ended, since the kernel writes to the lock word if the
    /// thread ends.
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
