//! The directory in which named sections lie, and whether an object in it is to be trusted.

use super::super::error::{cvt, refuse};
use crate::error::{Error, ErrorKind, Result};
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};
use std::{os::fd::OwnedFd, path::Path};

/// Memory on Linux. Elsewhere a directory that the system does not tidy up by itself: shared
/// memory objects have no locks there, and can be neither published whole nor told from left ones.
pub(super) const DIRECTORY: &str = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };

pub(super) fn explain_directory(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            refuse(ErrorKind::Unsupported, format!("{DIRECTORY} is not there; mount a tmpfs on it"))
                .because(error)
        }
        _ => error,
    }
}

/// Opens what bears the name, if it is a section of ours; `None` where there is nothing.
pub(super) fn open(path: &Path, access: OFlags) -> Result<Option<OwnedFd>> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            let stat = fs::fstat(&fd).map_err(cvt)?;
            // Without a name since: removed between the two calls.
            if stat.st_nlink == 0 {
                return Ok(None);
            }
            trust(&stat)?;
            Ok(Some(fd))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => {
            // Whose it is, and of what kind, says more than that it cannot be opened.
            if let Ok(stat) = fs::lstat(path) {
                trust(&stat)?;
            }
            Err(cvt(errno))
        }
    }
}

/// Whether anything in it may be believed: the directory is open to all users.
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
                "it belongs to user {owner} and this is user {user}; choose another name, or run as that user"
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
        "another kind of object bears the name (a directory, a link, a fifo); remove it, or choose another name",
    )
}
