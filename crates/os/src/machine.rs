//! Facts about this machine and process, as far as shared memory needs them.

use crate::{
    Result,
    sys::{Imp, Platform},
};

/// Bytes of a page.
pub fn page_size() -> usize {
    Imp::page_size()
}

/// What the offset of a mapping must be a multiple of: 64 KiB on Windows, a page on Unix.
pub fn granularity() -> usize {
    Imp::granularity()
}

/// A value that changes with each start of the operating system, and is the same for all processes
/// in between. Never zero.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where the system does not tell.
pub fn boot_id() -> Result<[u64; 2]> {
    Imp::boot_id()
}

/// The namespace in which this process's ids mean something: the inode of its pid namespace on
/// Linux, 0 elsewhere.
pub fn pid_namespace() -> u64 {
    Imp::pid_namespace()
}

/// Random bits of the operating system's.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it has none.
pub fn random() -> Result<[u64; 2]> {
    Imp::random()
}

/// Changes in a child process after `fork`; the same value for ever in a process. What was opened
/// under another value belongs to the parent.
#[inline]
pub fn generation() -> u32 {
    Imp::generation()
}

/// Whether [`generation`] still answers what it answered, to this process or the one that it was
/// forked from. Quicker.
#[inline]
pub fn is_generation(generation: u32) -> bool {
    Imp::is_generation(generation)
}
