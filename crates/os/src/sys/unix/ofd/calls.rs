//! The calls, where the system has them.

#![allow(unsafe_code, reason = "rustix has no locks on bytes")]

use super::{super::error::cvt, hold::Hold};
use crate::error::Result;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use libc::flock as Flock;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::flock64 as Flock;

/// Changes, without waiting, what this open file holds of a byte; false where another open file is
/// in the way, and then nothing has changed.
pub(crate) fn set(fd: BorrowedFd<'_>, byte: u64, hold: Hold) -> Result<bool> {
    let lock = about(byte, hold);
    loop {
        // SAFETY: the descriptor is open for as long as it is borrowed; the call reads a `flock`
        // through the pointer, which lives across it, and keeps no pointer.
        let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if done != -1 {
            return Ok(true);
        }
        match failure() {
            Errno::AGAIN | Errno::ACCESS => return Ok(false),
            Errno::INTR => {}
            errno => return Err(cvt(errno)),
        }
    }
}

/// Whether another open file holds anything of a byte, in this process or elsewhere. Changes
/// nothing, and may be asked through a descriptor for reading.
pub(crate) fn is_held(fd: BorrowedFd<'_>, byte: u64) -> Result<bool> {
    loop {
        let mut lock = about(byte, Hold::Exclusive);
        // SAFETY: as in `set`; the call also writes to the `flock`, to which nobody else refers.
        let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        if done != -1 {
            return Ok(lock.l_type != libc::F_UNLCK as libc::c_short);
        }
        match failure() {
            Errno::INTR => {}
            errno => return Err(cvt(errno)),
        }
    }
}

fn about(byte: u64, hold: Hold) -> Flock {
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
    lock
}

fn failure() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
