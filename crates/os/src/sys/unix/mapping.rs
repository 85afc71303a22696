//! Ranges mapped into this process.

#![allow(unsafe_code, reason = "mapping memory")]

use super::{
    error::{cvt, refuse},
    faults, lock, machine,
    section::Section,
};
use crate::{Access, ErrorKind, Result, faults::Registered, view::MapSpec};
use rustix::{
    io::Errno,
    mm::{self, MapFlags, MsyncFlags, ProtFlags},
};
use std::{ffi::c_void, mem::ManuallyDrop, ptr::NonNull};

/// Owns `len` bytes of address space from `address` on, mapped until it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    len: usize,
    /// Dropped by `end`, before it unmaps.
    registered: ManuallyDrop<Registered>,
}

// SAFETY: it owns its range of addresses, which belong to the process and not to a thread; any
// thread may unmap it, and only the owner can.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference it only tells the address and asks the system to write pages
// out; it never reads or writes the memory itself.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(section: &Section, spec: &MapSpec) -> Result<Self> {
        let mut protection = ProtFlags::READ;
        if spec.access != Access::Read {
            protection |= ProtFlags::WRITE;
        }
        if spec.execute {
            protection |= ProtFlags::EXEC;
        }
        let mut flags = match spec.access {
            Access::CopyOnWrite => MapFlags::PRIVATE,
            Access::Read | Access::ReadWrite => MapFlags::SHARED,
        };
        if spec.base_address != 0 {
            flags |= exactly();
        }
        let wanted = std::ptr::with_exposed_provenance_mut::<c_void>(spec.base_address);
        // In whole pages, of huge ones too: what is to be unmapped must be.
        let page = section.page().max(machine::page_size());
        let len = spec.len.checked_next_multiple_of(page).ok_or_else(|| cvt(Errno::NOMEM))?;
        // SAFETY: without MAP_FIXED the system puts the mapping where nothing is mapped (an
        // address that is taken is refused, or another is chosen), so no memory of anybody's is
        // replaced; the descriptor is open for as long as it is borrowed.
        let address =
            unsafe { mm::mmap(wanted, len, protection, flags, section.fd(), spec.offset) }
                .map_err(|errno| told(errno, spec))?;
        let Some(address) = NonNull::new(address.cast::<u8>()) else {
            return Err(cvt(Errno::NOMEM));
        };
        let piece = faults::piece(section.fd(), spec.offset, address.addr(), len, page, protection);
        let registered = ManuallyDrop::new(Registered::new(&piece));
        let mapping = Self { address, len, registered };
        if spec.base_address != 0 && address.as_ptr().addr() != spec.base_address {
            // A system that took the address for a hint; dropping `mapping` unmaps it.
            return Err(told(Errno::EXIST, spec));
        }
        Ok(mapping)
    }

    #[inline]
    pub(super) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    #[inline]
    pub(super) fn registered(&self) -> &Registered {
        &self.registered
    }

    /// `msync` with `MS_SYNC`: on Linux `MS_ASYNC` does nothing at all. It takes whole pages.
    pub(super) fn flush(&self, first: usize, len: usize) -> Result<()> {
        let end = first.checked_add(len).filter(|end| *end <= self.len);
        let (Some(end), true) = (end, len != 0) else { return Ok(()) };
        let start = first - first % machine::page_size();
        let address = self.address().wrapping_add(start).cast::<c_void>();
        // SAFETY: `start..end` lies within the mapping (checked above), which lives as long as
        // `self`; to write pages out changes nothing in them.
        unsafe { mm::msync(address, end - start, MsyncFlags::SYNC) }.map_err(cvt)
    }

    pub(super) fn unmap(self) -> Result<()> {
        ManuallyDrop::new(self).end()
    }

    fn end(&mut self) -> Result<()> {
        let first = self.address().addr();
        if lock::is_held_within(first..first + self.len) {
            // The kernel is going to write to the word when the thread ends: it stays mapped, for
            // others to be told, and not to have it hit what comes to lie there.
            return Err(refuse(
                ErrorKind::InvalidArgument,
                "this thread holds a lock in it, so it stays mapped; unlock first",
            ));
        }
        // SAFETY: this runs once to its end (see below), and nobody looks at the field after it.
        unsafe { ManuallyDrop::drop(&mut self.registered) };
        // SAFETY: the range is this value's own (made in `new`), and no reference into it is left:
        // those that `View` hands out borrow the view, which owns this value. Called once: by
        // `drop`, or by `unmap`, which never drops.
        unsafe { mm::munmap(self.address().cast(), self.len) }.map_err(cvt)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The flag by which an address is met exactly, or refused if something is mapped there.
#[cfg(target_os = "linux")]
fn exactly() -> MapFlags {
    MapFlags::FIXED_NOREPLACE
}

#[cfg(not(target_os = "linux"))]
fn exactly() -> MapFlags {
    MapFlags::empty()
}

fn told(errno: Errno, spec: &MapSpec) -> crate::Error {
    match errno {
        Errno::EXIST => refuse(
            ErrorKind::InvalidArgument,
            format!(
                "something is mapped at base address {:#x}; choose another, or none",
                spec.base_address
            ),
        ),
        Errno::PERM if spec.execute => cvt(errno).detail(
            "its file system is mounted noexec; use a file on another, or an anonymous section",
        ),
        Errno::AGAIN => refuse(
            ErrorKind::NoSpace,
            "this process may not lock more memory; raise its limit (ulimit -l)",
        ),
        Errno::INVAL if spec.base_address != 0 => cvt(errno).detail(format!(
            "base address {:#x} cannot be used; choose another, or none",
            spec.base_address
        )),
        errno => cvt(errno),
    }
}
