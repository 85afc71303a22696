//! Growing sections, with memory or disk behind the new part, while other processes have them
//! mapped.
//!
//! Only one thread of all processes grows a section at a time. A lock on a byte far beyond the end
//! excludes other processes, and a mutex excludes the threads that share a handle. So no zeros
//! overwrite another process's bytes, and no failure cuts them off.
//!
//! If the file system has no such locks, the caller must ensure that it is alone. The same holds
//! for handles that came by inheritance or `fork`, since they share the lock with each other.

#![cfg_attr(
    target_vendor = "apple",
    allow(unsafe_code, reason = "nothing safe allocates beyond the end")
)]

use super::{
    super::{
        error::refuse,
        ofd::{self, Hold},
        pause::Pause,
    },
    aside,
    handle::{Kind, Section, size_of},
    shm,
};
use crate::{
    error::{ErrorKind, Result},
    options::{SectionFlags, SectionOptions},
    sys::TRUNCATED,
};
use rustix::{fs, io::Errno};
use std::{
    os::fd::BorrowedFd,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

/// See [`crate::sys::Platform::grow`].
pub(crate) fn grow(
    section: &Section,
    options: &SectionOptions,
    known: u64,
    size: u64,
) -> Result<()> {
    if section.page() != 0 {
        return Err(refuse(
            ErrorKind::Unsupported,
            "large pages do not grow; make it anew, or without SectionFlags::LARGE_PAGES",
        ));
    }
    let fd = section.fd();
    if size_of(fd)? >= size {
        return Ok(());
    }
    aside::check_limits(size)?;
    let _alone = Alone::within(section, options.timeout)?;
    let from = size_of(fd)?;
    if from < known {
        return Err(refuse(ErrorKind::Truncated, TRUNCATED));
    }
    if from >= size {
        return Ok(());
    }
    let reserve = options.flags.contains(SectionFlags::RESERVE);
    #[cfg(target_os = "linux")]
    if section.kind == Kind::Anonymous && !reserve {
        super::anonymous::check_memory(size - from)?;
    }
    let grown = if reserve { retry(|| fs::ftruncate(fd, size)) } else { extend(fd, from, size) };
    grown.map_err(|errno| {
        roll_back(fd, from, size);
        match errno {
            // The size of an object of `shm_open` can be set only once.
            Errno::INVAL if section.kind != Kind::File && !cfg!(target_os = "linux") => refuse(
                ErrorKind::TooLarge,
                "memory of this system does not grow; make it anew with max_size, or use a file",
            ),
            errno => {
                let named = section.kind == Kind::Named;
                let place = if named { shm::DIRECTORY } else { aside::ITS_OWN };
                aside::no_space(errno, fd, size - from, place)
            }
        }
    })
}

/// The exclusive right to grow a section.
struct Alone<'a> {
    fd: BorrowedFd<'a>,
    locked: bool,
    _thread: MutexGuard<'a, ()>,
}

impl<'a> Alone<'a> {
    fn within(section: &'a Section, timeout: Duration) -> Result<Self> {
        // In a child after `fork` another thread of the parent may own the mutex for ever, and the
        // lock of the file would be the parent's too.
        if !section.is_of_this_process() {
            return Err(refuse(
                ErrorKind::Closed,
                "it belongs to the process that this one was forked from; open it again here",
            ));
        }
        let thread = section.growing.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a free descriptor the lock is on the file that is mapped, and excludes as well.
        let fd = section.lock_file().unwrap_or_else(|_| section.fd());
        let mut alone = Self { fd, locked: false, _thread: thread };
        let mut pause = Pause::up_to(timeout);
        loop {
            match ofd::set(alone.fd, ofd::GROWTH, Hold::Exclusive) {
                Ok(true) => alone.locked = true,
                Ok(false) if pause.once() => continue,
                Ok(false) => {
                    let grows = ofd::held(alone.fd, ofd::GROWTH)? == Hold::Exclusive;
                    return Err(ofd::blocked(
                        alone.fd,
                        if grows {
                            "another process has been growing it for longer than the timeout; try again, or end that process if it hangs"
                        } else {
                            ofd::LOCKED_BY_A_READER
                        },
                    ));
                }
                // The file system has no locks: see the module.
                Err(_) => {}
            }
            return Ok(alone);
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if self.locked {
            let _ = ofd::set(self.fd, ofd::GROWTH, Hold::Nothing);
        }
    }
}

fn retry(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Extends a file from `from` bytes to `size`, all of it allocated on its device.
fn extend(fd: BorrowedFd<'_>, from: u64, size: u64) -> Result<(), Errno> {
    match retry(|| blocks(fd, from, size)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => aside::zeros(fd, from, size),
        done => done,
    }
}

/// The blocks first, beyond the end, where no process sees them: if there are too few, the file is
/// as long as it was. Then the length, which needs nothing more and never falls.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn blocks(fd: BorrowedFd<'_>, from: u64, size: u64) -> Result<(), Errno> {
    use fs::FallocateFlags;
    retry(|| fs::fallocate(fd, FallocateFlags::KEEP_SIZE, from, size - from))?;
    fs::fallocate(fd, FallocateFlags::empty(), from, size - from)
}

/// As on Linux: first the blocks, after the last one that the file has, and then the length.
#[cfg(target_vendor = "apple")]
fn blocks(fd: BorrowedFd<'_>, from: u64, size: u64) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let mut store = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: i64::try_from(size - from).map_err(|_| Errno::FBIG)?,
        fst_bytesalloc: 0,
    };
    // SAFETY: the descriptor is open for as long as it is borrowed. The call reads and writes the
    // structure, which lives across the call, and keeps no pointer.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_PREALLOCATE, &raw mut store) };
    if done == -1 {
        let errno = Errno::from_io_error(&std::io::Error::last_os_error());
        return Err(match errno.unwrap_or(Errno::IO) {
            Errno::NOTSUP => Errno::OPNOTSUPP,
            errno => errno,
        });
    }
    fs::ftruncate(fd, size)
}

#[cfg(target_os = "freebsd")]
fn blocks(fd: BorrowedFd<'_>, from: u64, size: u64) -> Result<(), Errno> {
    fs::fallocate(fd, fs::FallocateFlags::empty(), from, size - from)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
fn blocks(_: BorrowedFd<'_>, _: u64, _: u64) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Releases after a failure what was allocated for the bytes from `from` on, within the length or
/// beyond the end.
///
/// No process uses these bytes: the growth was not reported, and other processes that grow the
/// section wait for the lock. If the section is longer than `size`, a process that ignores the lock
/// has grown it; then everything stays.
fn roll_back(fd: BorrowedFd<'_>, from: u64, size: u64) {
    if size_of(fd).is_ok_and(|now| (from..=size).contains(&now)) {
        let _ = retry(|| fs::ftruncate(fd, from));
    }
}
