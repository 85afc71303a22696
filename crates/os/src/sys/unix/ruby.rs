//! The lock of a gem's map, on systems for which there is no gem: a byte far beyond the end of the
//! section, locked by the owner of the lock. The system releases it when the owner ends.

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

/// The lock belongs to the open file, so there is no state beside it.
#[derive(Debug)]
pub(crate) struct RubyLock;

pub(super) fn take(section: &Section, timeout: Duration) -> Result<bool> {
    check(section)?;
    let began = Instant::now();
    // A read-only handle cannot lock exclusively. A shared lock excludes writers, but not other
    // readers.
    let hold = if section.writable { Hold::Exclusive } else { Hold::Shared };
    for round in 0_u32.. {
        if ofd::set(section.lock_file()?, ofd::RUBY, hold)? {
            return Ok(false);
        }
        if began.elapsed() >= timeout {
            break;
        }
        // Owners hold the lock for microseconds.
        match round {
            0..20 => thread::yield_now(),
            _ => machine::nap(Duration::from_micros(20 << (round / 50).min(5))),
        }
    }
    // A writer waits for readers too, of which only one that keeps its lock is seen here.
    let shared = section.writable && ofd::held(section.lock_file()?, ofd::RUBY)? == Hold::Shared;
    Err(ofd::blocked(
        section.fd(),
        if shared {
            ofd::LOCKED_BY_A_READER
        } else {
            "another process owns its lock; end that process if it hangs"
        },
    ))
}

pub(super) fn give(section: &Section) -> Result<bool> {
    if section.is_of_this_process() {
        ofd::set(section.lock_file()?, ofd::RUBY, Hold::Nothing)?;
    }
    Ok(true)
}

/// There is nothing to free: the system has released the lock of a dead owner.
pub(super) fn unlock(section: &Section) -> Result<bool> {
    check(section)?;
    // A handle that can only read has a shared lock while it reads, so that one counts too.
    let what = match ofd::held(section.lock_file()?, ofd::RUBY)? {
        Hold::Nothing => return Ok(false),
        Hold::Shared => ofd::LOCKED_BY_A_READER,
        Hold::Exclusive => {
            "a living process owns its lock, and this system has no way to take it away; end that \
             process"
        }
    };
    Err(refuse(ErrorKind::TimedOut, what))
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
