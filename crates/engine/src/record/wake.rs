//! Waking the threads that wait for variables.

use crate::{
    handle::Handle,
    layout::{live, record},
    mem::Mem,
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Wakes the waiters of a variable: those that wait for it alone, and those that wait for
    /// several.
    #[inline]
    pub(crate) fn wake_waiters(&self, handle: Handle) {
        self.wake_at(handle.wake());
    }

    // Takes the offset alone: for a handle, the fast path would have to spill it to memory.
    #[cold]
    #[inline(never)]
    fn wake_at(&self, word: u64) {
        self.mem.wake(word);
        self.mem.wake(live::CHANGES_WAKE);
    }

    /// As [`wake_waiters`](Self::wake_waiters), after a process died that may have been about to do
    /// so. It may have cleared the bit that says that a thread sleeps, and died before its system
    /// call.
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

    /// As [`force_wake_waiters`](Self::force_wake_waiters), for a replay: at `at` lies a record, or
    /// one was being made.
    #[cold]
    pub(crate) fn force_wake_at(&self, at: u64) {
        if self.mem.words(at, record::LINE).is_some() {
            self.mem.force_wake(at + record::WAKE);
        }
        self.mem.force_wake(live::BIRTHS_WAKE);
        self.mem.force_wake(live::CHANGES_WAKE);
    }

    /// Wakes the threads that wait for a name without a variable.
    pub(crate) fn wake_for_birth(&self) {
        self.mem.wake(live::BIRTHS_WAKE);
        self.mem.wake(live::CHANGES_WAKE);
    }
}
