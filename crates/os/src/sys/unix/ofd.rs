//! Byte locks that belong to an open file (`F_OFD_SETLK`): the system takes them back when the last
//! descriptor of that open file is closed, in whatever way the process ends.
//!
//! Duplicates of a descriptor, also those that `fork` gives to a child, share the open file and so
//! the lock: an explicit unlock frees it for all of them, a `close` only when it is the last.
//! (The older record locks of POSIX are lost when *any* descriptor of the file is closed.)

#![allow(unsafe_code, reason = "rustix has no locks on bytes")]

use super::error::cvt;
use crate::Result;
use std::os::fd::BorrowedFd;

/// Held shared by each handle of a named section for as long as it lives.
pub(super) const LIFE: u64 = FAR;
/// Held by who attaches to a file, until it is done.
pub(super) const GATE: u64 = FAR + 1;
/// Held shared by who is attached to a file.
pub(super) const SEAT: u64 = FAR + 2;
/// Held by who makes a section longer.
pub(super) const GROWTH: u64 = FAR + 3;

/// Beyond the end of every file: ext4 ends at 2^44, xfs, btrfs and tmpfs at 2^63 - 1, and no
/// section has sixteen bytes less than that.
const FAR: u64 = (1 << 63) - 16;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Shared,
    /// Takes a descriptor that may write.
    Exclusive,
    Nothing,
}

/// Changes, without waiting, what this open file holds of a byte; false where another open file is
/// in the way, and then nothing has changed.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "illumos"
))]
pub(super) fn set(fd: BorrowedFd<'_>, byte: u64, hold: Hold) -> Result<bool> {
    use rustix::io::Errno;
    use std::os::fd::AsRawFd;

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    use libc::flock as Flock;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    use libc::flock64 as Flock;

    // SAFETY: the struct is made of integers, for which all zeros is a value. (Zeroed and not
    // written out, because some targets have padding fields in it.)
    let mut lock: Flock = unsafe { std::mem::zeroed() };
    lock.l_type = match hold {
        Hold::Shared => libc::F_RDLCK,
        Hold::Exclusive => libc::F_WRLCK,
        Hold::Nothing => libc::F_UNLCK,
    } as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte.cast_signed();
    lock.l_len = 1;
    loop {
        // SAFETY: the descriptor is open for as long as it is borrowed; the call reads a `flock`
        // through the pointer, which lives across it, and keeps no pointer.
        let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if done != -1 {
            return Ok(true);
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
            Errno::AGAIN | Errno::ACCESS => return Ok(false),
            Errno::INTR => {}
            errno => return Err(cvt(errno)),
        }
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "illumos"
)))]
pub(super) fn set(_: BorrowedFd<'_>, _: u64, _: Hold) -> Result<bool> {
    Err(cvt(rustix::io::Errno::OPNOTSUPP).detail(
        "this system has no locks that belong to an open file; use a file without attaching, or an anonymous section",
    ))
}
