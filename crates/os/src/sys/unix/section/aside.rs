//! Files built aside and published whole. No process ever opens one that is not yet sized and
//! filled, and a creator that dies leaves nothing under the name.
//!
//! On Linux the file has no name until it is published (`O_TMPFILE`, then `linkat`). Where that is
//! not available (other systems, file systems without it, no `/proc`) it has a random name beside
//! the target until then. If its creator is killed, it stays behind under that name.

use super::super::{
    error::{cvt, refuse},
    machine,
};
use crate::error::{Error, ErrorKind, Result};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The mode that only the owner can read and write.
pub(super) const PRIVATE: Mode = Mode::from_raw_mode(0o600);

pub(super) struct Aside {
    fd: OwnedFd,
    temporary: Option<Temporary>,
}

/// A name that is removed when this value is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::unlink(&self.0);
    }
}

/// Returns the directory of the file with this path.
pub(super) fn directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Aside {
    /// Creates an empty file on the file system of `target`, and leaves `target` itself alone.
    pub(super) fn new(target: &Path) -> Result<Self> {
        let aside = match Self::unnamed(directory(target)) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {
                Self::named(target)?
            }
            other => other.map_err(cvt)?,
        };
        // Sets exactly this mode, whatever the umask of the process.
        fs::fchmod(&aside.fd, PRIVATE).map_err(cvt)?;
        Ok(aside)
    }

    #[cfg(target_os = "linux")]
    fn unnamed(directory: &Path) -> Result<Self, Errno> {
        if !Path::new("/proc/self/fd").exists() {
            return Err(Errno::OPNOTSUPP);
        }
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(directory, flags, PRIVATE)?, temporary: None })
    }

    #[cfg(not(target_os = "linux"))]
    fn unnamed(_: &Path) -> Result<Self, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn named(target: &Path) -> Result<Self> {
        let [a, b] = machine::random()?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        // No name of a section has a '~', so a leftover is never taken for a section.
        name.push(format!("~{a:016x}{b:016x}"));
        let path = directory(target).join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = fs::open(&path, flags, PRIVATE).map_err(cvt)?;
        Ok(Self { fd, temporary: Some(Temporary(path)) })
    }

    /// Returns the name that it has until it is published, if it has one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.temporary.as_ref().map(|temporary| temporary.0.as_path())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the file its name. Returns `None` if the name is taken.
    pub(super) fn publish(self, target: &Path) -> Result<Option<OwnedFd>> {
        let published = match &self.temporary {
            None => link(self.fd(), target),
            Some(temporary) => temporary.rename(target),
        };
        match published {
            Ok(()) => {
                // The temporary name is gone by the rename; after a link it is removed here.
                drop(self.temporary);
                Ok(Some(self.fd))
            }
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(cvt(errno)),
        }
    }
}

/// Gives this name to a file that has none.
#[cfg(target_os = "linux")]
fn link(fd: BorrowedFd<'_>, target: &Path) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let source = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fs::linkat(fs::CWD, source, fs::CWD, target, fs::AtFlags::SYMLINK_FOLLOW)
}

#[cfg(not(target_os = "linux"))]
fn link(_: BorrowedFd<'_>, _: &Path) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

impl Temporary {
    fn rename(&self, target: &Path) -> Result<(), Errno> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        match fs::renameat_with(fs::CWD, &self.0, fs::CWD, target, fs::RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return other,
        }
        fs::link(&self.0, target)
    }
}

/// Gives a new file its size, all zero, and unless `reserve` its memory or disk. If these are full,
/// the result is an error here, and not a fault (SIGBUS) at the first touch.
///
/// `place` names the file system in the error.
pub(super) fn allocate(fd: BorrowedFd<'_>, size: u64, reserve: bool, place: &str) -> Result<()> {
    check_limits(size)?;
    let full = |errno| no_space(errno, fd, size, place);
    fs::ftruncate(fd, size).map_err(|errno| match errno {
        Errno::INVAL => cvt(Errno::FBIG),
        errno => cvt(errno),
    })?;
    if reserve {
        return Ok(());
    }
    loop {
        match blocks(fd, size) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                return zeros(fd, 0, size).map_err(full);
            }
            other => return other.map_err(full),
        }
    }
}

/// How an error names the file system of a file that the user has named.
pub(super) const ITS_OWN: &str = "its file system";

/// Returns the error of an allocation of `needed` bytes. A full file system is named, with the space
/// that it has.
pub(super) fn no_space(errno: Errno, fd: BorrowedFd<'_>, needed: u64, place: &str) -> Error {
    let error = cvt(errno);
    if errno != Errno::NOSPC {
        return error;
    }
    let free = fs::fstatvfs(fd).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let free = free.map_or_else(|_| String::new(), |free| format!(", and {free} are free"));
    error.detail(format!(
        "{place} is full: {needed} bytes are needed{free}; free some space or ask for less"
    ))
}

/// Refuses a size that no file can have.
pub(super) fn check_limits(size: u64) -> Result<()> {
    // Beyond that limit the system reports no error but ends the process (SIGXFSZ).
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| size > limit) {
        return Err(refuse(
            ErrorKind::TooLarge,
            "this process may not make files of that size; raise its limit (ulimit -f)",
        ));
    }
    if size > i64::MAX.cast_unsigned() {
        return Err(cvt(Errno::FBIG));
    }
    Ok(())
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
))]
fn blocks(fd: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    fs::fallocate(fd, fs::FallocateFlags::empty(), 0, size)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
fn blocks(_: BorrowedFd<'_>, _: u64) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Allocates the disk space of bytes `from..size` by writing zeros to all of them.
pub(super) fn zeros(fd: BorrowedFd<'_>, from: u64, size: u64) -> Result<(), Errno> {
    let chunk = vec![0; 64 << 10];
    let mut at = from;
    while at < size {
        let len = usize::try_from(size - at).map_or(chunk.len(), |left| left.min(chunk.len()));
        match rustix::io::pwrite(fd, chunk.get(..len).unwrap_or(&chunk), at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => at += written as u64,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
