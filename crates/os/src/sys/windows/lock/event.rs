//! Sleeping on a word: each thread that does has an event of its own, and says in its slot of the
//! region's table on which word it sleeps. Who changes the word signals the events of those.
//!
//! The event `<scope>\mapvar.<id>.w<slot>` is reset by the one wait that it ends. A signal too many
//! costs its thread one look at the word; one too few, that of a thread which may not open the
//! event, costs as long as the sleep was bounded to.

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

/// The events of others that this process has signalled, by slot: opened once. A slot's next owner
/// finds the same event, since it lasts as long as anybody has it open.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<HashMap<usize, OwnedHandle>>);

impl Events {
    /// Signals the event of that name and slot, if there is one and we may.
    pub(super) fn signal(&self, events: &str, slot: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&slot)
            && let Some(event) = open(events, slot)
        {
            known.insert(slot, event);
        }
        if let Some(event) = known.get(&slot) {
            // SAFETY: the handle is open. Where it fails, who sleeps looks again by itself.
            unsafe { SetEvent(event.as_raw_handle()) };
        }
    }
}

/// The event of a thread that is about to sleep for the first time, or another's of the same slot
/// before it.
pub(super) fn make(events: &str, slot: usize) -> Result<OwnedHandle> {
    let name = Wide::new(format!("{events}{slot}"))?;
    let private = Private::new()?;
    let attributes = private.attributes(false);
    // SAFETY: attributes and name live until after the call, and the name ends with a zero.
    let event = unsafe { CreateEventW(attributes.as_ptr(), 0, 0, name.as_ptr()) };
    if event.is_null() {
        return Err(last());
    }
    // SAFETY: the call gave us this handle, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

fn open(events: &str, slot: usize) -> Option<OwnedHandle> {
    let name = Wide::new(format!("{events}{slot}")).ok()?;
    // SAFETY: the name lives until after the call and ends with a zero.
    let event = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) };
    // SAFETY: the call gave us this handle, and nobody else has it.
    (!event.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(event) })
}
