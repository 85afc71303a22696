//! Views: mapping a range, unmapping it, and writing it to the file.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{is, last, retold},
    faults, grow, machine, placeholder,
    section::{Pages, Section},
};
use crate::{
    Access, Error, ErrorKind, Result,
    faults::{self as registry, Losses, Registered},
    view::MapSpec,
    words::Length,
};
use std::{
    mem::ManuallyDrop,
    os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle},
    ptr::{NonNull, without_provenance},
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_INVALID_ADDRESS, ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION,
    },
    System::Memory::{
        FILE_MAP_COPY, FILE_MAP_EXECUTE, FILE_MAP_LARGE_PAGES, FILE_MAP_READ, FILE_MAP_WRITE,
        FlushViewOfFile, MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, MEMORY_BASIC_INFORMATION,
        MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFileEx, PAGE_NOACCESS, UnmapViewOfFile, VirtualAlloc,
        VirtualFree, VirtualQuery,
    },
};

/// Not in windows-sys.
const MEM_TOP_DOWN: u32 = 0x0010_0000;

/// A mapped range: one piece, or several over a file that has grown, each of which begins where the
/// one before it ends; and behind them the addresses for more.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    offset: u64,
    access: u32,
    /// Of all pieces: the first one tells, which stays registered for as long as this lives.
    losses: Losses,
    /// How many bytes `extend` may be asked for.
    reserved: Length,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    /// Each begins where the one before it ends: at a multiple of the granularity, but for the end
    /// of the last where there is no `rest`.
    pieces: Vec<Piece>,
    /// Begins where the last piece ends.
    rest: Option<Addresses>,
}

// SAFETY: it is an address and the duty to unmap it, which any thread may do. The memory is reached
// only as the contract of `Platform` allows, by atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above; what changes through a shared reference is behind a mutex, and no piece is ever
// unmapped or moved before the whole is.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(section: &Section, spec: &MapSpec) -> Result<Self> {
        if section.pages == Pages::Image && spec.access != Access::Read {
            return Err(Error::new(ErrorKind::ReadOnly, "", "")
                .detail("an executable image is for reading; map it with Access::Read"));
        }
        let access = match spec.access {
            Access::Read => FILE_MAP_READ,
            Access::ReadWrite => FILE_MAP_WRITE,
            Access::CopyOnWrite => FILE_MAP_COPY,
        };
        let execute = if spec.execute { FILE_MAP_EXECUTE } else { 0 };
        let large = if section.pages == Pages::Large { FILE_MAP_LARGE_PAGES } else { 0 };
        let access = access | execute | large;
        let grows =
            spec.reserve > spec.len && matches!(section.pages, Pages::Plain | Pages::Reserved);
        let mut parts = match (&section.file, grows) {
            (Some(_), true) => behind_each_other(section, access, spec)?,
            (None, true) => at_once(section, access, spec)?.into(),
            _ => piece(section, access, spec, spec.len, spec.base_address)?.into(),
        };
        let Some(first) = parts.pieces.first_mut() else { return Err(no_object()) };
        first.commit(spec.len)?;
        let (address, losses) = (first.address, first.register(section, access, spec.offset, None));
        Ok(Self {
            address,
            offset: spec.offset,
            access,
            losses,
            reserved: Length::new(parts.reserved()),
            parts: Mutex::new(parts),
        })
    }

    #[inline]
    pub(super) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    #[inline]
    pub(super) fn losses(&self) -> Losses {
        self.losses
    }

    pub(super) fn reserved(&self) -> usize {
        // Relaxed: a number to ask with, and `extend` looks at the parts themselves.
        self.reserved.load(Ordering::Relaxed)
    }

    /// See [`crate::sys::Platform::extend`].
    pub(super) fn extend(&self, section: &Section, len: usize) -> Result<()> {
        let mut parts = self.parts();
        if len > parts.mapped() {
            let more = parts.more(section, self, len);
            self.reserved.store(parts.reserved(), Ordering::Relaxed);
            return more;
        }
        match parts.pieces.as_slice() {
            // Of a section that is reserved only there is one piece.
            [one] => one.commit(len),
            _ => Ok(()),
        }
    }

    pub(super) fn unmap(self) -> Result<()> {
        let mut parts = self.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.end()
    }

    /// Starts writing `len` bytes from byte `first` on to the file.
    pub(super) fn flush(&self, first: usize, len: usize) -> Result<()> {
        let mut begin = 0;
        let cut = |piece: &Piece| {
            let (from, end) = (first.max(begin), begin + piece.len);
            let to = first.saturating_add(len).min(end);
            begin = end;
            (from, to)
        };
        // Not kept over the calls, which wait for a disk: pieces stay where they are.
        let cuts = self.parts().pieces.iter().map(cut).collect::<Vec<_>>();
        for (from, to) in cuts {
            // Not where there is nothing: Windows would take it for "all the rest".
            if from < to {
                self.flush_cut(from, to - from)?;
            }
        }
        Ok(())
    }

    /// A range within one piece, not empty.
    fn flush_cut(&self, from: usize, len: usize) -> Result<()> {
        let from = self.address.as_ptr().wrapping_add(from).cast_const().cast();
        for pause in 0..100 {
            // SAFETY: the range lies in one piece, by `flush`, and pieces are mapped for as long as
            // `self`.
            if unsafe { FlushViewOfFile(from, len) } != 0 {
                return Ok(());
            }
            let error = last();
            // "The lazy writer has the range just now": documented to pass by itself.
            if !is(&error, ERROR_LOCK_VIOLATION) {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(pause.min(10)));
        }
        Err(Error::new(ErrorKind::Contended, "", "")
            .detail("the system was busy writing the same pages a hundred times; try again"))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // Nothing can panic half-way through a change.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Piece> for Parts {
    fn from(piece: Piece) -> Self {
        Self { pieces: vec![piece], rest: None }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Parts {
    /// Unmaps all pieces, the first one last: it tells of the losses of the others.
    fn end(&mut self) -> Result<()> {
        let mut ended = Ok(());
        while let Some(piece) = self.pieces.pop() {
            ended = piece.unmap().and(ended);
        }
        ended
    }

    fn mapped(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    fn reserved(&self) -> usize {
        self.mapped() + self.rest.as_ref().map_or(0, |rest| rest.len)
    }

    /// Maps the next piece, so that `len` bytes are mapped.
    fn more(&mut self, section: &Section, whole: &Mapping, len: usize) -> Result<()> {
        let Mapping { access, offset, losses, .. } = *whole;
        let gone = || {
            Error::new(ErrorKind::TooLarge, "", "").detail(
                "another part of this program has got the addresses behind the view; map it again",
            )
        };
        let (mapped, most) = (self.mapped(), self.reserved());
        // Lost since the common code looked.
        if len > most {
            return Err(gone());
        }
        let end = whole_granules(section, offset, len, most)?;
        let object = section.object(offset + end as u64)?;
        let Some(rest) = self.rest.take() else { return Err(gone()) };
        let (piece, left) =
            rest.fill(object.as_handle(), access, offset + mapped as u64, end - mapped);
        let next = piece.as_ref().map_or(mapped, |_| end);
        self.rest = left.filter(|_| next.is_multiple_of(machine::sizes().1));
        let mut piece = piece.map_err(|error| if is_taken(&error) { gone() } else { error })?;
        if let Err(error) = piece.commit(piece.len) {
            // What is kept would begin behind a hole.
            self.rest = None;
            return Err(error);
        }
        piece.register(section, access, offset + mapped as u64, Some(losses));
        self.pieces.push(piece);
        Ok(())
    }
}

/// One view of Windows', unmapped when it is dropped.
#[derive(Debug)]
struct Piece {
    address: NonNull<u8>,
    len: usize,
    /// Whether it has taken the place of a placeholder.
    placed: bool,
    /// Dropped by `end`, before it unmaps. `None` for one that is only looked at from outside.
    registered: Option<Registered>,
}

fn no_object() -> Error {
    Error::new(ErrorKind::Truncated, "", "").detail("there is nothing to map")
}

/// `len` bytes in one piece, at `base` unless that is 0.
fn piece(section: &Section, access: u32, spec: &MapSpec, len: usize, base: usize) -> Result<Piece> {
    let object = section.object(spec.offset.saturating_add(len as u64))?;
    Piece::map(object.as_handle(), access, spec.offset, len, base)
}

/// Memory in the page file, or a file that is known by its section only: its object never gets
/// larger, so that all that is there is mapped, and committed as it is needed.
fn at_once(section: &Section, access: u32, spec: &MapSpec) -> Result<Piece> {
    let there = section.size.saturating_sub(spec.offset);
    let there = usize::try_from(there).map_or(spec.reserve, |there| there.min(spec.reserve));
    let most = there.max(spec.len);
    piece(section, access, spec, most, spec.base_address)
        // Fewer addresses will do.
        .or_else(|_| piece(section, access, spec, spec.len, spec.base_address))
}

/// What there is of a file, and addresses behind it.
fn behind_each_other(section: &Section, access: u32, spec: &MapSpec) -> Result<Parts> {
    let granule = machine::sizes().1;
    let most = spec.reserve.checked_next_multiple_of(granule).unwrap_or(spec.reserve);
    let mapped = whole_granules(section, spec.offset, spec.len, most)?;
    let mut reserve = if mapped.is_multiple_of(granule) { most } else { mapped };
    let (mut refused, mut lost) = (false, 0);
    while reserve > mapped && lost < 10 {
        // What fails by a placeholder may do without.
        match Addresses::take(spec.base_address, reserve, lost == 0) {
            // So many that half of them were left would have been refused: others are to have
            // some, too.
            Ok(_) if refused => refused = false,
            Ok(all) => {
                let object = section.object(spec.offset + mapped as u64)?;
                if let (Ok(piece), rest @ Some(_)) =
                    all.fill(object.as_handle(), access, spec.offset, mapped)
                {
                    return Ok(Parts { pieces: vec![piece], rest });
                }
                // Another thread was quicker to use them: then elsewhere.
                lost += 1;
                continue;
            }
            Err(_) => refused = true,
        }
        let half = reserve / 2;
        reserve = mapped.max(half - half % granule);
    }
    piece(section, access, spec, mapped, spec.base_address).map(Parts::from)
}

/// How much of a file from `offset` on to map, where at least `least` bytes are wanted and `most`
/// can be had: all that there is, up to the end of a granule, since the next piece begins at one.
/// The file is made longer for that. Where that cannot be, less is mapped, or the piece is the last.
fn whole_granules(section: &Section, offset: u64, least: usize, most: usize) -> Result<usize> {
    let granule = machine::sizes().1;
    let size = section.size()?;
    let there = usize::try_from(size.saturating_sub(offset)).unwrap_or(most);
    let part = there % granule;
    if there >= most || part == 0 {
        return Ok(there.min(most).max(least));
    }
    if let (Some(file), true) = (&section.file, section.writes_file)
        && let Some(whole) = size.checked_next_multiple_of(granule as u64)
        && grow::file_to(section, file, section.options.timeout, whole).is_ok()
    {
        return Ok((there - part + granule).max(least));
    }
    let below = there - part;
    Ok(if below >= least { below } else { there.max(least) })
}

/// Gives memory to the first `size` bytes of a section that is reserved, for every process.
pub(super) fn commit(section: &Section, size: usize) -> Result<()> {
    // It stays when this view of it has gone.
    Piece::map(section.object(size as u64)?.as_handle(), FILE_MAP_WRITE, 0, size, 0)?.commit(size)
}

fn is_taken(error: &Error) -> bool {
    is(error, ERROR_INVALID_ADDRESS)
}

impl Piece {
    fn map(
        section: BorrowedHandle<'_>,
        access: u32,
        offset: u64,
        len: usize,
        base_address: usize,
    ) -> Result<Self> {
        // SAFETY: the handle is open for as long as it is borrowed. A base address that is not null
        // is only a wish: where anything is mapped already, the call fails.
        let view = unsafe {
            MapViewOfFileEx(
                section.as_raw_handle(),
                access,
                (offset >> 32) as u32,
                offset as u32,
                len,
                without_provenance(base_address),
            )
        };
        match NonNull::new(view.Value.cast()) {
            Some(address) => Ok(Self { address, len, placed: false, registered: None }),
            None => Err(explain(last(), base_address)),
        }
    }

    /// Looks at the pages that `len` bytes lie in: gives memory to those that the section has only
    /// reserved, and makes sure that no byte is missing.
    ///
    /// Without it a read or write of a page that nobody has committed would end the process.
    fn commit(&self, len: usize) -> Result<()> {
        let mut done = 0;
        while done < len {
            let at = self.address.as_ptr().wrapping_add(done).cast_const().cast();
            let pages = query(at)?;
            // The rest of this run of pages, from `at` on.
            let run = pages.RegionSize.min(len - done);
            if pages.AllocationBase != self.address.as_ptr().cast() || run == 0 {
                return Err(Error::new(ErrorKind::Truncated, "", "")
                    .detail(format!("the section ends after {done} of {len} bytes")));
            }
            if pages.State == MEM_RESERVE {
                // SAFETY: the run lies in this view, which is mapped for as long as `self`; to
                // commit pages of a section that has reserved them changes no memory that is in
                // use, and where another thread or process was quicker, nothing.
                let committed =
                    unsafe { VirtualAlloc(at, run, MEM_COMMIT, pages.AllocationProtect) };
                if committed.is_null() {
                    return Err(last());
                }
            }
            done += run;
        }
        Ok(())
    }

    /// Tells the guard against faults of it, before anybody may touch it. Answers what tells of the
    /// losses of the whole view: `losses`, or its own where it is the first piece.
    fn register(
        &mut self,
        section: &Section,
        access: u32,
        offset: u64,
        losses: Option<Losses>,
    ) -> Losses {
        let (page, _) = machine::sizes();
        let piece = registry::Piece {
            address: self.address.as_ptr().expose_provenance(),
            // Whole pages: the last one may be touched to its end.
            len: self.len.next_multiple_of(page),
            page,
            protection: faults::protection(access),
            file: section.file.as_ref().map_or(0, |file| file.as_raw_handle().addr()),
            offset,
            kept: self.placed,
        };
        let registered = match losses {
            None => Registered::new(&piece),
            Some(losses) => Registered::behind(losses, &piece),
        };
        let own = registered.losses();
        self.registered = Some(registered);
        losses.unwrap_or(own)
    }

    fn unmap(self) -> Result<()> {
        ManuallyDrop::new(self).end()
    }

    /// To be called once, by `drop` or instead of it.
    fn end(&mut self) -> Result<()> {
        let registered = self.registered.take();
        let replaced = registered.as_ref().is_some_and(Registered::is_replaced);
        // Before the addresses are another's.
        drop(registered);
        let done = if replaced {
            // SAFETY: `faults` has put memory in the place of the view, at its first address, which
            // is this value's to give back now.
            unsafe { VirtualFree(self.address.as_ptr().cast(), 0, MEM_RELEASE) }
        } else {
            // SAFETY: the view is mapped and owned by this value alone, which gives it up; whatever
            // was borrowed from it is gone.
            unsafe { UnmapViewOfFile(self.view()) }
        };
        if done == 0 { Err(last()) } else { Ok(()) }
    }

    fn view(&self) -> MEMORY_MAPPED_VIEW_ADDRESS {
        MEMORY_MAPPED_VIEW_ADDRESS { Value: self.address.as_ptr().cast() }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Addresses at which Windows puts nothing, released when this is dropped.
#[derive(Debug)]
struct Addresses {
    address: NonNull<u8>,
    len: usize,
    /// Whether views can take their place without a moment in between.
    placeholder: bool,
}

impl Addresses {
    /// `len` of them from `base` on, a multiple of the granularity; anywhere where that is 0.
    fn take(base: usize, len: usize, placeholder: bool) -> Result<Self> {
        if placeholder && let Some(address) = placeholder::reserve(base, len) {
            return Ok(Self { address, len, placeholder });
        }
        // At the upper end: memory for others is looked for from below, so that nobody is given
        // these addresses in the moments in which they are free, as long as there are any others.
        let kind = MEM_RESERVE | if base == 0 { MEM_TOP_DOWN } else { 0 };
        // SAFETY: to reserve addresses touches no memory; those that are in use are refused.
        let address = unsafe { VirtualAlloc(without_provenance(base), len, kind, PAGE_NOACCESS) };
        match NonNull::new(address.cast()) {
            Some(address) => Ok(Self { address, len, placeholder: false }),
            None => Err(last()),
        }
    }

    /// Maps `len` bytes of a section at the first of them. What is left of them is answered too:
    /// all, where it failed and they are still to be had.
    fn fill(
        self,
        section: BorrowedHandle<'_>,
        access: u32,
        offset: u64,
        len: usize,
    ) -> (Result<Piece>, Option<Self>) {
        if self.placeholder {
            return self.replace(section, access, offset, len);
        }
        let (at, most) = (self.address.as_ptr().addr(), self.len);
        // From here until they are taken again, these addresses are anybody's, and another thread
        // may get some: then the call fails, or less is left.
        drop(self);
        #[cfg(test)]
        super::tests::growth::between(at);
        let piece = Piece::map(section, access, offset, len, at);
        let next = piece.as_ref().map_or(0, |_| len);
        let left = (next < most).then(|| Self::take(at + next, most - next, false).ok());
        (piece, left.flatten())
    }

    fn replace(
        self,
        section: BorrowedHandle<'_>,
        access: u32,
        offset: u64,
        len: usize,
    ) -> (Result<Piece>, Option<Self>) {
        let whole = len.next_multiple_of(machine::sizes().0).min(self.len);
        if whole < self.len
            && let Err(error) = placeholder::split(self.address, whole)
        {
            return (Err(error), Some(self));
        }
        match placeholder::replace(section, access, offset, self.address, whole) {
            Ok(address) => {
                let rest = self.behind(whole);
                // It is no more: the view is in its place.
                std::mem::forget(self);
                (Ok(Piece { address, len, placed: true, registered: None }), rest)
            }
            Err(error) if whole == self.len => (Err(error), Some(self)),
            Err(error) => match placeholder::join(self.address, self.len) {
                Ok(()) => (Err(error), Some(self)),
                // Two of them, then: both are released.
                Err(_) => {
                    drop(self.behind(whole));
                    (Err(error), None)
                }
            },
        }
    }

    /// What was split off behind the first `len`; to be asked for once.
    fn behind(&self, len: usize) -> Option<Self> {
        let address = NonNull::new(self.address.as_ptr().wrapping_add(len))?;
        (len < self.len).then_some(Self { address, len: self.len - len, placeholder: true })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: this value alone owns the reservation, which begins here (`take`, `replace`), and
        // nothing in it was ever committed or mapped.
        unsafe { VirtualFree(self.address.as_ptr().cast(), 0, MEM_RELEASE) };
    }
}

/// What failing to map means beyond what the code says.
fn explain(error: Error, base_address: usize) -> Error {
    if is(&error, ERROR_ACCESS_DENIED) {
        return retold(
            &error,
            ErrorKind::PermissionDenied,
            "the section does not allow this access, or is smaller; map it for reading, or open it \
             with another protection",
        );
    }
    if is(&error, ERROR_INVALID_PARAMETER) && base_address != 0 {
        return retold(
            &error,
            ErrorKind::InvalidArgument,
            format!("nothing can be mapped at {base_address:#x}; choose another base address"),
        );
    }
    error
}

fn query(at: *const std::ffi::c_void) -> Result<MEMORY_BASIC_INFORMATION> {
    let mut pages = MEMORY_BASIC_INFORMATION::default();
    let len = size_of::<MEMORY_BASIC_INFORMATION>();
    // SAFETY: it reads no memory at `at`, any address may be asked about; the place for the answer
    // is as long as is said.
    if unsafe { VirtualQuery(at, &raw mut pages, len) } == 0 { Err(last()) } else { Ok(pages) }
}

/// The size of a section that does not let itself be asked, in whole pages: by mapping all of it
/// for a moment.
pub(super) fn size_by_view(section: BorrowedHandle<'_>) -> Result<u64> {
    let piece = Piece::map(section, FILE_MAP_READ, 0, 0, 0)?;
    let base = piece.address.as_ptr().cast();
    let mut size = 0;
    // A section that is reserved only has more than one run of pages; each call advances, so the
    // end comes.
    loop {
        let pages = query(piece.address.as_ptr().wrapping_add(size).cast_const().cast())?;
        if pages.AllocationBase != base || pages.RegionSize == 0 {
            return Ok(size as u64);
        }
        size += pages.RegionSize;
    }
}

/// The file that a section maps, as the kernel calls it; `None` where it does not tell.
pub(super) fn file_behind(section: BorrowedHandle<'_>) -> Option<Vec<u16>> {
    use windows_sys::Win32::System::{
        ProcessStatus::K32GetMappedFileNameW, Threading::GetCurrentProcess,
    };
    let piece = Piece::map(section, FILE_MAP_READ, 0, 1, 0).ok()?;
    let mut name = vec![0_u16; 32_768];
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    let at = piece.address.as_ptr().cast_const().cast();
    // SAFETY: the address is in a view that is mapped until the end of this function; the place for
    // the answer is as long as is said.
    let len = unsafe { K32GetMappedFileNameW(process, at, name.as_mut_ptr(), name.len() as u32) };
    name.truncate(len as usize);
    (len != 0).then_some(name)
}
