//! The processes that use a section: a byte for each seat, far beyond the end, locked by the handle
//! that has the seat. See [`crate::sys::Platform::take_seat`].

use super::{
    error::refuse,
    ofd::{self, Hold},
    section::handle::Section,
};
use crate::{
    error::{ErrorKind, Result},
    spec::SeatSpec,
};

pub(super) fn take(section: &Section, spec: &SeatSpec) -> Result<Option<usize>> {
    check(section)?;
    let file = section.lock_file()?;
    for slot in 0..spec.among {
        if ofd::set(file, byte(slot), Hold::Exclusive)? {
            return Ok(Some(slot));
        }
    }
    for slot in 0..spec.among {
        if ofd::held(file, byte(slot))? == Hold::Shared {
            return Err(refuse(ErrorKind::Full, ofd::LOCKED_BY_A_READER));
        }
    }
    Ok(None)
}

pub(super) fn is_taken(section: &Section, slot: usize) -> Result<bool> {
    check(section)?;
    // A handle for reading has no seat of its own that must not count, so it needs no second file.
    let file = if section.writable { section.lock_file()? } else { section.fd() };
    // A shared lock is of no holder: every process that may read the file can have one.
    Ok(ofd::held(file, byte(slot))? == Hold::Exclusive)
}

pub(super) fn leave(section: &Section, slot: usize) {
    if let (true, Ok(file)) = (section.is_of_this_process(), section.lock_file()) {
        let _ = ofd::set(file, byte(slot), Hold::Nothing);
    }
}

/// Refuses a child after fork: it has no copy of the open file that has the locks. A lock on the
/// other open file, which it shares with its parent, would be the parent's too.
fn check(section: &Section) -> Result<()> {
    if section.is_of_this_process() {
        return Ok(());
    }
    Err(refuse(
        ErrorKind::Closed,
        "it belongs to the process that this one was forked from; open the section again here",
    ))
}

fn byte(slot: usize) -> u64 {
    ofd::SEATS + slot as u64
}
