//! Sleeping on a word. Each thread that sleeps has its own event, and stores in its slot of the
//! region's table on which word it sleeps. A thread that changes the word signals the events of its
//! sleepers.
//!
//! The event `<scope>\mapvar.<id>.w<slot>` is reset by the one wait that it ends. A superfluous
//! signal costs the thread one check of the word. If a signal is missing, since the signalling
//! thread may not open the event, the sleep lasts as long as its bound.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::super::{cvt::last, names::Wide, security::Private};
use crate::error::Result;
use std::{
    collections::HashMap,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    sync::{Mutex, PoisonError},
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, OpenEventW, SetEvent,
};

/// The events of other threads that this process has signalled, by slot. Each is opened once: the
/// slot's next owner finds the same event, since it exists as long as any process has it open.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<HashMap<usize, OwnedHandle>>);

impl Events {
    /// Signals the event of that name and slot, if it exists and this process may open it.
    pub(super) fn signal(&self, events: &str, slot: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&slot)
            && let Some(event) = open(events, slot)
        {
            known.insert(slot, event);
        }
        if let Some(event) = known.get(&slot) {
            // SAFETY: the handle is open. If the call fails, the sleeper wakes when its bound has
            // passed.
            unsafe { SetEvent(event.as_raw_handle()) };
        }
    }
}

/// Creates the event of a thread before its first sleep, or opens the event of the slot's last
/// owner.
pub(super) fn make(events: &str, slot: usize) -> Result<OwnedHandle> {
    let name = Wide::new(format!("{events}{slot}"))?;
    let private = Private::new()?;
    let attributes = private.attributes(false);
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let event = unsafe { CreateEventW(attributes.as_ptr(), 0, 0, name.as_ptr()) };
    if event.is_null() {
        return Err(last());
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

fn open(events: &str, slot: usize) -> Option<OwnedHandle> {
    let name = Wide::new(format!("{events}{slot}")).ok()?;
    // SAFETY: the name lives until after the call and ends with a zero.
    let event = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) };
    // SAFETY: the call returned this handle, and no other value owns it.
    (!event.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(event) })
}
