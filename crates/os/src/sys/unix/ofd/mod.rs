//! Byte locks that belong to an open file (`F_OFD_SETLK`): the system takes them back when the last
//! descriptor of that open file is closed, in whatever way the process ends.
//!
//! Duplicates of a descriptor, also those that `fork` gives to a child, share the open file and so
//! the lock: an explicit unlock frees it for all of them, a `close` only when it is the last.
//! (The older record locks of POSIX are lost when *any* descriptor of the file is closed.)

mod hold;
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "illumos"
    )),
    path = "missing.rs"
)]
mod calls;

use crate::spec::MOST_SEATS;

pub(super) use calls::{is_held, set};
pub(super) use hold::Hold;

/// Held shared by each handle of a named section for as long as it lives.
pub(super) const LIFE: u64 = FAR;
/// Held by who attaches to a file, until it is done.
pub(super) const GATE: u64 = FAR + 1;
/// Held shared by who is attached to a file.
pub(super) const ROOM: u64 = FAR + 2;
/// From here on one byte for each seat, held exclusively by who has it.
pub(super) const SEATS: u64 = FAR - MOST_SEATS as u64;
/// Held by who makes a section longer.
pub(super) const GROWTH: u64 = FAR + 3;
/// Held by who reads or writes a gem's map; shared by who can only read.
pub(super) const RUBY: u64 = FAR + 4;

/// Beyond the end of every file: ext4 ends at 2^44, xfs, btrfs and tmpfs at 2^63 - 1, and no
/// section has sixteen bytes less than that. (The bytes of the seats, before it, could lie in a file
/// of nearly that size. That does no harm: what is in a file is never locked.)
const FAR: u64 = (1 << 63) - 16;
