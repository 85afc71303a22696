//! Lock words in shared memory that survive the death of their owner.
//!
//! A lock is a plain 32-bit word and never a pthread object, whose pointers a hostile peer could
//! turn into a write to any address. The kernel decides whether an owner is alive, never a process
//! id:
//!
//! * Linux: the word contains the owner's thread id. While a thread acquires, owns or releases the
//!   lock, the word is the pending operation of the thread's robust list. When the thread ends in
//!   any way, the kernel sets `DIED` in the word and wakes a waiter.
//! * Windows: the word contains a slot of a table in the region, with its generation. Each writing
//!   thread owns a slot by owning a named mutex, its token. A thread that can acquire the token of
//!   a slot knows that the slot's owner is dead.
//!
//! `spec.rs` describes the bits of the word.
//!
//! A *mark* in a word means that the owner of another lock has acquired this lock through that one.
//! A mark has no owner of its own that could die: the owner of the other lock, or its recoverer,
//! removes the mark.

use crate::{
    error::Result,
    memory::words::Half,
    name::Scope,
    section::view::View,
    spec::{DIED, FIRST_MARK, LockSpec, OWNER, Refused, Taken, WAITERS},
    sys::{Imp, Platform},
};
use std::{fmt, sync::atomic::Ordering, time::Duration};

/// Acquires and releases the lock words of one region.
///
/// `Locks` is `Send` and `Sync`. A lock belongs to the thread that acquired it; the same thread
/// must release it. The view may be dropped meanwhile, by any thread: where the kernel writes to
/// the lock word when its owner ends, the memory stays mapped until then.
///
/// ```
/// use mapvar_os::{Locks, Scope, Section, Taken};
/// use std::time::Duration;
///
/// // The lock word at byte 0, the table of 64 slots at byte 4096.
/// # if cfg!(not(any(target_os = "linux", windows))) {
/// #     return Ok::<(), mapvar_os::Error>(());
/// # }
/// let view = Section::options().size(16 << 10).create()?.view().map()?;
/// let id = format!("locksdoc{}", std::process::id());
/// let locks = Locks::new(Scope::Local, &id, 4096, 64)?;
///
/// assert_eq!(locks.lock(&view, 0, Duration::from_secs(5)).unwrap(), Taken::Clean);
/// // The critical section.
/// locks.unlock(&view, 0);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
pub struct Locks {
    sys: <Imp as Platform>::Locks,
}

/// A lock word that this thread has acquired by [`HereMut::try_lock`](crate::HereMut::try_lock).
/// Dropping it releases the lock, as [`Locks::unlock`] does.
///
/// It is neither `Send` nor `Sync`: the thread that acquired the lock must release it.
#[must_use = "the lock is released at once"]
pub struct Grip<'a> {
    _sys: <Imp as Platform>::Grip<'a>,
}

impl Locks {
    /// Size of one slot of the table, in bytes.
    pub const SLOT: usize = 64;
    /// The mark set by the owner of the structure lock (L).
    pub const MARK_L: u32 = FIRST_MARK;
    /// The mark set by the owner of the commit lock (T).
    pub const MARK_T: u32 = FIRST_MARK + 1;

    /// Creates the locks of the region named `id`.
    ///
    /// `id` consists of letters and digits and is unique to the region; the system's objects for
    /// the locks are named after it, in `scope`. The table of `slots` slots, each
    /// [`SLOT`](Self::SLOT) bytes long, begins at byte `table` of the region's view.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if this system cannot detect the death of an
    /// owner.
    pub fn new(scope: Scope, id: &str, table: usize, slots: usize) -> Result<Self> {
        let spec = LockSpec { scope, id: id.into(), table, slots, reading: false };
        Ok(Self { sys: Imp::locks(spec)? })
    }

    /// As [`new`](Self::new), for a region that is only read: it does not need what only an owner of
    /// a lock needs of the system (on Linux the call `get_robust_list`). An attempt to take a lock
    /// fails where the system lacks that.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), for what is missing on the whole system.
    pub fn for_reading(scope: Scope, id: &str, table: usize, slots: usize) -> Result<Self> {
        let spec = LockSpec { scope, id: id.into(), table, slots, reading: true };
        Ok(Self { sys: Imp::locks(spec)? })
    }

    /// Acquires the lock word at byte `at` of `view` for this thread, and waits up to `timeout`.
    ///
    /// A thread must own at most one lock at a time, and must not run foreign code meanwhile.
    ///
    /// # Errors
    /// [`Refused`] contains the reason why the lock was not acquired.
    #[inline]
    pub fn lock(&self, view: &View, at: usize, timeout: Duration) -> Result<Taken, Refused> {
        Imp::lock(&self.sys, view.range(), at, timeout)
    }

    /// Releases a lock that this thread owns, and wakes a waiter.
    #[allow(clippy::inline_always, reason = "as `try_lock`")]
    #[inline(always)]
    pub fn unlock(&self, view: &View, at: usize) {
        Imp::unlock(&self.sys, view.range(), at);
    }

    /// Acquires the lock by a single attempt, and returns whether it did.
    ///
    /// The attempt succeeds only if the lock is free and its last owner released it. On a system
    /// without a fast path it always fails. The caller then calls [`lock`](Self::lock).
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the lock")]
    #[inline(always)]
    pub fn try_lock(&self, view: &View, at: usize) -> bool {
        Imp::try_lock(&self.sys, view.range(), at)
    }

    /// As [`try_lock`](Self::try_lock). The result knows its thread, so that the release need not
    /// look it up.
    #[allow(clippy::inline_always, reason = "as `try_lock`")]
    #[inline(always)]
    pub(crate) fn try_grip<'a>(&self, word: &'a Half) -> Option<Grip<'a>> {
        Imp::try_grip(&self.sys, word).map(|sys| Grip { _sys: sys })
    }

    /// Stores `mark` in a free lock word by a single attempt, without waiting.
    ///
    /// Returns whether the last owner died while it owned the lock.
    ///
    /// # Errors
    /// The bits of the current owner, which may be a mark. They are 0 if the lock is free but the
    /// word changed during the attempt, or if `at` is no lock word of the view.
    pub fn mark(&self, view: &View, at: usize, mark: u32) -> Result<Taken, u32> {
        let Some(word) = view.range().half(at) else { return Err(0) };
        // The Acquire of the exchange pairs with the Release of `unlock` and `unmark`: this thread
        // sees all writes of the last owner.
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

    /// Returns whether the lock word contains `mark`.
    pub fn is_marked(&self, view: &View, at: usize, mark: u32) -> bool {
        view.range().half(at).is_some_and(|word| word.load(Ordering::Acquire) & OWNER == mark)
    }

    /// Returns whether a thread owns the lock word, or a mark is in it. A dead owner counts as long
    /// as the system has not set `DIED` in the word.
    ///
    /// This is a read-modify-write (`AcqRel`) that does not change the word. So the thread that
    /// acquires the lock next sees what this one did before; and if the lock is free, this thread
    /// sees what all owners did that have released it.
    pub fn is_held(&self, view: &View, at: usize) -> bool {
        view.range().half(at).is_some_and(|word| word.fetch_add(0, Ordering::AcqRel) & OWNER != 0)
    }

    /// Removes a mark and wakes all waiters.
    ///
    /// It wakes the waiters first, while the mark is still in the word. If this process dies
    /// between the two steps, the recoverer finds the mark and repeats both. Otherwise it could
    /// find no mark, and the waiters would not be woken.
    pub fn unmark(&self, view: &View, at: usize) {
        let Some(word) = view.range().half(at) else { return };
        if word.load(Ordering::Relaxed) & WAITERS != 0 {
            Imp::wake(&self.sys, view.range(), at);
        }
        // Release pairs with the Acquire of `lock` and `mark`.
        word.store(0, Ordering::Release);
    }

    /// Adds 1 to the wake word at byte `at` and wakes all threads that sleep on it.
    ///
    /// The highest bit of the 32-bit word means that a thread may sleep on it. [`park`](Self::park)
    /// sets the bit, and then sleeps on the value that includes it. If the bit is clear, this
    /// function makes no system call.
    pub fn wake(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            // Release pairs with the Acquire `fetch_or` in `park` and the Acquire load in `wakes`.
            if word.fetch_add(1, Ordering::AcqRel) & WAITERS != 0 {
                // A thread that sets the bit between the two operations expects the old count,
                // which is no longer in the word, so it does not sleep.
                word.fetch_and(!WAITERS, Ordering::AcqRel);
                Imp::wake(&self.sys, view.range(), at);
            }
        }
    }

    /// As [`wake`](Self::wake), but always makes the system call.
    ///
    /// For a recoverer: the dead process may have cleared the bit without having woken a thread.
    pub fn force_wake(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            word.fetch_add(1, Ordering::AcqRel);
            word.fetch_and(!WAITERS, Ordering::AcqRel);
            Imp::wake(&self.sys, view.range(), at);
        }
    }

    /// Returns the count of the wake word at byte `at`; `None` if it is no such word of the view.
    ///
    /// A waiter loads the count before it checks its condition, and passes it to
    /// [`park`](Self::park). The load is Acquire, so the condition that the waiter checks is at
    /// least as new as the count.
    pub fn wakes(&self, view: &View, at: usize) -> Option<u32> {
        Some(view.range().half(at)?.load(Ordering::Acquire) & !WAITERS)
    }

    /// Sleeps until [`wake`](Self::wake) changes the count from `seen`, for at most `at_most`.
    ///
    /// Returns false at once if the count has changed already, and true after a sleep. Wakeups may
    /// be spurious, so the caller re-checks its condition. On Windows a sleeping thread uses the
    /// same slot as for its locks.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly) if the view is read-only. On Windows also an error
    /// of the system, and [`NoSpace`](crate::ErrorKind::NoSpace) if all slots are taken.
    pub fn park(&self, view: &View, at: usize, seen: u32, at_most: Duration) -> Result<bool> {
        Imp::park(&self.sys, view.range(), at, seen, at_most)
    }

    /// Resets a lock word to free, without regard to its owner.
    ///
    /// For a caller that knows that no owner is left, because the machine was restarted since.
    pub fn reset(&self, view: &View, at: usize) {
        if let Some(word) = view.range().half(at) {
            word.store(0, Ordering::Release);
        }
    }
}

impl fmt::Debug for Grip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grip").finish_non_exhaustive()
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locks").field(&self.sys).finish()
    }
}
