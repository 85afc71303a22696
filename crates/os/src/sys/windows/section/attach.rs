//! The users of a file, and the process that grows it: bytes far beyond the end of any file, the
//! gate, the room and the growth, locked by `LockFileEx`.
//!
//! Windows frees such locks when their handle is closed, also when the process was killed. They are
//! far beyond the end, because a lock also obstructs `ReadFile` and `WriteFile` of other processes.
//! A write to a view of a locked range can fault, too.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    super::cvt::{is, last},
    handle::{Places, Section},
};
use crate::error::{Error, ErrorKind, Result};
use std::{
    fs::File,
    os::windows::io::AsRawHandle,
    sync::{MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::ERROR_LOCK_VIOLATION,
    Storage::FileSystem::{
        LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
    },
    System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0},
};

const GATE: u64 = 0x7fff_ffff_ffff_fff0;
const ROOM: u64 = GATE + 1;
/// Locked by the process that makes the file longer.
pub(super) const GROWTH: u64 = GATE + 2;

pub(crate) fn attach(section: &Section, timeout: Duration) -> Result<bool> {
    let Some(file) = &section.file else { return Ok(section.created) };
    let deadline = Instant::now().checked_add(timeout);
    let mut pause = 1;
    loop {
        // The mutex is not held over the sleep, so that `detach` never waits.
        let mut places = places(section);
        if !places.gate && try_lock(file, GATE, LOCKFILE_EXCLUSIVE_LOCK)? {
            places.gate = true;
            break;
        }
        drop(places);
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(ErrorKind::TimedOut, "", "").detail(
                "another process is just opening or repairing it; wait for that, or end it if it \
                 hangs",
            ));
        }
        thread::sleep(Duration::from_millis(pause));
        pause = (pause + 1).min(10);
    }
    // A read-only handle cannot repair, so it is never alone.
    if !section.writes_file {
        return Ok(false);
    }
    match try_lock(file, ROOM, LOCKFILE_EXCLUSIVE_LOCK) {
        Ok(true) => unlock(file, ROOM).map(|()| true),
        result => result,
    }
    .inspect_err(|_| detach(section))
}

pub(crate) fn attached(section: &Section) -> Result<()> {
    let Some(file) = &section.file else { return Ok(()) };
    let mut places = places(section);
    if !section.writes_file {
        // A reader does not enter the room: it holds no lock that would have to be freed. It must
        // not keep the next writer from being alone, since only a writer that is alone frees the
        // locks that dead processes left.
        let opened = if places.gate { unlock(file, GATE) } else { Ok(()) };
        places.gate = false;
        return opened;
    }
    // Only the handle that has the gate locks the room exclusively, and this handle has it.
    let entered = try_lock(file, ROOM, 0);
    if matches!(entered, Ok(true)) {
        places.entered += 1;
    }
    let opened = if places.gate { unlock(file, GATE) } else { Ok(()) };
    places.gate = false;
    match entered {
        Ok(true) => opened,
        Ok(false) => Err(Error::new(ErrorKind::Contended, "", "")
            .detail("a program that is none of ours keeps the end of the file locked; end it")),
        Err(error) => Err(error),
    }
}

pub(crate) fn detach(section: &Section) {
    let Some(file) = &section.file else { return };
    let mut places = places(section);
    // A failure means that the lock does not exist; closing the handle would free it anyway.
    if places.gate {
        places.gate = false;
        let _ = unlock(file, GATE);
    } else if places.entered > 0 {
        places.entered -= 1;
        let _ = unlock(file, ROOM);
    }
}

fn places(section: &Section) -> MutexGuard<'_, Places> {
    // No code can panic half-way through a change, so a poisoned value is intact.
    section.places.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(byte: u64) -> OVERLAPPED {
    let offset = OVERLAPPED_0_0 { Offset: byte as u32, OffsetHigh: (byte >> 32) as u32 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..OVERLAPPED::default() }
}

/// Locks one byte, unless another handle has it.
pub(super) fn try_lock(file: &File, byte: u64, how: u32) -> Result<bool> {
    let mut at = at(byte);
    let flags = LOCKFILE_FAIL_IMMEDIATELY | how;
    // SAFETY: the handle is open for as long as it is borrowed and was opened without
    // FILE_FLAG_OVERLAPPED, so the call is over when it returns and `at` is not used afterwards.
    if unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut at) } != 0 {
        return Ok(true);
    }
    let error = last();
    if is(&error, ERROR_LOCK_VIOLATION) { Ok(false) } else { Err(error) }
}

pub(super) fn unlock(file: &File, byte: u64) -> Result<()> {
    let mut at = at(byte);
    // SAFETY: as in `try_lock`.
    if unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut at) } == 0 {
        return Err(last());
    }
    Ok(())
}
