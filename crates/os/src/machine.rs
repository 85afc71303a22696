//! Facts about this machine and process, as far as shared memory needs them.

use crate::{
    error::Result,
    memory::epoch,
    sys::{Imp, Platform},
};
use std::time::Duration;

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

/// The name of the program that a process runs, where the system tells it to us.
pub fn program(pid: u32) -> Option<String> {
    Imp::program(pid)
}

/// Random bits of the operating system's.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it has none.
pub fn random() -> Result<[u64; 2]> {
    Imp::random()
}

/// Sleeps about that long, or less: a signal ends it, so whoever waits for something looks at the
/// clock. The standard library's sleep goes on with the rest of its time, which the system rounds
/// up: among signals that come faster than that it never ends, and Ruby sends such to a thread
/// that is to be interrupted.
pub fn nap(time: Duration) {
    Imp::nap(time);
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

/// Changes in a child process after `fork`, and in any process when a view is
/// [lost](crate::View::lost). What was checked under this value, each view that is used and
/// [`generation`], holds for as long as [`is_epoch`] says so.
pub fn epoch() -> u32 {
    // So that a fork changes it.
    generation();
    epoch::current()
}

/// Whether [`epoch`] still answers what it answered: one load and one comparison, for the end of
/// every operation.
///
/// Asked after loads and copies, with a `fence(Acquire)` between, or after an atomic
/// read-modify-write, it tells whether what they did may be believed. After plain stores it does so
/// on Linux and Windows, where the handler has all threads of the process catch up before it
/// replaces anything; elsewhere a `fence(SeqCst)` belongs between.
#[inline]
pub fn is_epoch(epoch: u32) -> bool {
    epoch::is_current(epoch)
}
