//! The system calls of the byte locks.

#![allow(unsafe_code, reason = "rustix has no locks on bytes")]

use super::{super::error::cvt, hold::Hold};
use crate::error::Result;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

#[cfg(not(any(all(target_os = "linux", target_env = "gnu"), target_os = "android")))]
use libc::flock as Flock;
#[cfg(any(all(target_os = "linux", target_env = "gnu"), target_os = "android"))]
use libc::flock64 as Flock;

/// Changes, without waiting, the lock that this open file has on a byte. Returns false, and changes
/// nothing, if a lock of another open file conflicts.
pub(crate) fn set(fd: BorrowedFd<'_>, byte: u64, hold: Hold) -> Result<bool> {
    let mut lock = flock_on(byte, hold);
    loop {
        if call(fd, Request::Set, &mut lock) != -1 {
            return Ok(true);
        }
        match failure() {
            Errno::AGAIN | Errno::ACCESS => return Ok(false),
            Errno::INTR => {}
            errno => return Err(cvt(errno)),
        }
    }
}

/// Returns the lock that other open files, of this process or another one, have on a byte. Changes
/// nothing, and a read-only descriptor is enough.
pub(crate) fn held(fd: BorrowedFd<'_>, byte: u64) -> Result<Hold> {
    loop {
        let mut lock = flock_on(byte, Hold::Exclusive);
        if call(fd, Request::Get, &mut lock) != -1 {
            // No byte has locks of both kinds, so the one that is reported tells the kind of all.
            const UNLOCKED: libc::c_short = libc::F_UNLCK as libc::c_short;
            const SHARED: libc::c_short = libc::F_RDLCK as libc::c_short;
            return Ok(match lock.l_type {
                UNLOCKED => Hold::Nothing,
                SHARED => Hold::Shared,
                _ => Hold::Exclusive,
            });
        }
        match failure() {
            Errno::INTR => {}
            errno => return Err(cvt(errno)),
        }
    }
}

#[derive(Clone, Copy)]
enum Request {
    Set,
    Get,
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "32",
    not(target_arch = "x86_64")
)))]
fn call(fd: BorrowedFd<'_>, request: Request, lock: &mut Flock) -> libc::c_int {
    let command = command(request);
    // SAFETY: the descriptor is open for as long as it is borrowed. The commands read and write the
    // structure behind the pointer, which is borrowed for the call, and keep no pointer.
    unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut *lock) }
}

/// `fcntl` of a 32-bit glibc expects the structure with 32-bit offsets for these commands, in which
/// no byte beyond the end of every file can be named; the system call expects the 64-bit one.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "32",
    not(target_arch = "x86_64")
))]
fn call(fd: BorrowedFd<'_>, request: Request, lock: &mut Flock) -> libc::c_int {
    let command = command(request);
    // SAFETY: as in the function above; `fcntl64` of the kernel uses the structure `flock64`.
    let done = unsafe { libc::syscall(libc::SYS_fcntl64, fd.as_raw_fd(), command, &raw mut *lock) };
    done as libc::c_int
}

fn command(request: Request) -> libc::c_int {
    match request {
        Request::Set => libc::F_OFD_SETLK,
        Request::Get => libc::F_OFD_GETLK,
    }
}

fn flock_on(byte: u64, hold: Hold) -> Flock {
    // SAFETY: the struct consists of integers, for which all zeros is a valid value. (It is zeroed
    // and not written out, because it has padding fields on some targets.)
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
