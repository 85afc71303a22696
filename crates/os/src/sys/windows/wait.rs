//! Waiting for a kernel object, up to a timeout.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::cvt::last;
use crate::error::Result;
use std::{
    os::windows::io::{AsRawHandle, BorrowedHandle},
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::{WAIT_ABANDONED, WAIT_OBJECT_0, WAIT_TIMEOUT},
    System::Threading::{WaitForMultipleObjects, WaitForSingleObject},
};

/// The outcome of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Got,
    /// The object was acquired, and its last owner ended without a release. Only one waiter learns
    /// of the death; the others just acquire the object.
    Abandoned,
    TimedOut,
}

/// The longest single wait. The constant for "for ever" is one more than the greatest number of
/// milliseconds, and no duration may be rounded up to it.
const LONGEST: Duration = Duration::from_hours(24);

/// Waits for `object` up to `timeout`, rounded up to a millisecond.
pub(super) fn for_object(object: BorrowedHandle<'_>, timeout: Duration) -> Result<Waited> {
    until(timeout, |milliseconds| {
        // SAFETY: the handle is open for as long as it is borrowed.
        unsafe { WaitForSingleObject(object.as_raw_handle(), milliseconds) }
    })
}

/// Waits, as [`for_object`], until both objects can be acquired, and acquires both in one step: a
/// thread that ends at any moment has both or none.
pub(super) fn for_both(objects: [BorrowedHandle<'_>; 2], timeout: Duration) -> Result<Waited> {
    let handles = objects.map(|object| object.as_raw_handle());
    until(timeout, |milliseconds| {
        // SAFETY: the array lives across the call and has as many handles as the length says, which
        // are open for as long as they are borrowed.
        let code = unsafe {
            WaitForMultipleObjects(handles.len() as u32, handles.as_ptr(), 1, milliseconds)
        };
        match code {
            // The code also names an object; with "wait for all" its number means nothing.
            WAIT_OBJECT_0..2 => WAIT_OBJECT_0,
            WAIT_ABANDONED..ABANDONED_END => WAIT_ABANDONED,
            code => code,
        }
    })
}

/// The codes for "one of two objects was abandoned" end before this.
const ABANDONED_END: u32 = WAIT_ABANDONED + 2;

fn until(timeout: Duration, wait: impl Fn(u32) -> u32) -> Result<Waited> {
    let deadline = Instant::now().checked_add(timeout);
    let mut left = timeout;
    loop {
        let part = left.min(LONGEST);
        let milliseconds = part.as_nanos().div_ceil(1_000_000) as u32;
        match wait(milliseconds) {
            WAIT_OBJECT_0 => return Ok(Waited::Got),
            WAIT_ABANDONED => return Ok(Waited::Abandoned),
            WAIT_TIMEOUT => {}
            _ => return Err(last()),
        }
        left =
            deadline.map_or(LONGEST, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(Waited::TimedOut);
        }
    }
}
