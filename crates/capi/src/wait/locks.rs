//! Named locks, for the user's own critical sections.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border::{self, offer, wanted},
    errors::answer,
    handles::{Turns, close, make, make_if_any, with},
    types::{mapvar_held, mapvar_lock, mapvar_map, mapvar_place},
};
use mapvar::{ErrorKind, HeldLock, Outcome};
use std::{ffi::c_char, mem::MaybeUninit, time::Duration};

/// A handle to the lock of this name, 1 to 1,017 bytes, which need not have been used before. Errors:
/// MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_lock(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_lock>>,
) -> i32 {
    answer("mapvar_map_lock", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        make(out, || with(map, |map| map.lock(name)))
    })
}

/// Takes the lock, alone or (`shared` not 0) together with others that share it; waits up to so many
/// milliseconds. Those who came before have it before; a holder that lives is never robbed. Errors:
/// MAPVAR_TIMED_OUT, with mapvar_last_error_holder; MAPVAR_INVALID_ARGUMENT where this thread has it
/// already; MAPVAR_READ_ONLY; MAPVAR_FULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_take(
    lock: *mut mapvar_lock,
    shared: i32,
    milliseconds: u64,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    answer("mapvar_lock_take", || {
        make(held, || {
            with(lock, |lock| {
                let taken = if shared == 0 {
                    lock.acquire_timeout(timeout)
                } else {
                    lock.share_timeout(timeout)
                };
                taken.map(HeldLock::from)
            })
        })
    })
}

/// Enters the queue of a lock and waits for nothing: for callers that wait in slices, to be interrupted,
/// and do not want to lose their place between two of them.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_queue(
    lock: *mut mapvar_lock,
    shared: i32,
    place: Option<&mut MaybeUninit<*mut mapvar_place>>,
) -> i32 {
    answer("mapvar_lock_queue", || {
        make(place, || with(lock, |lock| lock.queue(shared != 0).map(Turns::new)))
    })
}

/// Waits for the lock up to so many milliseconds. The place is kept at MAPVAR_TIMED_OUT: call it again.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_place_wait(
    place: *mut mapvar_place,
    milliseconds: u64,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    answer("mapvar_place_wait", || {
        make(held, || {
            with(place, |place| match place.within(timeout)? {
                Some(mut turn) => turn.wait(timeout),
                None => Err(crate::base::errors::refused(
                    ErrorKind::TimedOut,
                    "place",
                    "another thread waits by it; each needs a place of its own",
                )),
            })
        })
    })
}

/// Gives a place up; a lock that was had by it stays held. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_place_free(place: *mut mapvar_place) -> i32 {
    answer("mapvar_place_free", || close(place).map(drop))
}

/// Takes the lock if it is to be had at once; NULL where somebody has it, or came before, and that is no
/// error.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_try(
    lock: *mut mapvar_lock,
    shared: i32,
    held: Option<&mut MaybeUninit<*mut mapvar_held>>,
) -> i32 {
    answer("mapvar_lock_try", || {
        make_if_any(held, || {
            with(lock, |lock| {
                let taken = if shared == 0 { lock.try_acquire() } else { lock.try_share() };
                Ok(taken?.map(HeldLock::from))
            })
        })
    })
}

/// The process that has the lock, or the first of them; 0 where nobody has it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_holder(
    lock: *mut mapvar_lock,
    process: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_lock_holder", || {
        let process = wanted("process", process)?;
        with(lock, |lock| {
            let claims = lock.claims()?;
            let holder = claims.iter().find(|claim| claim.held && claim.alive);
            process.write(holder.map_or(0, |claim| claim.holder.pid));
            Ok(())
        })
    })
}

/// Takes the lock away from whoever has it, living or not; says how many that were. What it protects may
/// be half-changed, which the next to take it is told.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_force_unlock(
    lock: *mut mapvar_lock,
    robbed: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_lock_force_unlock", || {
        let count = with(lock, mapvar::Lock::force_unlock)?.len();
        offer(robbed, count);
        Ok(())
    })
}

/// Frees a handle; what is held by it stays held. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_free(lock: *mut mapvar_lock) -> i32 {
    answer("mapvar_lock_free", || close(lock).map(drop))
}

/// The process whose lock this was, and who ended without giving it back, or had it taken away: what the
/// lock protects may be half-changed. 0 where it was given back, the usual case.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_recovered(
    held: *mut mapvar_held,
    process: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_held_recovered", || {
        let process = wanted("process", process)?;
        with(held, |held| {
            process.write(match held.outcome() {
                Outcome::Acquired => 0,
                Outcome::Recovered(dead) => dead.pid,
            });
            Ok(())
        })
    })
}

/// Gives the lock back; the handle is gone, whatever comes of it. NULL is well. Errors: MAPVAR_REMOVED
/// where it was taken away by force.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_held_release(held: *mut mapvar_held) -> i32 {
    answer("mapvar_held_release", || match close(held)? {
        Some(held) => held.release(),
        None if held.is_null() => Ok(()),
        // Another thread is in the midst of asking about it, and gives it back with that.
        None => Err(crate::base::errors::refused(
            ErrorKind::Contended,
            "held",
            "another thread uses it at this moment; it is given back when that is done",
        )),
    })
}
