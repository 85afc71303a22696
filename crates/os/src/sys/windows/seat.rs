//! The processes that use a section: a mutex for each seat, of which only the name counts. The
//! mutex exists as long as a process has it open. That is the process that has the seat, and for a
//! moment a process that checks it. See [`crate::sys::Platform::take_seat`].
//!
//! No thread owns these mutexes: a seat belongs to a process, and a mutex could only belong to a
//! thread. The price is that a check keeps the name a moment longer than the seat is taken.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{cvt, is, last, on_a_name},
    names::{self, Wide},
    security::Private,
};
use crate::{error::Result, spec::SeatSpec};
use std::{
    io,
    os::windows::io::{FromRawHandle, OwnedHandle},
};
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, ERROR_INVALID_HANDLE,
        GetLastError, SetLastError,
    },
    System::Threading::{CreateMutexW, OpenMutexW, SYNCHRONIZATION_SYNCHRONIZE},
};

pub(super) fn take(spec: &SeatSpec) -> Result<Option<(usize, OwnedHandle)>> {
    let private = Private::new()?;
    for slot in 0..spec.among {
        if let Some(mutex) = make(&object(spec, slot), &private)? {
            return Ok(Some((slot, mutex)));
        }
    }
    Ok(None)
}

pub(super) fn is_taken(spec: &SeatSpec, slot: usize) -> Result<bool> {
    let object = object(spec, slot);
    let name = Wide::new(&object)?;
    // SAFETY: the name lives until after the call and ends with a zero.
    let mutex = unsafe { OpenMutexW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr()) };
    if !mutex.is_null() {
        // SAFETY: the call returned this handle, and no other value owns it.
        drop(unsafe { OwnedHandle::from_raw_handle(mutex) });
        return Ok(true);
    }
    let error = last();
    // A process that has the seat keeps the mutex open. So no process has it: no object has this
    // name, or the name belongs to another kind of object.
    if is(&error, ERROR_FILE_NOT_FOUND) || is(&error, ERROR_INVALID_HANDLE) {
        return Ok(false);
    }
    // A mutex that denies access counts as taken, so no living process is taken for dead.
    if is(&error, ERROR_ACCESS_DENIED) { Ok(true) } else { Err(on_a_name(&object, false, error)) }
}

fn object(spec: &SeatSpec, slot: usize) -> String {
    names::scoped(spec.scope, &format!("mapvar.{}.p{slot}", spec.id))
}

/// Creates the mutex of that name. Returns `None` if it exists already.
fn make(object: &str, private: &Private) -> Result<Option<OwnedHandle>> {
    let name = Wide::new(object)?;
    let attributes = private.attributes(false);
    // SAFETY: the call only sets the thread's last error, which afterwards shows whether there was
    // one.
    unsafe { SetLastError(0) };
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, name.as_ptr()) };
    // SAFETY: the call takes no argument.
    let code = unsafe { GetLastError() };
    if mutex.is_null() {
        let error = cvt(io::Error::from_raw_os_error(code.cast_signed()));
        // The object belongs to another user, or is of another kind: this seat cannot be taken.
        let theirs = is(&error, ERROR_ACCESS_DENIED) || is(&error, ERROR_INVALID_HANDLE);
        return if theirs { Ok(None) } else { Err(on_a_name(object, false, error)) };
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
    Ok((code != ERROR_ALREADY_EXISTS).then_some(mutex))
}
