//! The descriptors 0, 1 and 2.
//!
//! A program may run with its standard output closed. The next file that it opens then gets that
//! number, and whatever the program prints goes into it. No file of this crate may be that one.

#![allow(unsafe_code, reason = "asks about descriptors that nobody owns")]

use super::error::cvt;
use crate::error::Result;
use rustix::fs::{self, Mode, OFlags};
use std::os::fd::{AsRawFd, OwnedFd};

const NUMBERS: std::ops::Range<i32> = 0..3;

/// While it lives, no file that is opened gets one of the three numbers.
#[derive(Debug)]
pub(super) struct Standard {
    _taken: Vec<OwnedFd>,
}

impl Standard {
    /// Takes the numbers that are free. What is written to them meanwhile still fails.
    pub(super) fn reserve() -> Result<Self> {
        // So that most programs open nothing for it.
        if NUMBERS.into_iter().all(is_open) {
            return Ok(Self { _taken: Vec::new() });
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let access = OFlags::PATH;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let access = OFlags::RDONLY;
        let mut taken = Vec::new();
        loop {
            let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = fs::open(c"/", flags, Mode::empty()).map_err(cvt)?;
            if !NUMBERS.contains(&fd.as_raw_fd()) {
                return Ok(Self { _taken: taken });
            }
            taken.push(fd);
        }
    }
}

fn is_open(number: i32) -> bool {
    // SAFETY: the call accesses no memory, and only says whether a file is open under the number.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}
