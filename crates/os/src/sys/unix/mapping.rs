//! Ranges mapped into this process.

#![allow(unsafe_code, reason = "mapping memory")]

use super::{
    error::{cvt, of_flush, refuse, uninterrupted},
    faults, kept, lock, machine,
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

/// Owns `len` bytes of address space from `address` on, which stay mapped until it is dropped, and
/// beyond that as long as a thread owns a lock in them. They may extend beyond the end of the section: an access to those pages faults until the section
/// grows.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    len: usize,
    /// Dropped by `end`, before it unmaps.
    registered: ManuallyDrop<Registered>,
}

// SAFETY: the value owns its range of addresses, which belongs to the process and not to a thread.
// Any thread may unmap it, and only the owner can.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference the value only returns the address and asks the system to
// write pages out; it never reads or writes the memory itself.
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
        // The length is in whole pages, huge ones included: `munmap` refuses a part of a huge page.
        let page = section.page().max(machine::page_size());
        let whole =
            |len: usize| len.checked_next_multiple_of(page).ok_or_else(|| cvt(Errno::NOMEM));
        let least = whole(spec.len)?;
        // A section of huge pages reserves nothing: the kernel would make its file as long as the
        // mapping.
        let mut len =
            if section.page() == 0 { whole(spec.reserve).unwrap_or(least) } else { least };
        let mut refused = false;
        kept::unmap_those_that_are_free();
        loop {
            let more = len > least;
            match Self::at(section, spec, protection, flags | lazily(more), len) {
                // So many addresses that only half as many are left would have been refused (ulimit
                // -v, 32 bits). The mapping is halved once more, so that other mappings find
                // addresses too.
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
        // SAFETY: without MAP_FIXED the system places the mapping where nothing is mapped (it
        // refuses an address that is taken, or chooses another), so no other memory is replaced.
        // The descriptor is open for as long as it is borrowed.
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
            // This system took the address for a hint; dropping `mapping` unmaps it.
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

    /// Calls `msync`, which takes whole pages. On Linux `MS_ASYNC` does nothing at all, and
    /// `MS_SYNC` is an `fsync` of the range each time. A later `fdatasync` writes the changed pages
    /// either way.
    pub(super) fn flush(&self, first: usize, len: usize, wait: bool) -> Result<()> {
        let end = first.checked_add(len).filter(|end| *end <= self.len);
        let (Some(end), true) = (end, len != 0) else { return Ok(()) };
        let start = first - first % machine::page_size();
        let address = self.address.as_ptr().wrapping_add(start).cast::<c_void>();
        let how = if wait { MsyncFlags::SYNC } else { MsyncFlags::ASYNC };
        // SAFETY: `start..end` lies within the mapping (checked above), which lives as long as
        // `self`. Writing pages out changes nothing in them.
        uninterrupted(|| unsafe { mm::msync(address, end - start, how) }).map_err(of_flush)
    }

    /// Says that pages are used singly. Otherwise the kernel caches new ones in groups of up to two
    /// megabytes (large folios), and one changed page brings its whole group to the disk.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn scatter(&self, from: usize, to: usize) {
        let from = from - from % machine::page_size();
        if from >= to || to > self.len {
            return;
        }
        let address = self.address.as_ptr().wrapping_add(from).cast::<c_void>();
        // SAFETY: `from..to` lies within the mapping (just checked), which lives as long as `self`.
        // The advice changes no content and no access, only what is read ahead.
        let _ = unsafe { mm::madvise(address, to - from, mm::Advice::Random) };
    }

    pub(super) fn unmap(self) -> Result<()> {
        ManuallyDrop::new(self).end()
    }

    fn end(&mut self) -> Result<()> {
        // SAFETY: this runs to its end only once (see below), and no code uses the field after it.
        unsafe { ManuallyDrop::drop(&mut self.registered) };
        let first = self.address.addr().get();
        if lock::is_held_within(&(first..first + self.len)) {
            // The kernel writes to the lock word when the thread ends. The memory stays mapped, so
            // that waiters see the death, and the write cannot hit other memory that is mapped
            // there later.
            // SAFETY: the range is this value's own, as below, and this function does not unmap it.
            unsafe { kept::keep(self.address, self.len) };
            return Err(refuse(
                ErrorKind::InvalidArgument,
                "a thread of this process holds a lock in it, so it stays mapped until that thread \
                 has unlocked it or ended; unlock first",
            ));
        }
        // SAFETY: the range is this value's own (made in `new`), and no reference into it is left:
        // the references that `View` hands out borrow the view, which owns this value. Called once:
        // by `drop`, or by `unmap`, which never drops.
        let unmapped = unsafe { mm::munmap(self.address.as_ptr().cast(), self.len) }.map_err(cvt);
        kept::unmap_those_that_are_free();
        unmapped
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The system sets no memory aside for private pages that may never be used.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn lazily(more: bool) -> MapFlags {
    if more { MapFlags::NORESERVE } else { MapFlags::empty() }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn lazily(_: bool) -> MapFlags {
    MapFlags::empty()
}

/// Returns the flag with which the mapping begins exactly at the address, or the call fails if
/// something is mapped there.
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
