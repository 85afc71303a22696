//! The lock of a gem's map, where there is no gem to meet: a byte far beyond the end of the section,
//! locked by who holds it. The system gives it back when the holder ends.

use super::{
    error::refuse,
    machine,
    ofd::{self, Hold},
    section::handle::Section,
};
use crate::error::{ErrorKind, Result};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The lock belongs to the open file: there is nothing to keep beside it.
#[derive(Debug)]
pub(crate) struct RubyLock;

pub(super) fn take(section: &Section, timeout: Duration) -> Result<bool> {
    check(section)?;
    let began = Instant::now();
    // A handle for reading cannot lock exclusively; readers are in each other's way no more than so.
    let hold = if section.writable { Hold::Exclusive } else { Hold::Shared };
    for round in 0_u32.. {
        if ofd::set(section.fd(), ofd::RUBY, hold)? {
            return Ok(false);
        }
        if began.elapsed() >= timeout {
            break;
        }
        // It is held for microseconds.
        match round {
            0..20 => thread::yield_now(),
            _ => machine::nap(Duration::from_micros(20 << (round / 50).min(5))),
        }
    }
    Err(refuse(ErrorKind::TimedOut, "another process holds its lock; end it if it hangs"))
}

pub(super) fn give(section: &Section) -> Result<bool> {
    if section.is_of_this_process() {
        ofd::set(section.fd(), ofd::RUBY, Hold::Nothing)?;
    }
    Ok(true)
}

/// Nothing to free: a holder that is gone holds nothing.
pub(super) fn unlock(section: &Section) -> Result<bool> {
    check(section)?;
    if ofd::is_held(section.fd(), ofd::RUBY)? {
        return Err(refuse(
            ErrorKind::TimedOut,
            "a living process holds its lock, and this system lets nobody take it away; end it",
        ));
    }
    Ok(false)
}

fn check(section: &Section) -> Result<()> {
    if section.is_of_this_process() {
        return Ok(());
    }
    Err(refuse(
        ErrorKind::Closed,
        "it belongs to the process that this one was forked from; open it again here",
    ))
}
