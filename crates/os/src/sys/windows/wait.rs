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
    System::Threading::WaitForSingleObject,
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
    let deadline = Instant::now().checked_add(timeout);
    let mut left = timeout;
    loop {
        let part = left.min(LONGEST);
        let milliseconds = part.as_nanos().div_ceil(1_000_000) as u32;
        // SAFETY: the handle is open for as long as it is borrowed.
        match unsafe { WaitForSingleObject(object.as_raw_handle(), milliseconds) } {
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
