//! Tokens: the named mutexes that threads own for life, by which others see who is gone.

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
    /// The region in which this thread took its last lock, and how lock words name it there. Has no
    /// destructor, so that reading it costs a load; `Claims` clears it when the thread ends.
    static LATEST: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// The slots of this thread.
    static CLAIMS: RefCell<Claims> = RefCell::default();
}

/// What a thread owns, by the number of the `Locks` that it is for.
#[derive(Default)]
struct Claims(HashMap<u64, Claim>);

struct Claim {
    /// What the tokens of its region are called. Gone with the last of the region's `Locks`.
    tokens: Weak<str>,
    /// The same, to be known by after that.
    name: Box<str>,
    slot: usize,
    owner: u32,
    /// What ends its sleep; made when it first sleeps.
    event: Option<Arc<OwnedHandle>>,
    _token: Token,
}

/// A mutex that this thread owns.
struct Token(OwnedHandle);

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the handle is open. The thread that acquired the mutex is the one that drops this
        // value: it keeps it in a thread-local, or drops it where it acquired it. On another thread
        // the call would fail and change nothing.
        unsafe { ReleaseMutex(self.0.as_raw_handle()) };
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        // The thread ends: no lock by a slot that others may have from now on. The regions are not
        // touched, they may be unmapped.
        remember(0, 0);
    }
}

/// How lock words name this thread, if it has a slot.
#[inline]
pub(super) fn cached(number: u64) -> Option<u32> {
    let (latest, owner) = LATEST.try_with(Cell::get).unwrap_or_default();
    if latest == number { Some(owner) } else { recall(number) }
}

fn remember(number: u64, owner: u32) {
    // Fails only while the thread ends, and then nothing is to be remembered.
    let _ = LATEST.try_with(|latest| latest.set((number, owner)));
}

fn recall(number: u64) -> Option<u32> {
    let owner = CLAIMS.try_with(|claims| Some(claims.try_borrow().ok()?.0.get(&number)?.owner));
    let owner = owner.ok().flatten()?;
    remember(number, owner);
    Some(owner)
}

/// Finds this thread a slot of `slots` whose token it can have, and keeps it. `enter` writes the
/// slot's words and answers how lock words name it.
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
            // What maps that are closed left with this thread: nobody else can give it back.
            claims.0.retain(|_, claim| claim.tokens.strong_count() > 0);
            let private = Private::new()?;
            // Threads begin at different slots, so that the first try is mostly the last. Their ids
            // are multiples of 4.
            let first = (current_thread() / 4) as usize % slots;
            for slot in (first..slots).chain(0..first) {
                // A mutex lets its own thread in again and again: a second time would be no proof.
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
                format!("all {slots} places for writing threads are taken; end some of them"),
            ))
        })
        .unwrap_or_else(|_| Err(ends()))?;
    remember(number, owner);
    Ok(owner)
}

/// The event of this thread in the region where it has a slot; made once.
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

/// The token of a slot, if it can be had at once.
fn try_token(tokens: &str, slot: usize, private: &Private) -> Result<Option<Token>> {
    let name = Wide::new(format!("{tokens}{slot}"))?;
    let attributes = private.attributes(false);
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, name.as_ptr()) };
    if mutex.is_null() {
        let error = last();
        // Another user's, or another kind of object: not for us.
        let theirs = is(&error, ERROR_ACCESS_DENIED) || is(&error, ERROR_INVALID_HANDLE);
        return if theirs { Ok(None) } else { Err(error.during("take lock", "")) };
    }
    // SAFETY: the call gave us this handle, and nobody else has it.
    let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
    match wait::for_object(mutex.as_handle(), Duration::ZERO)? {
        Waited::Got | Waited::Abandoned => Ok(Some(Token(mutex))),
        Waited::TimedOut => Ok(None),
    }
}

/// A look at the token of somebody who stands in the way, kept open over several rounds.
#[derive(Default)]
pub(super) struct Look {
    slot: usize,
    token: Option<OwnedHandle>,
}

impl Look {
    /// Whether the thread that has the slot is gone; waits up to `patience` for it to go. Whoever
    /// does not let us see counts as alive: nobody living is ever robbed.
    pub(super) fn owner_is_gone(
        &mut self,
        tokens: &str,
        slot: usize,
        patience: Duration,
    ) -> Result<bool> {
        // Ourselves, by a forged word or by a lock that was not given back: the mutex would let us
        // in.
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
                // An owner keeps its mutex open, so there is none: not of this name, or the name
                // belongs to another kind of object by now.
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
            // Told that it was abandoned or not: that is told to one waiter only. Nobody has it, so
            // its owner is gone, and so is our hold of it at the end of this line.
            Waited::Got | Waited::Abandoned => {
                drop(Token(token));
                Ok(true)
            }
        }
    }
}

fn open(tokens: &str, slot: usize) -> Result<OwnedHandle> {
    let name = Wide::new(format!("{tokens}{slot}"))?;
    // To wait and to give back. The second is counted among the rights to read, so that the token of
    // a program which runs with more rights than ours can be looked at, too.
    let rights = SYNCHRONIZATION_SYNCHRONIZE | MUTEX_MODIFY_STATE;
    // SAFETY: the name lives until after the call and ends with a zero.
    let mutex = unsafe { OpenMutexW(rights, 0, name.as_ptr()) };
    if mutex.is_null() {
        return Err(last());
    }
    // SAFETY: the call gave us this handle, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(mutex) })
}
