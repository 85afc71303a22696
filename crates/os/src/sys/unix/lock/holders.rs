//! The lock words to which the kernel can still write, one for each thread.
//!
//! The kernel writes to the word that a thread has announced, when that thread ends. So the memory
//! of the word must stay mapped until then, even if safe code drops the view, in whichever thread.
//! The entry that the kernel reads lies in memory of the thread, which ends with it. So each thread
//! repeats the address of the word here, in a holder that is never freed. A mapping is unmapped only
//! if no holder has a word in it.
//!
//! | `owner` of a holder | the holder |
//! | --- | --- |
//! | 0 | is free |
//! | a process and a thread of it | belongs to that thread |
//! | the same with `LEFT` | belongs to that thread, which will not return it: it ends as the owner of a lock, or it took the lock while it was ending |
//! | the process and `CLAIMED` | belongs for a moment to a thread that checks whether the former owner is gone |
//!
//! After a fork the threads of the parent do not exist in the child, and with them their holders:
//! the number of the process differs. There is no lock, which a fork could leave taken.

#![allow(unsafe_code, reason = "holders are reached by a pointer")]

use super::super::machine;
use crate::memory::words::Word;
use std::{
    ops::Range,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

/// A place for one thread's lock word. Each has a cache line of its own, since its thread writes to
/// it with each lock.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Holder {
    owner: Word,
    /// The address of the word; 0 if there is none. Only the owner writes to it.
    word: AtomicUsize,
    /// Set once, before the holder is published.
    next: AtomicPtr<Holder>,
}

static FIRST: AtomicPtr<Holder> = AtomicPtr::new(ptr::null_mut());

/// In `owner`: the thread will not return the holder.
const LEFT: u64 = 1 << 31;
/// The bits of `owner` that contain the number of the thread.
const THREAD: u64 = LEFT - 1;
/// In `owner`: the number of no thread.
const CLAIMED: u64 = THREAD;
const PROCESS_AT: u32 = 32;

fn of_thread(process: u32, tid: u32) -> u64 {
    u64::from(process) << PROCESS_AT | u64::from(tid) & THREAD
}

fn is_of_this_process(owner: u64) -> bool {
    owner >> PROCESS_AT == u64::from(machine::generation())
}

/// Returns whether the thread has ended, so that the kernel has dealt with its lock word. The kernel
/// does so before it frees the thread's number.
fn is_gone(owner: u64) -> bool {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let tid = (owner & THREAD) as libc::pid_t;
    // SAFETY: passes three numbers and accesses no memory. Signal 0 is none: the call only says
    // whether this process has such a thread.
    let done = unsafe { libc::syscall(libc::SYS_tgkill, process, tid, 0) };
    // Another failure, in a sandbox, is no sign that the thread is gone.
    done != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

fn all() -> impl Iterator<Item = &'static Holder> {
    // SYNC POINT: Acquire pairs with the Release in `Holder::new`, of this holder and of all before
    // it: each was published by an exchange that replaced the previous one.
    let first = FIRST.load(Ordering::Acquire);
    // SAFETY: it is null, or was made by `Box::into_raw` in `Holder::new` and published complete. It
    // is never freed, and only used through shared references.
    let first = unsafe { first.as_ref() };
    std::iter::successors(first, |holder| {
        // SAFETY: as above. Relaxed: it was set before the holder was published.
        unsafe { holder.next.load(Ordering::Relaxed).as_ref() }
    })
}

/// Returns whether the kernel can still write to a lock word in that range of addresses.
pub(super) fn is_any_within(addresses: &Range<usize>) -> bool {
    all().any(|holder| {
        // Relaxed: a lock in the range was taken through a reference into the range, and no such
        // reference is left. Whatever told this thread so also tells it of the word.
        if !addresses.contains(&holder.word.load(Ordering::Relaxed)) {
            return false;
        }
        let owner = holder.owner.load(Ordering::Relaxed);
        owner != 0 && is_of_this_process(owner) && !(owner & LEFT != 0 && is_gone(owner))
    })
}

impl Holder {
    /// Returns a holder for the calling thread, without a word.
    pub(super) fn of(process: u32, tid: u32) -> &'static Self {
        let me = of_thread(process, tid);
        let holder = all().find(|holder| holder.is_taken_by(me));
        let holder = holder.unwrap_or_else(|| Self::new(me));
        holder.clear();
        holder
    }

    fn new(owner: u64) -> &'static Self {
        let new = Box::into_raw(Box::new(Self {
            owner: Word::new(owner),
            word: AtomicUsize::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        // SAFETY: made by `Box::into_raw` above, never freed, and only used through shared
        // references.
        let holder = unsafe { &*new };
        let mut first = FIRST.load(Ordering::Relaxed);
        loop {
            holder.next.store(first, Ordering::Relaxed);
            // SYNC POINT: Release pairs with the Acquire in `all`. Holders are never removed, so the
            // same first holder means an unchanged list.
            match FIRST.compare_exchange(first, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return holder,
                Err(now) => first = now,
            }
        }
    }

    /// Takes the holder for the calling thread, if no living thread of this process has it.
    fn is_taken_by(&self, me: u64) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        // A thread that had the same number has ended, or it is this one.
        if owner == 0 || !is_of_this_process(owner) || owner & !LEFT == me {
            return self.swap_owner(owner, me);
        }
        if owner & LEFT == 0 {
            return false;
        }
        // Claimed before the check, so that the owner which is checked is still the owner afterwards.
        let claim = owner & !(THREAD | LEFT) | CLAIMED;
        if !is_gone(owner) || !self.swap_owner(owner, claim) {
            return false;
        }
        if is_gone(owner) {
            self.owner.store(me, Ordering::Release);
            return true;
        }
        self.owner.store(owner, Ordering::Release);
        false
    }

    fn swap_owner(&self, from: u64, to: u64) -> bool {
        // SYNC POINT: Acquire and Release: the former owner's changes of the word come before those
        // of the next owner.
        self.owner.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Keeps the memory at `word` mapped. Relaxed: see `is_any_within`.
    #[inline]
    pub(super) fn set(&self, word: usize) {
        self.word.store(word, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn clear(&self) {
        self.word.store(0, Ordering::Relaxed);
    }

    /// Gives the holder back, if it has no word. Returns whether it did; otherwise the thread keeps
    /// it until it has ended.
    pub(super) fn give_back(&self, process: u32, tid: u32) -> bool {
        let me = of_thread(process, tid);
        let is_free = self.word.load(Ordering::Relaxed) == 0;
        // In a child of fork another thread may have it by now; then the exchange fails.
        self.swap_owner(me, if is_free { 0 } else { me | LEFT });
        is_free
    }

    /// Notes that the thread cannot give the holder back.
    pub(super) fn leave(&self, process: u32, tid: u32) {
        let me = of_thread(process, tid);
        self.swap_owner(me, me | LEFT);
    }
}
