//! How a name lives as long as the handles of its section. `names.rs` has the protocol.

use super::{
    super::{
        error::cvt,
        ofd::{self, Hold},
        standard::Standard,
    },
    shm,
};
use crate::{error::Result, options::SectionOptions};
use rustix::{
    fs::{self, OFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

/// The name that a handle helps to keep alive.
#[derive(Debug)]
pub(super) struct Life {
    path: PathBuf,
    /// Whether copies of the descriptor in other processes count as handles.
    inherit: bool,
}

impl Life {
    pub(super) fn new(path: &Path, options: &SectionOptions) -> Self {
        Self { path: path.into(), inherit: options.inherit }
    }

    /// The path of the name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Releases the shared lock and removes the name if no other handle has the lock. Called before
    /// the descriptor is closed, in the process that opened it (`here`) or in a child. Returns
    /// `self` if the name can be checked only after the descriptor is closed.
    pub(super) fn leave(self, fd: BorrowedFd<'_>, here: bool) -> Option<Self> {
        if self.inherit || !here {
            return Some(self);
        }
        let _ = ofd::set(fd, ofd::LIFE, Hold::Nothing);
        // Fails with a descriptor for reading only, which cannot lock exclusively.
        let Ok(reaped) = reap(fd, &self.path) else { return Some(self) };
        if reaped {
            let _ = ofd::set(fd, ofd::LIFE, Hold::Nothing);
        }
        None
    }

    /// Removes the name if no handle has the lock any more. Called after the descriptor is closed.
    /// If anything prevents the removal, the next process that opens or creates the name does it.
    pub(super) fn reap_after_close(self) {
        let Ok(_standard) = Standard::reserve() else { return };
        if let Ok(Some(fd)) = shm::open(&self.path, OFlags::RDWR) {
            let _ = reap(fd.as_fd(), &self.path);
        }
    }
}

/// Returns whether the name is bound to the file of this descriptor.
pub(super) fn is_bound(path: &Path, fd: BorrowedFd<'_>) -> Result<bool> {
    let file = fs::fstat(fd).map_err(cvt)?;
    match fs::lstat(path) {
        Ok(name) => Ok((name.st_dev, name.st_ino) == (file.st_dev, file.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(cvt(errno)),
    }
}

/// Removes the name if no handle of its section lives. Returns whether that was so. The exclusive
/// lock is held until `fd` is closed.
pub(super) fn reap(fd: BorrowedFd<'_>, path: &Path) -> Result<bool> {
    if !ofd::set(fd, ofd::LIFE, Hold::Exclusive)? {
        return Ok(false);
    }
    if is_bound(path, fd)? {
        fs::unlink(path).map_err(cvt)?;
    }
    Ok(true)
}
