//! Byte locks that belong to an open file (`F_OFD_SETLK`). The system releases them when the last
//! descriptor of that open file is closed, in whatever way the process ends.
//!
//! Duplicates of a descriptor share the open file and so the lock; this includes the duplicates of
//! a child after `fork`. An explicit unlock frees the lock for all of them; a `close` frees it only
//! if it is the last. (The older record locks of POSIX are lost when *any* descriptor of the file
//! is closed.)
//!
//! Whoever may read a file can put shared locks on it, also where this crate puts exclusive ones.
//! So a shared lock there says nothing about an owner; an exclusive one needs the right to write. A
//! reader can still obstruct: where it has a shared lock, no exclusive one is granted.

mod hold;
mod witness;
#[cfg_attr(
    // Not illumos: the locks of an open file there are for the whole file only.
    not(any(target_os = "linux", target_os = "android", target_vendor = "apple")),
    path = "missing.rs"
)]
mod calls;

use super::error::refuse;
use crate::{
    error::{Error, ErrorKind},
    spec::MOST_SEATS,
};
use std::os::fd::BorrowedFd;

pub(super) use calls::{held, set};
pub(super) use hold::Hold;
pub(super) use witness::Witness;

/// Says that a lock is not granted though no process owns it exclusively.
pub(super) const LOCKED_BY_A_READER: &str = "a process that may read it has put a shared lock on it, which keeps writers out; end that process (lslocks lists it), or take away its right to read";

/// Locked shared by each handle of a named section for as long as the handle lives.
pub(super) const LIFE: u64 = FAR;
/// Locked by a handle while it attaches to a file.
pub(super) const GATE: u64 = FAR + 1;
/// Locked shared by each handle that is attached to a file.
pub(super) const ROOM: u64 = FAR + 2;
/// The first of the seats' bytes, one for each seat, locked exclusively by the handle that has it.
pub(super) const SEATS: u64 = FAR - MOST_SEATS as u64;
/// Locked by the handle that makes a section longer.
pub(super) const GROWTH: u64 = FAR + 3;
/// Locked by the owner of the lock of a gem's map; shared by a handle that can only read.
pub(super) const RUBY: u64 = FAR + 4;

/// Locked by no handle of this crate. So a lock on it is of another program, on all of the file.
const UNUSED: u64 = FAR + 5;

/// Returns the error of a lock that was not granted in time, with `detail` unless another program
/// has locked all of the file.
pub(super) fn blocked(fd: BorrowedFd<'_>, detail: &str) -> Error {
    let foreign = held(fd, UNUSED).is_ok_and(|hold| hold == Hold::Exclusive);
    let whole = "another program has locked all of it, by fcntl or lockf; end that program, or let it lock \
                 the bytes of a file of its own";
    refuse(ErrorKind::TimedOut, if foreign { whole } else { detail })
}

/// Beyond the end of every file: ext4 ends at 2^44, xfs, btrfs and tmpfs at 2^63 - 1, and no
/// section comes within sixteen bytes of that. (The bytes of the seats, below it, could lie in a
/// file of nearly that size. That does no harm: the contents of a file are never locked.)
const FAR: u64 = (1 << 63) - 16;
