//! Ranges mapped into this process.

#![allow(unsafe_code, reason = "mapping memory")]

use super::{
    error::{cvt, refuse},
    faults, lock, machine,
    section::handle::Section,
};
use crate::{
    error::{Error, ErrorKind, Result},
    memory::registry::{Losses, Registered},
    options::Access,
    spec::MapSpec,
};
use rustix::{
    io::Errno,
    mm::{self, MapFlags, MsyncFlags, ProtFlags},
};
use std::{ffi::c_void, mem::ManuallyDrop, ptr::NonNull};

/// Owns `len` bytes of address space from `address` on, mapped until it is dropped. They may go
/// beyond the end of the section: those pages are a fault until it is longer.
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
        // In whole pages, of huge ones too: what is to be unmapped must be.
        let page = section.page().max(machine::page_size());
        let whole =
            |len: usize| len.checked_next_multiple_of(page).ok_or_else(|| cvt(Errno::NOMEM));
        let least = whole(spec.len)?;
        // A file of huge pages would be made as long as its mapping.
        let mut len =
            if section.page() == 0 { whole(spec.reserve).unwrap_or(least) } else { least };
        let mut refused = false;
        loop {
            let more = len > least;
            match Self::at(section, spec, protection, flags | lazily(more), len) {
                // So many addresses that half of them were left would have been refused (ulimit -v,
                // 32 bits): others are to have some, too.
                Ok(mapping) if more && refused => {
                    drop(mapping);
                    refused = false;
                }
                Err(_) if more => refused = true,
                done => return done,
            }
            len = whole(len / 2).unwrap_or(least).max(least);
        }
    }

    fn at(
        section: &Section,
        spec: &MapSpec,
        protection: ProtFlags,
        flags: MapFlags,
        len: usize,
    ) -> Result<Self> {
        let wanted = std::ptr::with_exposed_provenance_mut::<c_void>(spec.base_address);
        // SAFETY: without MAP_FIXED the system puts the mapping where nothing is mapped (an
        // address that is taken is refused, or another is chosen), so no memory of anybody's is
        // replaced; the descriptor is open for as long as it is borrowed.
        let address =
            unsafe { mm::mmap(wanted, len, protection, flags, section.fd(), spec.offset) }
                .map_err(|errno| explain(errno, spec))?;
        let Some(address) = NonNull::new(address.cast::<u8>()) else {
            return Err(cvt(Errno::NOMEM));
        };
        let page = section.page().max(machine::page_size());
        let registered =
            faults::register(section.fd(), spec.offset, address.addr(), len, page, protection);
        let mapping = Self { address, len, registered: ManuallyDrop::new(registered) };
        if spec.base_address != 0 && address.as_ptr().addr() != spec.base_address {
            // A system that took the address for a hint; dropping `mapping` unmaps it.
            return Err(explain(Errno::EXIST, spec));
        }
        Ok(mapping)
    }

    #[inline]
    pub(super) fn address(&self) -> NonNull<u8> {
        self.address
    }

    #[inline]
    pub(super) fn losses(&self) -> Losses {
        self.registered.losses()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `msync`, which takes whole pages. On Linux `MS_ASYNC` does nothing at all, and `MS_SYNC` is
    /// an `fsync` of the range each time: an `fdatasync` later writes what was written to the
    /// pages either way.
    pub(super) fn flush(&self, first: usize, len: usize, wait: bool) -> Result<()> {
        let end = first.checked_add(len).filter(|end| *end <= self.len);
        let (Some(end), true) = (end, len != 0) else { return Ok(()) };
        let start = first - first % machine::page_size();
        let address = self.address.as_ptr().wrapping_add(start).cast::<c_void>();
        let how = if wait { MsyncFlags::SYNC } else { MsyncFlags::ASYNC };
        // SAFETY: `start..end` lies within the mapping (checked above), which lives as long as
        // `self`; to write pages out changes nothing in them.
        unsafe { mm::msync(address, end - start, how) }.map_err(cvt)
    }

    pub(super) fn unmap(self) -> Result<()> {
        ManuallyDrop::new(self).end()
    }

    fn end(&mut self) -> Result<()> {
        let first = self.address.addr().get();
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
        unsafe { mm::munmap(self.address.as_ptr().cast(), self.len) }.map_err(cvt)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// No memory is set aside for pages of one's own that may never come.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn lazily(more: bool) -> MapFlags {
    if more { MapFlags::NORESERVE } else { MapFlags::empty() }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn lazily(_: bool) -> MapFlags {
    MapFlags::empty()
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

fn explain(errno: Errno, spec: &MapSpec) -> Error {
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
