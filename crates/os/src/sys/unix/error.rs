//! The meaning of the system's codes. Only this module reads `errno`.

use crate::error::{Error, ErrorKind};
use rustix::io::Errno;
use std::io;

/// Creates an error of this crate. `obtain` or the common code adds the object.
pub(super) fn refuse(kind: ErrorKind, detail: impl Into<String>) -> Error {
    Error::new(kind, "", "").detail(detail)
}

/// Returns whether the error has this code.
pub(super) fn is(error: &Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Returns the error that a code stands for, with its remedy. A caller that knows more about the
/// operation replaces the detail.
pub(super) fn cvt(errno: Errno) -> Error {
    let (kind, detail) = match errno {
        Errno::NOENT | Errno::NOTDIR => {
            (ErrorKind::NotFound, "there is no such object; check its name, or create it")
        }
        Errno::EXIST => (ErrorKind::AlreadyExists, "it exists; open it, or use open_or_create"),
        Errno::ACCESS | Errno::PERM => (
            ErrorKind::PermissionDenied,
            "the system denies it; run as the owner, or change owner or mode of the object",
        ),
        Errno::ROFS => (
            ErrorKind::PermissionDenied,
            "its file system is read-only; open it with Protection::ReadOnly",
        ),
        Errno::TXTBSY => (
            ErrorKind::PermissionDenied,
            "it is a program that runs; open it with Protection::ReadOnly",
        ),
        Errno::ISDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV => (
            ErrorKind::NameTaken,
            "it is no regular file but another kind of object; choose another name",
        ),
        Errno::NOSPC => {
            (ErrorKind::NoSpace, "its file system is full; free some space, or use a smaller size")
        }
        Errno::DQUOT => (
            ErrorKind::NoSpace,
            "the quota of this user is used up; free some space, or use a smaller size",
        ),
        Errno::NOMEM => (
            ErrorKind::NoSpace,
            "memory or address space is short; use a smaller size, or map a part at a time",
        ),
        Errno::FBIG | Errno::OVERFLOW => (
            ErrorKind::TooLarge,
            "the system does not support files of that size; use a smaller size",
        ),
        Errno::NAMETOOLONG => {
            (ErrorKind::InvalidName, "the name is too long; choose a shorter one")
        }
        Errno::INVAL => (ErrorKind::InvalidArgument, "the system rejects an argument"),
        Errno::INTR => (ErrorKind::Interrupted, "a signal ended the wait; try again"),
        Errno::NOSYS | Errno::OPNOTSUPP => {
            (ErrorKind::Unsupported, "the system or its file system has no such operation")
        }
        Errno::NOLCK => (
            ErrorKind::Unsupported,
            "its file system has no locks; use a file system of this machine",
        ),
        Errno::MFILE | Errno::NFILE => {
            (ErrorKind::Io, "too many open files; close some, or raise the limit (ulimit -n)")
        }
        _ => (ErrorKind::Io, ""),
    };
    refuse(kind, detail).because(io::Error::from(errno))
}
