//! Views: mapping a range, unmapping it, and writing it to the file.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{is, last, retold},
    faults, machine,
    section::{Pages, Section},
};
use crate::{
    Access, Error, ErrorKind, Result,
    faults::{Piece, Registered},
    view::MapSpec,
};
use std::{
    mem::ManuallyDrop,
    os::windows::io::{AsRawHandle, BorrowedHandle},
    ptr::{NonNull, without_provenance},
    thread,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION},
    System::Memory::{
        FILE_MAP_COPY, FILE_MAP_EXECUTE, FILE_MAP_LARGE_PAGES, FILE_MAP_READ, FILE_MAP_WRITE,
        FlushViewOfFile, MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, MEMORY_BASIC_INFORMATION,
        MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFileEx, UnmapViewOfFile, VirtualAlloc, VirtualFree,
        VirtualQuery,
    },
};

/// A mapped range.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    /// Dropped by `end`, before it unmaps. `None` for a view that is only looked at from outside.
    registered: Option<Registered>,
}

// SAFETY: it is an address and the duty to unmap it, which any thread may do. The memory is reached
// only as the contract of `Platform` allows, by atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above; there is no method that changes it through a shared reference.
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
        let mut mapping = Self::map(
            section.object()?,
            access | execute | large,
            spec.offset,
            spec.len,
            spec.base_address,
        )?;
        mapping.commit(spec.len)?;
        let (page, _) = machine::sizes();
        mapping.registered = Some(Registered::new(&Piece {
            address: mapping.address.as_ptr().expose_provenance(),
            // Whole pages: the last one may be touched to its end.
            len: spec.len.next_multiple_of(page),
            page,
            protection: faults::protection(spec.access, spec.execute),
            file: section.file.as_ref().map_or(0, |file| file.as_raw_handle().addr()),
            offset: spec.offset,
        }));
        Ok(mapping)
    }

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
            Some(address) => Ok(Self { address, registered: None }),
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
                // SAFETY: the run lies in this view, which nobody else knows of yet; to commit
                // pages of a section that has reserved them changes no memory that is in use, and
                // where another process was quicker, nothing.
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

    pub(super) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    pub(super) fn registered(&self) -> Option<&Registered> {
        self.registered.as_ref()
    }

    pub(super) fn unmap(self) -> Result<()> {
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

    /// Starts writing `len` bytes from byte `first` on to the file.
    pub(super) fn flush(&self, first: usize, len: usize) -> Result<()> {
        if len == 0 {
            // Windows would take it for "all the rest".
            return Ok(());
        }
        let from = self.address.as_ptr().wrapping_add(first).cast_const().cast();
        for pause in 0..100 {
            // SAFETY: the range lies in this view (the common code checked it), which is mapped for
            // as long as `self`.
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

    fn view(&self) -> MEMORY_MAPPED_VIEW_ADDRESS {
        MEMORY_MAPPED_VIEW_ADDRESS { Value: self.address.as_ptr().cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.end();
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
    let mapping = Mapping::map(section, FILE_MAP_READ, 0, 0, 0)?;
    let base = mapping.address.as_ptr().cast();
    let mut size = 0;
    // A section that is reserved only has more than one run of pages; each call advances, so the
    // end comes.
    loop {
        let pages = query(mapping.address.as_ptr().wrapping_add(size).cast_const().cast())?;
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
    let mapping = Mapping::map(section, FILE_MAP_READ, 0, 1, 0).ok()?;
    let mut name = vec![0_u16; 32_768];
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    let at = mapping.address.as_ptr().cast_const().cast();
    // SAFETY: the address is in a view that is mapped until the end of this function; the place for
    // the answer is as long as is said.
    let len = unsafe { K32GetMappedFileNameW(process, at, name.as_mut_ptr(), name.len() as u32) };
    name.truncate(len as usize);
    (len != 0).then_some(name)
}
