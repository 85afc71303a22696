//! Lock words in shared memory that survive the death of their holder.
//!
//! A lock is one 32-bit word of ours, never a pthread object, whose pointers a hostile peer could
//! turn into a write anywhere. Who is alive is decided by the kernel, never by a process id:
//!
//! * Linux: the word holds the thread id, and while a thread takes, holds or frees it, the word
//!   stands in the thread's robust list as its pending operation. When the thread ends in any way
//!   the kernel sets `DIED` in the word and wakes a waiter.
//! * Windows: the word holds a slot of a table in the region, with its generation; each writing
//!   thread owns a slot by owning a named mutex, its token. Who can acquire a token knows that its
//!   owner is gone.
//!
//! The bits of the word are described in `spec.rs`.
//!
//! A *mark* stands for a thread that holds another lock and has taken this one by way of it: it has
//! no owner to die, the holder of that other lock (or who recovers it) takes the mark away.

use crate::{
    error::Result,
    name::Scope,
    section::view::View,
    spec::{DIED, FIRST_MARK, LockSpec, OWNER, Refused, Taken, WAITERS},
    sys::{Imp, Platform},
};
use std::{fmt, sync::atomic::Ordering, time::Duration};

/// Takes the lock words of one region.
///
/// `Send` and `Sync`. A lock belongs to the thread that took it and is freed by it.
pub struct Locks {
    sys: <Imp as Platform>::Locks,
}

impl Locks {
    /// Bytes of one slot in the table.
    pub const SLOT: usize = 64;
    /// The mark of who holds the structural lock.
    pub const MARK_L: u32 = FIRST_MARK;
    /// The mark of who holds the transaction lock.
    pub const MARK_T: u32 = FIRST_MARK + 1;

    /// For the region that `id` names (letters and digits that no other region has; the system's
    /// objects are named after it, in `scope`), whose table of `slots` slots of
    /// [`SLOT`](Self::SLOT) bytes lies at byte `table` of its view.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where this system has no way to tell the
    /// dead from the living.
    pub fn new(scope: Scope, id: &str, table: usize, slots: usize) -> Result<Self> {
        let spec = LockSpec { scope, id: id.into(), table, slots };
        Ok(Self { sys: Imp::locks(spec)? })
    }

    /// Takes the lock word at byte `at` of `view`, for this thread, waiting up to `timeout`. A
    /// thread holds one lock at a time and runs no foreign code under it.
    ///
    /// # Errors
    /// [`Refused`] says why it was not taken.
    #[inline]
    pub fn lock(&self, view: &View, at: usize, timeout: Duration) -> Result<Taken, Refused> {
        Imp::lock(&self.sys, view.range(), at, timeout)
    }

    /// Frees a lock that this thread took, and wakes one who waits for it.
    #[allow(clippy::inline_always, reason = "as `try_lock`")]
    #[inline(always)]
    pub fn unlock(&self, view: &View, at: usize) {
        Imp::unlock(&self.sys, view.range(), at);
    }

    /// As [`lock`](Self::lock), if the word is free at the first look and its last holder lived.
    /// False, with nothing done, where it is not so, or where the system has no quick way:
    /// `lock` tells why.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the lock")]
    #[inline(always)]
    pub fn try_lock(&self, view: &View, at: usize) -> bool {
        Imp::try_lock(&self.sys, view.range(), at)
    }

    /// Puts `mark` into a free lock word, once, without waiting. `Ok` says whether its last owner
    /// died with it, `Err` what stands there instead: somebody holds it.
    ///
    /// # Errors
    /// The owner found.
    pub fn mark(&self, view: &View, at: usize, mark: u32) -> Result<Taken, u32> {
        let Some(word) = view.range().half(at) else { return Err(0) };
        // Acquire pairs with the Release of `unlock`: what the last holder wrote is seen.
        let found = word.load(Ordering::Relaxed);
        if found & OWNER != 0 {
            return Err(found & OWNER);
        }
        let marked = mark | found & WAITERS;
        match word.compare_exchange(found, marked, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) if found & DIED != 0 => Ok(Taken::Recovered),
            Ok(_) => Ok(Taken::Clean),
            Err(now) => Err(now & OWNER),
        }
    }

    /// Whether the lock word bears `mark`.
    pub fn is_marked(&self, view: &View, at: usize, mark: u32) -> bool {
        view.range().half(at).is_some_and(|word| word.load(Ordering::Acquire) & OWNER == mark)
    }

    /// Takes a mark away. Those who wait for the word are woken first, while it still stands: if
    /// this process dies in between, who recovers does it again. They find the mark, or a free
    /// lock.
    pub fn unmark(&self, view: &View, at: usize) {
        let Some(word) = view.range().half(at) else { return };
        if word.load(Ordering::Relaxed) & WAITERS != 0 {
            Imp::wake(&self.sys, view.range(), at);
        }
        // Release pairs with the Acquire of `lock`.
        word.store(0, Ordering::Release);
    }

    /// Adds 1 to the 32-bit word at byte `at` and wakes all who sleep on it. Its highest bit says
    /// that somebody does: who is about to sleep sets it, and then sleeps on the value with it;
    /// without it no system call is made.
    pub fn wake(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            // Release pairs with the Acquire load of who is about to sleep.
            if word.fetch_add(1, Ordering::AcqRel) & WAITERS != 0 {
                // Who sets it between the two sleeps on a value that does not stand there any more.
                word.fetch_and(!WAITERS, Ordering::AcqRel);
                Imp::wake(&self.sys, view.range(), at);
            }
        }
    }

    /// As [`wake`](Self::wake), by a system call in any case: for who takes over from one who died,
    /// and may have taken the bit away before he woke anybody.
    pub fn force_wake(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            word.fetch_add(1, Ordering::AcqRel);
            word.fetch_and(!WAITERS, Ordering::AcqRel);
            Imp::wake(&self.sys, view.range(), at);
        }
    }

    /// The count of the wake word at byte `at`, to be seen before the look at what is waited for:
    /// Acquire, so that what is looked at later is at least as new.
    pub fn wakes(&self, view: &View, at: usize) -> Option<u32> {
        Some(view.range().half(at)?.load(Ordering::Acquire) & !WAITERS)
    }

    /// Sleeps until [`wake`](Self::wake) has counted beyond `seen`, up to `at_most`, and answers at
    /// once (false) where it has already. Wakes for nothing now and then: look, and sleep again.
    /// On Windows a thread sleeps by the slot that it has for its locks.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly) where the view is for reading. On Windows what the
    /// system says, and [`NoSpace`](crate::ErrorKind::NoSpace) where all slots are taken.
    pub fn park(&self, view: &View, at: usize, seen: u32, at_most: Duration) -> Result<bool> {
        Imp::park(&self.sys, view.range(), at, seen, at_most)
    }

    /// Makes a lock word free, whoever held it: for who knows that no holder is left, because the
    /// machine was started anew since.
    pub fn reset(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            word.store(0, Ordering::Release);
        }
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locks").field(&self.sys).finish()
    }
}
