//! Tokens: the named mutexes that threads own until they end, by which others detect their death.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::super::{
    cvt::{is, last},
    machine::current_thread,
    names::Wide,
    security::Private,
    wait::{self, Waited},
};
use crate::error::{Error, ErrorKind, Result};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle},
    sync::{Arc, Weak},
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_INVALID_HANDLE},
    System::Threading::{
        CreateMutexW, MUTEX_MODIFY_STATE, OpenMutexW, ReleaseMutex, SYNCHRONIZATION_SYNCHRONIZE,
    },
};

thread_local! {
    /// The region in which this thread took its last lock, and its owner number there. It has no
    /// destructor, so that reading it costs a load; `Claims` clears it when the thread ends.
    static LATEST: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// The slots of this thread.
    static CLAIMS: RefCell<Claims> = RefCell::default();
}

/// The slots that a thread owns, by the number of their `Locks`.
#[derive(Default)]
struct Claims(HashMap<u64, Claim>);

struct Claim {
    /// The name of the region's tokens. It is dropped with the last of the region's `Locks`.
    tokens: Weak<str>,
    /// The same name, to identify the claim after that.
    name: Box<str>,
    slot: usize,
    owner: u32,
    /// The event that ends the thread's sleep; created when the thread first sleeps.
    event: Option<Arc<OwnedHandle>>,
    _token: Token,
}

/// A mutex that this thread owns.
struct Token(OwnedHandle);

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the handle is open. The thread that acquired the mutex is the one that drops this
        // value: it keeps the value in a thread-local, or drops it where it acquired the mutex. On
        // another thread the call would fail and change nothing.
        unsafe { ReleaseMutex(self.0.as_raw_handle()) };
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        // The thread ends: it must not lock by a slot that other threads may own from now on. The
        // regions are not accessed, since they may be unmapped.
        remember(0, 0);
    }
}

/// Returns the owner number of this thread in lock words, if it has a slot.
#[inline]
pub(super) fn cached(number: u64) -> Option<u32> {
    let (latest, owner) = LATEST.try_with(Cell::get).unwrap_or_default();
    if latest == number { Some(owner) } else { recall(number) }
}

fn remember(number: u64, owner: u32) {
    // Fails only while the thread ends, when there is nothing to remember.
    let _ = LATEST.try_with(|latest| latest.set((number, owner)));
}

fn recall(number: u64) -> Option<u32> {
    let owner = CLAIMS.try_with(|claims| Some(claims.try_borrow().ok()?.0.get(&number)?.owner));
    let owner = owner.ok().flatten()?;
    remember(number, owner);
    Some(owner)
}

/// Finds one of `slots` slots whose token is free, and keeps it for this thread. `enter` writes the
/// slot's words and returns its owner number.
pub(super) fn claim(
    number: u64,
    tokens: &Arc<str>,
    slots: usize,
    enter: impl FnOnce(usize) -> Result<u32>,
) -> Result<u32> {
    let refuse = |kind, detail: String| Error::new(kind, "take lock", "").detail(detail);
    let ends = || refuse(ErrorKind::Closed, "the thread is ending; lock before that".into());
    let owner = CLAIMS
        .try_with(|claims| {
            let mut claims = claims.try_borrow_mut().map_err(|_| ends())?;
            // Releases the slots of maps that are closed: no other thread can release them.
            claims.0.retain(|_, claim| claim.tokens.strong_count() > 0);
            let private = Private::new()?;
            // Threads begin at different slots, so that the first try mostly succeeds. Their ids
            // are multiples of 4.
            let first = (current_thread() / 4) as usize % slots;
            for slot in (first..slots).chain(0..first) {
                // A mutex admits its own thread again and again, so a second acquisition would
                // prove nothing.
                if claims.0.values().any(|claim| claim.is(tokens, slot)) {
                    continue;
                }
                let Some(token) = try_token(tokens, slot, &private)? else { continue };
                let owner = enter(slot)?;
                let claim = Claim {
                    tokens: Arc::downgrade(tokens),
                    name: (&**tokens).into(),
                    slot,
                    owner,
                    event: None,
                    _token: token,
                };
                claims.0.insert(number, claim);
                return Ok(owner);
            }
            Err(refuse(
                ErrorKind::NoSpace,
                format!("all {slots} slots for writing threads are taken; end some of them"),
            ))
        })
        .unwrap_or_else(|_| Err(ends()))?;
    remember(number, owner);
    Ok(owner)
}

/// Returns the event of this thread in the region where it has a slot; creates it once.
pub(super) fn event(
    number: u64,
    make: impl FnOnce() -> Result<OwnedHandle>,
) -> Result<Arc<OwnedHandle>> {
    let none = || {
        Error::new(ErrorKind::Closed, "wait for a change", "")
            .detail("the thread is ending; wait before that")
    };
    CLAIMS
        .try_with(|claims| {
            let mut claims = claims.try_borrow_mut().map_err(|_| none())?;
            let claim = claims.0.get_mut(&number).ok_or_else(none)?;
            if let Some(event) = &claim.event {
                return Ok(Arc::clone(event));
            }
            let event = Arc::new(make()?);
            claim.event = Some(Arc::clone(&event));
            Ok(event)
        })
        .unwrap_or_else(|_| Err(none()))
}

impl Claim {
    fn is(&self, tokens: &str, slot: usize) -> bool {
        self.slot == slot && *self.name == *tokens
    }
}

/// Acquires the token of a slot, if that is possible at once.
fn try_token(tokens: &str, slot: usize, private: &Private) -> Result<Option<Token>> {
    let name = Wide::new(format!("{tokens}{slot}"))?;
    let attributes = private.attributes(false);
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, name.as_ptr()) };
    if mutex.is_null() {
        let error = last();
        // The object belongs to another user, or is of another kind: this token cannot be acquired.
        let theirs = is(&error, ERROR_ACCESS_DENIED) || is(&error, ERROR_INVALID_HANDLE);
        return if theirs { Ok(None) } else { Err(error.during("take lock", "")) };
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
    match wait::for_object(mutex.as_handle(), Duration::ZERO)? {
        Waited::Got | Waited::Abandoned => Ok(Some(Token(mutex))),
        Waited::TimedOut => Ok(None),
    }
}

/// A check of a lock owner's token, which is kept open over several rounds.
#[derive(Default)]
pub(super) struct OwnerCheck {
    slot: usize,
    token: Option<OwnedHandle>,
}

impl OwnerCheck {
    /// Returns whether the owner of the slot is dead; waits up to `patience` for its death. An
    /// owner whose token denies access counts as alive, so no lock is taken from a living owner.
    pub(super) fn owner_is_gone(
        &mut self,
        tokens: &str,
        slot: usize,
        patience: Duration,
    ) -> Result<bool> {
        // The word names this thread itself: it is forged, or a lock was not released. The mutex
        // would admit this thread, which proves nothing.
        let own = CLAIMS.try_with(|claims| {
            let claims = claims.try_borrow().ok()?;
            Some(claims.0.values().any(|claim| claim.is(tokens, slot)))
        });
        let own = own.ok().flatten().unwrap_or(true);
        if own {
            std::thread::sleep(patience);
            return Ok(false);
        }
        if self.slot != slot {
            self.token = None;
        }
        let token = match self.token.take() {
            Some(token) => token,
            None => match open(tokens, slot) {
                Ok(token) => token,
                // An owner keeps its mutex open. So there is no owner: no object has this name, or
                // the name now belongs to another kind of object.
                Err(error)
                    if is(&error, ERROR_FILE_NOT_FOUND) || is(&error, ERROR_INVALID_HANDLE) =>
                {
                    return Ok(true);
                }
                Err(error) if is(&error, ERROR_ACCESS_DENIED) => {
                    std::thread::sleep(patience);
                    return Ok(false);
                }
                Err(error) => return Err(error.during("take lock", "")),
            },
        };
        match wait::for_object(token.as_handle(), patience)? {
            Waited::TimedOut => {
                (self.slot, self.token) = (slot, Some(token));
                Ok(false)
            }
            // Abandoned is reported to one waiter only, so both outcomes count. No thread had the
            // token, so its owner is dead. The `drop` releases the token again.
            Waited::Got | Waited::Abandoned => {
                drop(Token(token));
                Ok(true)
            }
        }
    }
}

fn open(tokens: &str, slot: usize) -> Result<OwnedHandle> {
    let name = Wide::new(format!("{tokens}{slot}"))?;
    // The rights to wait and to release. The second counts as a right to read. So this process can
    // also check the token of a program that runs with more rights.
    let rights = SYNCHRONIZATION_SYNCHRONIZE | MUTEX_MODIFY_STATE;
    // SAFETY: the name lives until after the call and ends with a zero.
    let mutex = unsafe { OpenMutexW(rights, 0, name.as_ptr()) };
    if mutex.is_null() {
        return Err(last());
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(mutex) })
}
