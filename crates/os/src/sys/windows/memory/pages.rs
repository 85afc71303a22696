//! Pages of a section at addresses of this process. Each piece is one view of Windows; more
//! addresses are reserved for further pieces.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    super::{
        cvt::{is, last, with_remedy},
        machine,
    },
    faults, placeholder,
};
use crate::{
    error::{Error, ErrorKind, Result},
    memory::registry::{self, Losses, Registered},
};
use std::{
    fs::File,
    mem::ManuallyDrop,
    os::windows::io::{AsRawHandle, BorrowedHandle},
    ptr::{NonNull, without_provenance},
};
use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_ADDRESS, ERROR_INVALID_PARAMETER},
    System::Memory::{
        FILE_MAP_READ, MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, MEMORY_BASIC_INFORMATION,
        MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFileEx, PAGE_NOACCESS, UnmapViewOfFile, VirtualAlloc,
        VirtualFree, VirtualQuery,
    },
};

/// A constant that is not in windows-sys.
const MEM_TOP_DOWN: u32 = 0x0010_0000;

#[cfg(test)]
thread_local! {
    /// The action of a test in the moment in which the addresses behind a view are free (where
    /// there are no placeholders). Its argument is the first of these addresses.
    pub(crate) static BETWEEN: std::cell::Cell<fn(usize)> = const { std::cell::Cell::new(|_| {}) };
}

/// One view of Windows, unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) address: NonNull<u8>,
    pub(crate) len: usize,
    /// Whether it has replaced a placeholder.
    placed: bool,
    /// Dropped by `end`, before it unmaps. `None` for a view that is only queried.
    registered: Option<Registered>,
}

impl Piece {
    pub(crate) fn map(
        section: BorrowedHandle<'_>,
        access: u32,
        offset: u64,
        len: usize,
        base_address: usize,
    ) -> Result<Self> {
        // SAFETY: the handle is open for as long as it is borrowed. A base address that is not null
        // is only a wish: if anything is mapped there already, the call fails.
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

    /// Commits the pages in which `len` bytes lie, where the section has only reserved them, and
    /// checks that no byte is missing.
    ///
    /// Without it a read or write of a page that no process has committed would end the process.
    pub(crate) fn commit(&self, len: usize) -> Result<()> {
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
                // SAFETY: the run lies in this view, which is mapped for as long as `self`.
                // Committing reserved pages of a section changes no memory that is in use. If
                // another thread or process was faster, it changes nothing.
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

    /// Registers the piece with the handler of faults, before any code accesses it. Returns the
    /// losses of the whole view: `losses`, or its own if it is the first piece.
    pub(crate) fn register(
        &mut self,
        file: Option<&File>,
        access: u32,
        offset: u64,
        losses: Option<Losses>,
    ) -> Losses {
        let (page, _) = machine::sizes();
        let piece = registry::Piece {
            address: self.address.as_ptr().expose_provenance(),
            // Whole pages: the last one may be accessed up to its end.
            len: self.len.next_multiple_of(page),
            page,
            protection: faults::protection(access),
            file: file.map_or(0, |file| file.as_raw_handle().addr()),
            offset,
            kept: self.placed,
        };
        let registered = faults::register(&piece, losses);
        let own = registered.losses();
        self.registered = Some(registered);
        losses.unwrap_or(own)
    }

    pub(crate) fn unmap(self) -> Result<()> {
        ManuallyDrop::new(self).end()
    }

    /// Unmaps the view. The caller calls it once: in `drop`, or instead of it.
    fn end(&mut self) -> Result<()> {
        let registered = self.registered.take();
        let replaced = registered.as_ref().is_some_and(Registered::is_replaced);
        // Dropped before other code can get the addresses.
        drop(registered);
        let done = if replaced {
            // SAFETY: `faults` has put memory in the place of the view, at its first address. This
            // value owns that memory and releases it now.
            unsafe { VirtualFree(self.address.as_ptr().cast(), 0, MEM_RELEASE) }
        } else {
            // SAFETY: the view is mapped and owned by this value alone, which gives it up. No
            // borrow of it is left.
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

/// Reserved addresses, at which Windows maps nothing. They are released when this value is dropped.
#[derive(Debug)]
pub(crate) struct Addresses {
    address: NonNull<u8>,
    pub(crate) len: usize,
    /// Whether views can replace them without a moment in which they are free.
    placeholder: bool,
}

impl Addresses {
    /// Reserves `len` addresses from `base` on, a multiple of the granularity; anywhere if `base`
    /// is 0.
    pub(crate) fn take(base: usize, len: usize, placeholder: bool) -> Result<Self> {
        if placeholder && let Some(address) = placeholder::reserve(base, len) {
            return Ok(Self { address, len, placeholder });
        }
        // At the upper end: Windows searches for other memory from below. So no other code gets
        // these addresses while they are free, as long as there are any others.
        let kind = MEM_RESERVE | if base == 0 { MEM_TOP_DOWN } else { 0 };
        // SAFETY: reserving addresses accesses no memory, and addresses that are in use are
        // refused.
        let address = unsafe { VirtualAlloc(without_provenance(base), len, kind, PAGE_NOACCESS) };
        match NonNull::new(address.cast()) {
            Some(address) => Ok(Self { address, len, placeholder: false }),
            None => Err(last()),
        }
    }

    /// Maps `len` bytes of a section at the first of these addresses. Also returns the remaining
    /// addresses; after a failure these are all, if they can be reserved again.
    pub(crate) fn fill(
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
        // These addresses are free until they are reserved again, and another thread may get some
        // of them. Then the call fails, or fewer are left.
        drop(self);
        #[cfg(test)]
        BETWEEN.get()(at);
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
                // The placeholder does not exist any more: the view has replaced it.
                std::mem::forget(self);
                (Ok(Piece { address, len, placed: true, registered: None }), rest)
            }
            Err(error) if whole == self.len => (Err(error), Some(self)),
            Err(error) => match placeholder::join(self.address, self.len) {
                Ok(()) => (Err(error), Some(self)),
                // The placeholders stay two: both are released.
                Err(_) => {
                    drop(self.behind(whole));
                    (Err(error), None)
                }
            },
        }
    }

    /// Returns the addresses that were split off behind the first `len`. The caller calls it once.
    fn behind(&self, len: usize) -> Option<Self> {
        let address = NonNull::new(self.address.as_ptr().wrapping_add(len))?;
        // Not `then_some`: it would make the value in any case, and dropping it would release
        // addresses that belong to other code.
        (len < self.len).then(|| Self { address, len: self.len - len, placeholder: true })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: this value alone owns the reservation, which begins here (`take`, `replace`), and
        // nothing in it was ever committed or mapped.
        unsafe { VirtualFree(self.address.as_ptr().cast(), 0, MEM_RELEASE) };
    }
}

/// Returns a better error for a failure to map than the code alone gives.
fn explain(error: Error, base_address: usize) -> Error {
    if is(&error, ERROR_ACCESS_DENIED) {
        return with_remedy(
            &error,
            ErrorKind::PermissionDenied,
            "the section does not allow this access, or is smaller; map it for reading, or open it \
             with another protection",
        );
    }
    if is(&error, ERROR_INVALID_PARAMETER) && base_address != 0 {
        return with_remedy(
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
    // SAFETY: the call reads no memory at `at`, and accepts any address. The out pointer leads to
    // as many bytes as the length says.
    if unsafe { VirtualQuery(at, &raw mut pages, len) } == 0 { Err(last()) } else { Ok(pages) }
}

/// Returns the size, in whole pages, of a section that denies the query, by mapping all of it for a
/// moment.
pub(crate) fn size_by_view(section: BorrowedHandle<'_>) -> Result<u64> {
    let piece = Piece::map(section, FILE_MAP_READ, 0, 0, 0)?;
    let base = piece.address.as_ptr().cast();
    let mut size = 0;
    // A section that is only reserved has several runs of pages. Each call advances, so the loop
    // ends.
    loop {
        let pages = query(piece.address.as_ptr().wrapping_add(size).cast_const().cast())?;
        if pages.AllocationBase != base || pages.RegionSize == 0 {
            return Ok(size as u64);
        }
        size += pages.RegionSize;
    }
}

/// Returns the file that a section maps, by its kernel name; `None` if the kernel does not report
/// it.
pub(crate) fn file_behind(section: BorrowedHandle<'_>) -> Option<Vec<u16>> {
    use windows_sys::Win32::System::{
        ProcessStatus::K32GetMappedFileNameW, Threading::GetCurrentProcess,
    };
    let piece = Piece::map(section, FILE_MAP_READ, 0, 1, 0).ok()?;
    let mut name = vec![0_u16; 32_768];
    // SAFETY: the call takes no argument.
    let process = unsafe { GetCurrentProcess() };
    let at = piece.address.as_ptr().cast_const().cast();
    // SAFETY: the address is in a view that is mapped until the end of this function. The out
    // pointer leads to as many characters as the length says.
    let len = unsafe { K32GetMappedFileNameW(process, at, name.as_mut_ptr(), name.len() as u32) };
    name.truncate(len as usize);
    (len != 0).then_some(name)
}

/// Returns whether a piece could not be mapped because its addresses are in use.
pub(crate) fn is_taken(error: &Error) -> bool {
    is(error, ERROR_INVALID_ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::{Addresses, query};
    use windows_sys::Win32::System::Memory::MEM_RESERVE;

    /// A reservation that a view fills completely has nothing behind it. The addresses there belong
    /// to other code, and a value of them must not be made even for a moment: its drop releases
    /// them.
    #[test]
    fn the_addresses_behind_a_reservation_are_not_touched() {
        let granule = super::machine::sizes().1;
        // Both parts are free once `whole` is released. Another thread may take them first; then
        // the next round tries elsewhere.
        let (own, foreign) = (0..100)
            .find_map(|_| {
                let whole = Addresses::take(0, 2 * granule, false).unwrap();
                let at = whole.address.as_ptr().addr();
                drop(whole);
                let own = Addresses::take(at, granule, false).ok()?;
                Some((own, Addresses::take(at + granule, granule, false).ok()?))
            })
            .unwrap();
        assert!(own.behind(granule).is_none());
        let pages = query(foreign.address.as_ptr().cast_const().cast()).unwrap();
        assert_eq!(pages.State, MEM_RESERVE, "the foreign addresses were released");
        assert_eq!(pages.AllocationBase, foreign.address.as_ptr().cast());
    }
}
