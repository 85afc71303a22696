//! Named locks, for the user's own critical sections.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, offer, wanted},
    errors::run_call,
    handles::{Turns, close, make, make_if_any, make_within, with},
    types::{mapvar_held, mapvar_lock, mapvar_map, mapvar_ticket},
};
use mapvar::{
    ErrorKind, Result,
    lock::{Acquired, LockMode, OwnedLockGuard},
};
use std::{ffi::c_char, mem::MaybeUninit, time::Duration};

/// Returns a handle to the lock of this name, 1 to 1,017 bytes; the lock need not have been used
/// before.
/// Errors: MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_lock(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_lock>>,
) -> i32 {
    run_call("mapvar_map_lock", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.lock(name?))
    })
}

/// Acquires the lock, exclusively or (`shared` not 0) together with others that share it; waits for
/// at most this many milliseconds. Acquisition is in order of arrival; a lock is never taken from a
/// living owner.
/// Errors: MAPVAR_TIMED_OUT, with mapvar_last_error_holder; MAPVAR_INVALID_ARGUMENT if this thread
/// has it already; MAPVAR_READ_ONLY; MAPVAR_FULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_take(
    lock: *mut mapvar_lock,
    shared: i32,
    milliseconds: u64,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    run_call("mapvar_lock_take", || {
        make("held", held, || {
            with(lock, |lock| {
                let taken = if shared == 0 {
                    lock.acquire_timeout(timeout)
                } else {
                    lock.share_timeout(timeout)
                };
                taken.map(OwnedLockGuard::from)
            })
        })
    })
}

/// Enters the queue of a lock without waiting. For callers that wait in slices, to stay
/// interruptible, and keep their place in between.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_queue(
    lock: *mut mapvar_lock,
    shared: i32,
    ticket: Option<&mut MaybeUninit<*mut mapvar_ticket>>,
) -> i32 {
    run_call("mapvar_lock_queue", || {
        make_within("ticket", ticket, lock, |lock| {
            let mode = if shared == 0 { LockMode::Exclusive } else { LockMode::Shared };
            lock.queue(mode).map(Turns::new)
        })
    })
}

/// Waits for the lock for at most this many milliseconds. MAPVAR_TIMED_OUT keeps the place: call
/// again.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_ticket_wait(
    ticket: *mut mapvar_ticket,
    milliseconds: u64,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    run_call("mapvar_ticket_wait", || {
        make("held", held, || {
            with(ticket, |ticket| match ticket.within(timeout)? {
                Some(mut turn) => turn.wait(timeout),
                None => Err(crate::base::errors::refused(
                    ErrorKind::TimedOut,
                    "ticket",
                    "another thread waits by it; each needs a place of its own",
                )),
            })
        })
    })
}

/// Gives up a place in the queue; a lock acquired through it stays held. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_ticket_free(ticket: *mut mapvar_ticket) -> i32 {
    run_call("mapvar_ticket_free", || close(ticket).map(drop))
}

/// Acquires the lock if that is possible at once. NULL if another owner has it or others came
/// first, which is not an error.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_try(
    lock: *mut mapvar_lock,
    shared: i32,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    run_call("mapvar_lock_try", || {
        make_if_any("held", held, || {
            with(lock, |lock| {
                let taken = if shared == 0 { lock.try_acquire() } else { lock.try_share() };
                Ok(taken?.map(OwnedLockGuard::from))
            })
        })
    })
}

/// Reports the process that owns the lock, or the first of several; 0 if the lock is free.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_holder(
    lock: *mut mapvar_lock,
    process: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_lock_holder", || {
        let process = wanted("process", process)?;
        with(lock, |lock| {
            let claims = lock.claims()?;
            let holder = claims.iter().find(|claim| claim.held && claim.alive);
            process.write(holder.map_or(0, |claim| claim.holder.pid));
            Ok(())
        })
    })
}

/// Takes the lock from all its owners, living or dead; `owners` (may be NULL) is how many owners
/// there were. The protected data may be half-changed; the next owner learns that from
/// mapvar_held_abandoned.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_force_unlock(
    lock: *mut mapvar_lock,
    owners: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_lock_force_unlock", || {
        let count = with(lock, mapvar::lock::Lock::force_unlock)?.len();
        offer(owners, count);
        Ok(())
    })
}

/// Removes the lock from the map if it is free. `gone` (may be NULL) gets 1 if the map has no such
/// lock any more; it gets 0 if the lock is owned, waited for, or has a death to report. A lock takes
/// some 600 bytes of the map from its first use until it is removed; the next use creates it again.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_remove(
    lock: *mut mapvar_lock,
    gone: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_lock_remove", || {
        offer(gone, with(lock, mapvar::lock::Lock::remove)?.into());
        Ok(())
    })
}

/// Frees a handle; a lock acquired through it stays held. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_free(lock: *mut mapvar_lock) -> i32 {
    run_call("mapvar_lock_free", || close(lock).map(drop))
}

/// Reports the process that owned the lock and ended without releasing it, or from which it was
/// taken by force. The protected data may be half-changed then. 0 if the lock was released, the
/// usual case. Each shared owner learns of an exclusive one, until an exclusive owner has learned
/// of it; of a shared one learns the next exclusive owner.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_abandoned(
    held: *mut mapvar_held,
    process: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_held_abandoned", || {
        let process = wanted("process", process)?;
        with(held, |held| {
            process.write(match held.acquired() {
                Acquired::Clean => 0,
                Acquired::Abandoned(dead) | Acquired::AbandonedShared(dead) => dead.pid,
                // An outcome of a later version is not a clean one.
                _ => u32::MAX,
            });
            Ok(())
        })
    })
}

/// Releases the lock and keeps the handle, to be freed by mapvar_held_release, which then releases
/// nothing. After MAPVAR_TIMED_OUT and MAPVAR_CONTENDED the lock is still held: call it again.
/// Errors: those of mapvar_held_release.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_try_release(held: *mut mapvar_held) -> i32 {
    run_call("mapvar_held_try_release", || with(held, OwnedLockGuard::try_release))
}

/// Releases the lock as if this owner had never had it: the notice that mapvar_held_abandoned
/// reports goes to the next owner. For a program that was interrupted before it could act on it.
/// The handle is freed, whatever the result. Does nothing for NULL.
/// Errors: those of mapvar_held_release.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_give_back(held: *mut mapvar_held) -> i32 {
    run_call("mapvar_held_give_back", || finished(held, OwnedLockGuard::give_back))
}

/// Releases the lock; the handle is freed, whatever the result. Does nothing for NULL.
/// Errors: MAPVAR_TAKEN_AWAY if the lock was taken away by force.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_release(held: *mut mapvar_held) -> i32 {
    run_call("mapvar_held_release", || finished(held, OwnedLockGuard::release))
}

fn finished(held: *mut mapvar_held, how: impl FnOnce(OwnedLockGuard) -> Result<()>) -> Result<()> {
    match close(held)? {
        Some(held) => how(held),
        None if held.is_null() => Ok(()),
        // Another thread is in a call on the handle; the lock is released when that call ends.
        None => Err(crate::base::errors::refused(
            ErrorKind::Contended,
            "held",
            "another thread uses it now; it is freed when that thread is done",
        )),
    }
}
