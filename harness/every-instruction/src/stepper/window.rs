//! A view of a section's memory, for an outside observer.

#![allow(unsafe_code, reason = "a mapping, read while no process writes to it")]

use std::{fs::File, io, os::fd::AsRawFd};

/// The size to which a section of the harness may grow at most.
pub const MOST: usize = 16 << 20;

/// A view of a file, as long as the file is, even if it grows.
pub struct Window {
    address: *mut libc::c_void,
    file: File,
}

// SAFETY: the mapping is the value's own, and is only read.
unsafe impl Send for Window {}

impl Window {
    pub fn new(file: &File) -> Self {
        let file = file.try_clone().expect("duplicate a descriptor");
        // SAFETY: a new mapping, for reading, at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                MOST,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert!(address != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        Self { address, file }
    }

    /// Returns all of the file. Call it only while the writing process is stopped.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a struct of plain numbers, all zeros are one.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the struct, which lives across the call.
        let done = unsafe { libc::fstat(self.file.as_raw_fd(), &raw mut stat) };
        assert!(done == 0, "fstat: {}", io::Error::last_os_error());
        let len = usize::try_from(stat.st_size).unwrap_or(0).min(MOST);
        // SAFETY: the range lies within the mapping and the file. The writing process is stopped;
        // or the writer is this very thread, which writes only while it has no such slice.
        unsafe { std::slice::from_raw_parts(self.address.cast(), len) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.address, MOST) };
    }
}
