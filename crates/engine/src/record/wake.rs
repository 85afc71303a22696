//! Waking the threads that wait for variables.

use crate::{
    handle::Handle,
    layout::{live, record, ring},
    mem::{
        Mem,
        Ordering::{AcqRel, Release},
        StoreWords as _,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Wakes the waiters of a variable: those that wait for it alone, and those that wait for
    /// several.
    #[inline]
    pub(crate) fn wake_waiters(&self, handle: Handle) {
        self.wake_at(handle.at);
    }

    // Takes the offset alone: for a handle, the fast path would have to spill it to memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake_at(&self, at: u64) {
        self.mem.wake(at + record::WAKE);
        self.note_change(at, false);
        self.mem.wake(live::CHANGES_WAKE);
    }

    /// As [`wake_waiters`](Self::wake_waiters), after a process died that may have been about to do
    /// so. It may have cleared the bit that says that a thread sleeps, and died before its system
    /// call.
    #[inline]
    pub(crate) fn force_wake_waiters(&self, handle: Handle) {
        self.force_wake_record(handle.at);
    }

    #[cold]
    #[inline(never)]
    fn force_wake_record(&self, at: u64) {
        self.mem.force_wake(at + record::WAKE);
        self.note_change(at, false);
        self.mem.force_wake(live::CHANGES_WAKE);
    }

    /// As [`force_wake_waiters`](Self::force_wake_waiters), for a replay: at `at` lies a record, or
    /// one was being made.
    #[cold]
    pub(crate) fn force_wake_at(&self, at: u64) {
        if self.mem.words(at, record::LINE).is_some() {
            self.mem.force_wake(at + record::WAKE);
            self.note_change(at, true);
        }
        self.mem.force_wake(live::BIRTHS_WAKE);
        self.mem.force_wake(live::CHANGES_WAKE);
    }

    /// Wakes the threads that wait for a name without a variable: the record at `at` was made.
    pub(crate) fn wake_for_birth(&self, at: u64) {
        self.mem.wake(live::BIRTHS_WAKE);
        self.note_change(at, true);
        self.mem.wake(live::CHANGES_WAKE);
    }

    /// Adds an entry to the ring of changes: the record at `at` has changed, or was `born`. Called
    /// after the publication, and before the wake of those who read the ring.
    fn note_change(&self, at: u64, born: bool) {
        let head = self.mem.words_mut(live::AT, live::WORDS);
        if let (Some(live), Some(ring)) = (head, self.mem.words_mut(ring::AT, ring::WORDS)) {
            // SYNC POINT S19. A reader that loads the head beyond this number sees the publication,
            // also if the entry itself never comes.
            let number = live.fetch_add(live::CHANGES, 1, AcqRel);
            ring.store(ring::place(number), ring::entry(number, at, born), Release);
        }
    }
}
