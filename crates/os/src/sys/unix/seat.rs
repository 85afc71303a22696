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
    for slot in 0..spec.among {
        if ofd::set(section.fd(), byte(slot), Hold::Exclusive)? {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

pub(super) fn is_taken(section: &Section, slot: usize) -> Result<bool> {
    check(section)?;
    ofd::is_held(section.fd(), byte(slot))
}

pub(super) fn leave(section: &Section, slot: usize) {
    if section.is_of_this_process() {
        let _ = ofd::set(section.fd(), byte(slot), Hold::Nothing);
    }
}

/// Refuses a child after fork, which shares the open file with its parent: a lock of the one does
/// not obstruct the other, and the other cannot see it.
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
