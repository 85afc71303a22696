//! The word of an `Atomic`, and operations on it that take no lock.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{State, record},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        StoreWords as _,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Runs a lock-free operation on the word of an `Atomic`; `None` if the variable no longer
    /// exists. One check of the id is enough, because the record of an `Atomic` is never reused for
    /// another variable.
    ///
    /// `operate` changes the word by a `SeqCst` read-modify-write. The load of `state` here is
    /// `SeqCst`, and so are both steps of a waiter, which sets WAIT and then loads the word. So one
    /// of the two sees the other; with weaker orderings both could miss, and the wake would be
    /// lost. On x86 this costs nothing beyond the read-modify-write; a store and a fence would take
    /// three times as long.
    #[inline]
    pub fn atomic<R>(
        &self,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Result<Option<R>, EngineError> {
        let words = self.mem.words_mut(handle.at, record::LINE).ok_or(EngineError::ReadOnly)?;
        Ok(self.operate(words, handle, operate))
    }

    #[inline(always)]
    fn operate<R>(
        &self,
        words: M::WordsMut<'_>,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Option<R> {
        if words.load(record::ID, Acquire) != handle.id
            || State(words.load(record::STATE, Acquire)).removed()
        {
            return None;
        }
        let result = operate(words);
        if self.file {
            // After the operation: a flush that begins once this has returned finds the bit.
            let _ = self.mark_dirty(handle.at);
        }
        if State(words.load(record::STATE, SeqCst)).waited_for() {
            self.wake_atomic(words, handle);
        }
        Some(result)
    }

    #[cold]
    fn wake_atomic(&self, words: M::WordsMut<'_>, handle: Handle) {
        words.fetch_and(record::STATE, !State::WAIT, AcqRel);
        self.wake_waiters(handle);
    }

    /// As [`atomic`](Self::atomic), but only on mapped words; `None` if nothing was done, and
    /// [`atomic`](Self::atomic) reports why.
    #[inline(always)]
    pub fn try_operate_fast<R>(
        &self,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Option<R> {
        let words = self.mem.mapped_words_mut(handle.at, record::LINE)?;
        self.operate(words, handle, operate)
    }

    /// Returns the word of an `Atomic`; `None` if the variable no longer exists.
    pub fn atomic_load(&self, handle: Handle) -> Result<Option<u64>, EngineError> {
        if self.mem.words(handle.at, record::LINE).is_none() {
            return Err(outside(handle.at));
        }
        Ok(self.try_load_fast(handle))
    }

    /// As [`atomic_load`](Self::atomic_load); `None` also if the record is not mapped, and then
    /// [`atomic_load`](Self::atomic_load) reports why.
    #[inline(always)]
    pub fn try_load_fast(&self, handle: Handle) -> Option<u64> {
        Self::load_atomic(self.mem.mapped_words(handle.at, record::LINE)?, handle.id)
    }

    #[inline(always)]
    pub(crate) fn load_atomic(words: impl Load, id: u64) -> Option<u64> {
        // Acquire keeps the loads of id and state after this one: they validate a value that is
        // already loaded.
        let value = words.load(record::VALUE, Acquire);
        let there = words.load(record::ID, Relaxed) == id
            && !State(words.load(record::STATE, Relaxed)).removed();
        there.then_some(value)
    }
}
