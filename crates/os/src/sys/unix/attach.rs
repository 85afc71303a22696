//! The users of a file, by two bytes far beyond its end. See [`crate::sys::Platform::attach`].

use super::{
    error::refuse,
    ofd::{self, Hold},
    pause::Pause,
    section::handle::Section,
};
use crate::error::{ErrorKind, Result};
use std::{os::fd::BorrowedFd, sync::atomic::Ordering, time::Duration};

pub(super) fn attach(section: &Section, timeout: Duration) -> Result<bool> {
    if !section.has_file() {
        return Ok(section.created);
    }
    // Acquire here and Release below: the flag guards only the locks, which the system itself
    // orders.
    if section.attached.swap(true, Ordering::AcqRel) {
        return Err(refuse(
            ErrorKind::InvalidArgument,
            "this handle is attached already; open the file again for a second place",
        ));
    }
    let alone = take(section, timeout);
    if alone.is_err() {
        release(section);
        section.attached.store(false, Ordering::Release);
    }
    alone
}

fn take(section: &Section, timeout: Duration) -> Result<bool> {
    let mut pause = Pause::up_to(timeout);
    let file = section.lock_file()?;
    let mut wait_for = |byte, hold| {
        while !ofd::set(file, byte, hold)? {
            if !pause.once() {
                return Err(ofd::blocked(file, obstacle(file, byte)?));
            }
        }
        Ok(())
    };
    if !section.writable {
        // A reader waits only for handles that are in the gate. It does not enter the room: it
        // holds no lock that would have to be freed. It must not keep the next writer from being
        // alone, since only a writer that is alone frees the locks that dead processes left.
        wait_for(ofd::GATE, Hold::Shared)?;
        ofd::set(file, ofd::GATE, Hold::Nothing)?;
        return Ok(false);
    }
    wait_for(ofd::GATE, Hold::Exclusive)?;
    let alone = ofd::set(file, ofd::ROOM, Hold::Exclusive)?;
    // The exclusive lock becomes a shared one in one step. Other handles see the room in use from
    // here on. They cannot check the room earlier, since the gate is held.
    wait_for(ofd::ROOM, Hold::Shared)?;
    Ok(alone)
}

pub(super) fn attached(section: &Section) -> Result<()> {
    if section.has_file() && section.is_of_this_process() {
        ofd::set(section.lock_file()?, ofd::GATE, Hold::Nothing)?;
    }
    Ok(())
}

pub(super) fn detach(section: &Section) {
    if section.has_file() && section.is_of_this_process() {
        release(section);
        section.attached.store(false, Ordering::Release);
    }
}

fn release(section: &Section) {
    let Ok(file) = section.lock_file() else { return };
    let _ = ofd::set(file, ofd::ROOM, Hold::Nothing);
    let _ = ofd::set(file, ofd::GATE, Hold::Nothing);
}

/// Returns why a lock on this byte is not granted, and what helps.
fn obstacle(file: BorrowedFd<'_>, byte: u64) -> Result<&'static str> {
    Ok(if ofd::held(file, byte)? == Hold::Exclusive {
        "another process has just opened it and is repairing it; try again, or allow more time"
    } else {
        // Readers of ours pass the gate in microseconds.
        ofd::LOCKED_BY_A_READER
    })
}
