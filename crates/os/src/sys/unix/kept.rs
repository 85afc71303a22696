//! Mappings that were given up while a thread of this process owned a lock in them.
//!
//! They stay mapped until no thread can make the kernel write to them: see `lock/holders.rs`. There
//! is no lock, which a fork could leave taken: a thread takes the whole list, and puts back what
//! stays.

#![allow(unsafe_code, reason = "mappings are unmapped, and the list is reached by a pointer")]

use super::lock;
use rustix::mm;
use std::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

/// A mapping without an owner. No code accesses its memory but the kernel.
struct Kept {
    address: NonNull<u8>,
    len: usize,
    next: *mut Kept,
}

static LIST: AtomicPtr<Kept> = AtomicPtr::new(ptr::null_mut());

/// Keeps a mapping of `len` bytes until no thread owns a lock in it.
///
/// # Safety
/// The caller gives the mapping up: it never unmaps it, and no reference into it is left.
pub(super) unsafe fn keep(address: NonNull<u8>, len: usize) {
    put(Box::new(Kept { address, len, next: ptr::null_mut() }));
}

fn put(mut kept: Box<Kept>) {
    kept.next = LIST.load(Ordering::Relaxed);
    let new = Box::into_raw(kept);
    loop {
        // SAFETY: made by `Box::into_raw` above, and not published yet.
        let next = unsafe { (*new).next };
        // SYNC POINT: Release pairs with the Acquire in `unmap_those_that_are_free`. Entries are only
        // ever removed all at once, so the same first entry means the same list.
        match LIST.compare_exchange(next, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            // SAFETY: as above.
            Err(now) => unsafe { (*new).next = now },
        }
    }
}

/// Unmaps the mappings in which no thread owns a lock any more.
pub(super) fn unmap_those_that_are_free() {
    if LIST.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SYNC POINT: Acquire pairs with the Release in `put`.
    let mut rest = LIST.swap(ptr::null_mut(), Ordering::Acquire);
    while !rest.is_null() {
        // SAFETY: made by `Box::into_raw` in `put`, and taken out of the list by this thread alone.
        let kept = unsafe { Box::from_raw(rest) };
        rest = kept.next;
        let first = kept.address.addr().get();
        if lock::is_held_within(&(first..first + kept.len)) {
            put(kept);
        } else {
            // SAFETY: the mapping was given up to this list (`keep`), and only this thread has its
            // entry. The kernel does not write to it any more either.
            let _ = unsafe { mm::munmap(kept.address.as_ptr().cast(), kept.len) };
        }
    }
}
