//! The directory of named sections, and whether an object in it is trusted.

use super::super::error::{cvt, is, refuse};
use crate::error::{Error, ErrorKind, Result};
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};
use std::{os::fd::OwnedFd, path::Path};

/// Memory on Linux. On other systems a directory that the system does not clean up by itself: their
/// shared memory objects have no locks. Such an object could not be published whole, and an
/// abandoned one could not be detected.
pub(super) const DIRECTORY: &str = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };

/// Explains why no object can be made in the directory.
pub(super) fn explain_directory(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            refuse(ErrorKind::Unsupported, format!("{DIRECTORY} is not there; mount a tmpfs on it"))
                .because(error)
        }
        ErrorKind::PermissionDenied if is(&error, Errno::ROFS) => error.detail(format!(
            "{DIRECTORY} is read-only; mount it for writing, or use a file elsewhere"
        )),
        ErrorKind::PermissionDenied => error.detail(format!(
            "{DIRECTORY} takes no new files from this user; change its mode to 1777, or use a file \
             elsewhere"
        )),
        _ => error,
    }
}

/// Opens the object with this name, if it is a section of this user; `None` if there is none.
pub(super) fn open(path: &Path, access: OFlags) -> Result<Option<OwnedFd>> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            let stat = fs::fstat(&fd).map_err(cvt)?;
            // The object has lost its name between the open and this check.
            if stat.st_nlink == 0 {
                return Ok(None);
            }
            trust(&stat)?;
            Ok(Some(fd))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => {
            // Its owner and kind explain more than the error of the open.
            if let Ok(stat) = fs::lstat(path) {
                trust(&stat)?;
            }
            Err(cvt(errno))
        }
    }
}

/// Fails unless the object can be trusted: all users can create objects in the directory.
fn trust(stat: &fs::Stat) -> Result<()> {
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !regular {
        return Err(other_kind());
    }
    let (owner, user) = (stat.st_uid, rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(refuse(
            ErrorKind::ForeignOwner,
            format!(
                "it belongs to user {owner} and this is user {user}; choose another name, or run as user {owner}"
            ),
        ));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse(
            ErrorKind::PermissionDenied,
            "other users may write to it, so nothing in it is trusted; remove it from the directory of shared memory",
        ));
    }
    if stat.st_nlink > 1 {
        return Err(refuse(
            ErrorKind::PermissionDenied,
            "it has a second name in the file system, so nothing in it is trusted; remove it from the directory of shared memory",
        ));
    }
    Ok(())
}

pub(super) fn other_kind() -> Error {
    refuse(
        ErrorKind::NameTaken,
        "another kind of object has the name (a directory, a link, a fifo); remove it, or choose another name",
    )
}
