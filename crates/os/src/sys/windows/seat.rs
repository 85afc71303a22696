//! Which processes use a section: a mutex for each seat, of which only the name counts. It exists
//! as long as somebody has it open, which is who has the seat, and for a moment who looks at it.
//! See [`crate::sys::Platform::take_seat`].
//!
//! Nobody owns these mutexes: a thread would, and a seat is its process's. The price is that a look
//! keeps the name a moment longer than its holder does.

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
        // SAFETY: the call gave us this handle, and nobody else has it.
        drop(unsafe { OwnedHandle::from_raw_handle(mutex) });
        return Ok(true);
    }
    let error = last();
    // Who has the seat keeps the mutex open, so there is none: not of this name, or the name
    // belongs to another kind of object.
    if is(&error, ERROR_FILE_NOT_FOUND) || is(&error, ERROR_INVALID_HANDLE) {
        return Ok(false);
    }
    // Whoever does not let us see counts as alive.
    if is(&error, ERROR_ACCESS_DENIED) { Ok(true) } else { Err(on_a_name(&object, false, error)) }
}

fn object(spec: &SeatSpec, slot: usize) -> String {
    names::scoped(spec.scope, &format!("mapvar.{}.p{slot}", spec.id))
}

/// The mutex of that name, if there was none.
fn make(object: &str, private: &Private) -> Result<Option<OwnedHandle>> {
    let name = Wide::new(object)?;
    let attributes = private.attributes(false);
    // SAFETY: it only sets the thread's last error, which says afterwards whether there was one.
    unsafe { SetLastError(0) };
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, name.as_ptr()) };
    // SAFETY: no argument.
    let code = unsafe { GetLastError() };
    if mutex.is_null() {
        let error = cvt(io::Error::from_raw_os_error(code.cast_signed()));
        // Another user's, or another kind of object: not for us.
        let theirs = is(&error, ERROR_ACCESS_DENIED) || is(&error, ERROR_INVALID_HANDLE);
        return if theirs { Ok(None) } else { Err(on_a_name(object, false, error)) };
    }
    // SAFETY: the call gave us this handle, and nobody else has it.
    let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
    Ok((code != ERROR_ALREADY_EXISTS).then_some(mutex))
}
