//! The second open file of a section, which no mapping uses. It has the byte locks that tell a
//! living process from a dead one.
//!
//! A byte lock belongs to an open file, and a mapping keeps its open file open. So a lock on the
//! open file that is mapped lasts as long as the memory of a dead process: a monitor that reads
//! `/proc/PID/smaps` keeps that memory, and the process would count as alive. The descriptor of the
//! second open file is closed when the process ends, whatever happens to its memory.
//!
//! A child after `fork` gets a copy of the descriptor, which would keep the locks of a dead parent:
//! `O_CLOEXEC` closes it at `exec` and not before. A fork handler closes the copies in the child.
//! Three copies are out of its reach, and keep the locks until they are closed: one of a child that
//! was made without the C library's `fork`, before it calls `exec`; one that a thread opened while
//! another thread forked; and a descriptor from [`MOST`] on.

#![allow(unsafe_code, reason = "rustix has no pthread_atfork")]

use super::super::error::cvt;
use crate::{error::Result, memory::words::Half};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
};

#[derive(Debug)]
pub(crate) struct Witness {
    /// `None` only while it is dropped.
    fd: Option<OwnedFd>,
    /// The value of [`FORKS`] in the process that opened it.
    forks: u32,
}

impl Witness {
    /// Opens the file of `fd` once more. Returns `None` if the system has no way to do so: there is
    /// no `/proc`, and `path` (if any) leads to another file.
    pub(crate) fn of(
        fd: BorrowedFd<'_>,
        path: Option<&Path>,
        writable: bool,
    ) -> Result<Option<Self>> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        // An entry of this directory leads to the file itself, even if it has no name any more.
        let entry = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let ways = [cfg!(target_os = "linux").then_some(Path::new(&entry)), path];
        let file = fs::fstat(fd).map_err(cvt)?;
        for way in ways.into_iter().flatten() {
            let second = loop {
                match fs::open(way, flags, Mode::empty()) {
                    Err(Errno::INTR) => {}
                    other => break other,
                }
            };
            let second = match second {
                Ok(second) => above_standard(second)?,
                Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                    return Err(cvt(errno));
                }
                Err(_) => continue,
            };
            let same = fs::fstat(&second).map_err(cvt)?;
            if (same.st_dev, same.st_ino) == (file.st_dev, file.st_ino) {
                return Ok(Some(Self::new(second)));
            }
        }
        Ok(None)
    }

    fn new(fd: OwnedFd) -> Self {
        watch_forks();
        let forks = FORKS.load(Ordering::Relaxed);
        if let Some((word, bit)) = place(fd.as_raw_fd()) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Self { fd: Some(fd), forks }
    }

    /// Returns the descriptor; `None` in a child after `fork`, which has none.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| self.is_here()).map(AsFd::as_fd)
    }

    fn is_here(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        if !self.is_here() {
            // `forked` has closed it, and the number may be another file's by now.
            let _ = fd.into_raw_fd();
            return;
        }
        // Before the close, after which another file gets the number.
        if let Some((word, bit)) = place(fd.as_raw_fd()) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// Returns the same open file under a number that is none of standard input, output and error.
fn above_standard(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(cvt) }
}

// ---------------------------------------------------------------------------------------------
// What the fork handler reads. A child has one thread, and its memory is a copy from the moment of
// the fork; so Relaxed is enough.

/// The number of descriptors that [`OPEN`] has bits for.
const MOST: usize = 1 << 20;

/// A bit for each descriptor of a [`Witness`] of this process.
static OPEN: [Half; MOST / 32] = [const { Half::new(0) }; MOST / 32];
/// The number of words of [`OPEN`] that have ever had a bit.
static USED: Half = Half::new(0);
/// The number of forks that lead to this process, as far as the fork handler saw them.
static FORKS: Half = Half::new(0);
/// 1 once the fork handler is registered.
static WATCHED: Half = Half::new(0);

/// Returns the word and the bit of a descriptor, and lets the fork handler reach that word.
fn place(fd: i32) -> Option<(&'static Half, u32)> {
    let fd = fd.cast_unsigned();
    let word = OPEN.get(fd as usize / 32)?;
    USED.fetch_max(fd / 32 + 1, Ordering::Relaxed);
    Some((word, 1 << (fd % 32)))
}

fn watch_forks() {
    // No `Once`: a child that was forked while another thread ran it would wait for ever. Two
    // threads may register the handler twice; its second run finds nothing to close.
    if WATCHED.load(Ordering::Acquire) != 0 {
        return;
    }
    // SAFETY: the handler is a function of this library and lives as long as the registration (the
    // C library drops the handlers of a library that is unloaded). It is safe to run in a child
    // after fork: it changes static atomics and calls `close`. If the call fails, for want of
    // memory, no copy is closed, and `FORKS` keeps its value.
    if unsafe { libc::pthread_atfork(None, None, Some(forked)) } == 0 {
        WATCHED.store(1, Ordering::Release);
    }
}

/// Closes the child's copies of its parent's descriptors.
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    let used = USED.load(Ordering::Relaxed) as usize;
    for (word, first) in OPEN.iter().take(used).zip((0..).step_by(32)) {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let fd: i32 = first + bits.trailing_zeros().cast_signed();
            bits &= bits - 1;
            // SAFETY: a bit is set only while a `Witness` owns the descriptor, which the parent had
            // open when it forked. The child's values of `Witness` neither use nor close it any
            // more, since `FORKS` has changed before.
            unsafe { libc::close(fd) };
        }
    }
}
