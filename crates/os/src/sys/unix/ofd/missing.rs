//! Systems without byte locks that belong to an open file.

use super::{super::error::cvt, hold::Hold};
use crate::error::{Error, Result};
use std::os::fd::BorrowedFd;

pub(crate) fn set(_: BorrowedFd<'_>, _: u64, _: Hold) -> Result<bool> {
    Err(unsupported().detail(
        "this system has no locks that belong to an open file; use a file without attaching, or an anonymous section",
    ))
}

pub(crate) fn held(_: BorrowedFd<'_>, _: u64) -> Result<Hold> {
    Err(unsupported().detail("this system has no locks that belong to an open file"))
}

fn unsupported() -> Error {
    cvt(rustix::io::Errno::OPNOTSUPP)
}
