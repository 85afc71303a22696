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

/// Returns the error of a call that writes to the device, or waits for it.
///
/// Only errors that this process or its surroundings cause are known not to come from the device.
/// Every other code counts as the device's: a code that is wrongly taken for a passing one would
/// let a later flush report success for bytes that the system has dropped.
pub(super) fn of_flush(errno: Errno) -> Error {
    let (kind, detail) = match errno {
        Errno::INTR | Errno::AGAIN => {
            (ErrorKind::Interrupted, "the system did not finish it; flush again")
        }
        Errno::NOMEM => (ErrorKind::NoSpace, "memory is short; free some and flush again"),
        Errno::PERM | Errno::ACCESS => (
            ErrorKind::PermissionDenied,
            "a sandbox denies this process `msync`, `fdatasync` or `fsync`; allow them and flush \
             again",
        ),
        Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL => (
            ErrorKind::Unsupported,
            "its file system, or a sandbox of this process, cannot wait for the device; use a \
             file on another file system",
        ),
        Errno::BADF | Errno::MFILE | Errno::NFILE => return cvt(errno),
        _ => return cvt(errno).of_device(),
    };
    refuse(kind, detail).because(io::Error::from(errno))
}

/// Repeats a call that a signal interrupts, but not for ever: a call that never does anything else
/// is an error.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    const TIMES: usize = 1_000;
    for _ in 0..TIMES {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::INTR)
}

/// Returns whether a code says that a file system has no `fsync` of a directory. Such a file system
/// has nothing to wait for there.
pub(super) fn has_no_fsync(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOTTY | Errno::ISDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_the_device_is_final() {
        for errno in [
            Errno::INTR,
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOSYS,
            Errno::OPNOTSUPP,
            Errno::INVAL,
            Errno::BADF,
        ] {
            let error = of_flush(errno);
            assert!(!error.is_of_device(), "{error}");
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{error}");
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::NODEV, Errno::NXIO, Errno::ROFS]
        {
            assert!(of_flush(errno).is_of_device(), "{errno}");
        }
    }

    #[test]
    fn an_interrupted_call_is_repeated() {
        let mut left = 3;
        let done = uninterrupted(|| {
            left -= 1;
            if left == 0 { Ok(7) } else { Err(Errno::INTR) }
        });
        assert_eq!(done, Ok(7));
        assert_eq!(uninterrupted(|| Err::<(), _>(Errno::INTR)), Err(Errno::INTR));
        assert_eq!(uninterrupted(|| Err::<(), _>(Errno::IO)), Err(Errno::IO));
    }
}
