//! Waking the threads that wait for variables.

use crate::{
    handle::Handle,
    layout::{live, record},
    mem::Mem,
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Wakes who waits for a variable: by itself, and among others.
    #[inline]
    pub(crate) fn wake_waiters(&self, handle: Handle) {
        self.wake_at(handle.wake());
    }

    // By one word: the fast path would lay a handle out in memory for it.
    #[cold]
    #[inline(never)]
    fn wake_at(&self, word: u64) {
        self.mem.wake(word);
        self.mem.wake(live::CHANGES_WAKE);
    }

    /// As [`wake_waiters`](Self::wake_waiters), where somebody may have died who was about to do so:
    /// he may have taken the sign away that somebody sleeps.
    #[inline]
    pub(crate) fn force_wake_waiters(&self, handle: Handle) {
        self.force_wake_word(handle.wake());
    }

    #[cold]
    #[inline(never)]
    fn force_wake_word(&self, word: u64) {
        self.mem.force_wake(word);
        self.mem.force_wake(live::CHANGES_WAKE);
    }

    /// The same for who replays what was done to the record at `at`, or was to be one.
    #[cold]
    pub(crate) fn force_wake_at(&self, at: u64) {
        if self.mem.words(at, record::LINE).is_some() {
            self.mem.force_wake(at + record::WAKE);
        }
        self.mem.force_wake(live::BIRTHS_WAKE);
        self.mem.force_wake(live::CHANGES_WAKE);
    }

    /// Wakes who waits for a variable that there was not.
    pub(crate) fn wake_for_birth(&self) {
        self.mem.wake(live::BIRTHS_WAKE);
        self.mem.wake(live::CHANGES_WAKE);
    }
}
