//! The meaning of the system's codes. Only this module reads `GetLastError`.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use crate::error::{Error, ErrorKind};
use std::io;
use windows_sys::Win32::Foundation as win;

/// Returns the error of the last system call of this thread. The caller calls it at once: any other
/// system call (one that closes a handle, say) can replace the error code.
#[cold]
pub(super) fn last() -> Error {
    cvt(io::Error::last_os_error())
}

/// Returns the error of a code, with its kind and a remedy. The layer above adds operation and
/// object.
#[cold]
pub(super) fn cvt(error: io::Error) -> Error {
    let (kind, detail) = match error.raw_os_error() {
        Some(code) => meaning(code.cast_unsigned()),
        None if error.kind() == io::ErrorKind::InvalidInput => {
            (ErrorKind::InvalidArgument, "not a path that Windows can have")
        }
        None => (ErrorKind::Io, ""),
    };
    Error::new(kind, "", "").detail(detail).because(error)
}

/// Returns the error that a status of `ntdll` stands for.
pub(super) fn status(status: win::NTSTATUS) -> Error {
    // SAFETY: the call takes no pointer.
    let code: win::WIN32_ERROR = unsafe { win::RtlNtStatusToDosError(status) };
    cvt(io::Error::from_raw_os_error(code.cast_signed()))
}

/// Returns the error of a call that writes to the disk, or waits for it.
///
/// Only errors that this process or its surroundings cause are known not to come from the disk.
/// Every other code counts as the disk's: a code that is wrongly taken for a passing one would let
/// a later flush report success for bytes that the system has dropped.
pub(super) fn of_flush(error: Error) -> Error {
    const PASSING: [u32; 15] = [
        win::ERROR_ACCESS_DENIED,
        win::ERROR_INVALID_HANDLE,
        win::ERROR_NOT_ENOUGH_MEMORY,
        win::ERROR_OUTOFMEMORY,
        win::ERROR_NO_SYSTEM_RESOURCES,
        win::ERROR_NOT_ENOUGH_QUOTA,
        win::ERROR_WORKING_SET_QUOTA,
        win::ERROR_COMMITMENT_LIMIT,
        win::ERROR_NOT_SUPPORTED,
        win::ERROR_INVALID_FUNCTION,
        win::ERROR_CALL_NOT_IMPLEMENTED,
        win::ERROR_INVALID_PARAMETER,
        win::ERROR_LOCK_VIOLATION,
        win::ERROR_OPERATION_ABORTED,
        win::ERROR_BUSY,
    ];
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(code) if PASSING.contains(&code) => error,
        _ => error.of_device(),
    }
}

/// Returns kind and remedy of a code. Codes with a special meaning for one call are handled there.
fn meaning(code: u32) -> (ErrorKind, &'static str) {
    match code {
        win::ERROR_FILE_NOT_FOUND => {
            (ErrorKind::NotFound, "no object has this name; create it first")
        }
        win::ERROR_PATH_NOT_FOUND => {
            (ErrorKind::NotFound, "its folder is missing; create the folder first")
        }
        win::ERROR_ACCESS_DENIED => (
            ErrorKind::PermissionDenied,
            "Windows denies the access; run as the user that created it, or request less access \
             (a read-only protection)",
        ),
        win::ERROR_WRITE_PROTECT => {
            (ErrorKind::PermissionDenied, "the disk is write-protected; open it read-only")
        }
        win::ERROR_NOT_ENOUGH_MEMORY
        | win::ERROR_OUTOFMEMORY
        | win::ERROR_NO_SYSTEM_RESOURCES
        | win::ERROR_NOT_ENOUGH_QUOTA
        | win::ERROR_WORKING_SET_QUOTA => (
            ErrorKind::NoSpace,
            "memory or address space is short; use a smaller size, or map a smaller range",
        ),
        win::ERROR_COMMITMENT_LIMIT => (
            ErrorKind::NoSpace,
            "memory and page file together are used up; use a smaller size, or enlarge the page \
             file",
        ),
        win::ERROR_DISK_FULL | win::ERROR_HANDLE_DISK_FULL | win::ERROR_DISK_QUOTA_EXCEEDED => {
            (ErrorKind::NoSpace, "the disk is full; free some space, or use a smaller size")
        }
        win::ERROR_FILE_TOO_LARGE => (
            ErrorKind::TooLarge,
            "the file system does not support files of this size; use a smaller size, or another \
             disk",
        ),
        win::ERROR_SHARING_VIOLATION => (
            ErrorKind::TimedOut,
            "another program has opened the file exclusively; close it in that program",
        ),
        win::ERROR_LOCK_VIOLATION => (
            ErrorKind::TimedOut,
            "another program has locked a range of the file; unlock it in that program",
        ),
        win::ERROR_FILE_EXISTS | win::ERROR_ALREADY_EXISTS => {
            (ErrorKind::AlreadyExists, "it exists already; open it, or choose another name")
        }
        win::ERROR_INVALID_PARAMETER => (
            ErrorKind::InvalidArgument,
            "Windows rejects this combination of size, protection and flags; change one of them",
        ),
        win::ERROR_INVALID_NAME | win::ERROR_BAD_PATHNAME | win::ERROR_DIRECTORY => {
            (ErrorKind::InvalidName, "not a name that Windows allows; choose another")
        }
        win::ERROR_FILENAME_EXCED_RANGE | win::ERROR_BUFFER_OVERFLOW => {
            (ErrorKind::InvalidName, "the name is too long; choose a shorter one")
        }
        win::ERROR_BAD_EXE_FORMAT | win::ERROR_INVALID_EXE_SIGNATURE => (
            ErrorKind::InvalidArgument,
            "not an executable image; open it without SectionFlags::IMAGE",
        ),
        win::ERROR_DELETE_PENDING => (
            ErrorKind::NameRemoved,
            "it was deleted, but a program still has it open; close it in that program",
        ),
        win::ERROR_INVALID_ADDRESS => (
            ErrorKind::InvalidArgument,
            "something is mapped at the base address; choose another, or let Windows choose",
        ),
        win::ERROR_FILE_INVALID => {
            (ErrorKind::Truncated, "the file is empty; there is nothing to map")
        }
        win::ERROR_MAPPED_ALIGNMENT => (
            ErrorKind::InvalidArgument,
            "the offset or base address is not a multiple of 64 KiB; use one that is",
        ),
        win::ERROR_USER_MAPPED_FILE => (
            ErrorKind::PermissionDenied,
            "a program has the file mapped, so it cannot be shortened or replaced; close it in \
             that program",
        ),
        win::ERROR_PRIVILEGE_NOT_HELD => (
            ErrorKind::PermissionDenied,
            "this user lacks a required privilege; for large pages, grant \"Lock pages in memory\" \
             (local security policy)",
        ),
        win::ERROR_NOT_SUPPORTED
        | win::ERROR_INVALID_FUNCTION
        | win::ERROR_CALL_NOT_IMPLEMENTED => {
            (ErrorKind::Unsupported, "this Windows, or this file's drive, cannot do it")
        }
        _ => (ErrorKind::Io, ""),
    }
}

/// Returns whether an error came from this code.
pub(super) fn is(error: &Error, code: u32) -> bool {
    error.raw_os_error().map(i32::cast_unsigned) == Some(code)
}

/// Returns the same failure under another kind and with another remedy.
pub(super) fn with_remedy(error: &Error, kind: ErrorKind, detail: impl Into<String>) -> Error {
    let new = Error::new(kind, "", "").detail(detail);
    match error.raw_os_error() {
        Some(code) => new.because(io::Error::from_raw_os_error(code)),
        None => new,
    }
}

/// Returns the meaning of a code for a named object. All kinds of kernel objects share one
/// namespace, and a squatted name looks like a denied one.
pub(super) fn on_a_name(name: &str, creating: bool, error: Error) -> Error {
    let Some(code) = error.raw_os_error().map(i32::cast_unsigned) else { return error };
    match code {
        win::ERROR_INVALID_HANDLE => with_remedy(
            &error,
            ErrorKind::NameTaken,
            format!("an object of another kind has the name {name}; choose another name"),
        ),
        win::ERROR_ACCESS_DENIED if creating && name.starts_with("Global\\") => with_remedy(
            &error,
            ErrorKind::PermissionDenied,
            "a section for all sessions needs the privilege \"Create global objects\" \
             (SeCreateGlobalPrivilege); run as a service or administrator, or use the scope Local. \
             If the section exists, another user created it and denies access",
        ),
        win::ERROR_ACCESS_DENIED => with_remedy(
            &error,
            ErrorKind::PermissionDenied,
            "its creator denies access to this user; run as its creator, request less access (a \
             read-only protection), or choose another name",
        ),
        win::ERROR_FILE_NOT_FOUND if name.starts_with("Global\\") => with_remedy(
            &error,
            ErrorKind::NotFound,
            "no section of this name on this machine; a section lives only while a process has it \
             open",
        ),
        win::ERROR_FILE_NOT_FOUND => with_remedy(
            &error,
            ErrorKind::NotFound,
            "no section of this name in this session; a section lives only while a process has it \
             open, and a service's sections need the scope Global",
        ),
        win::ERROR_PATH_NOT_FOUND => with_remedy(
            &error,
            ErrorKind::InvalidName,
            "a backslash is allowed only in a leading Local\\ or Global\\",
        ),
        _ => error,
    }
}
