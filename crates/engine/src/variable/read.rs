//! Reading a record: without a lock, and under the record's lock if other writers change it at
//! every attempt. An expired value is reported, and not removed.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{State, live, record, slot},
    mem::{Load, Mem, Ordering::Acquire},
    record::read::{AttemptOutcome, ReadOutcome, Seen},
    store::Store,
    value::SlotView,
};

impl<M: Mem> Store<M> {
    /// Reads the record of a handle. `take` copies what it needs out of the slot. It may be called
    /// several times, on half-written values; its result counts once the read was found whole.
    pub(crate) fn read_record<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<ReadOutcome<R>, EngineError> {
        // The record may lie in a part by which the region has grown; this maps it.
        if self.mem.words(handle.at, handle.words()).is_none() {
            return Err(outside(handle.at));
        }
        match self.try_read(handle, &mut take)? {
            Some(outcome) => Ok(outcome),
            None => self.read_patiently(handle, take),
        }
    }

    /// The bounded fallback: under the record's lock no process writes.
    #[cold]
    fn read_patiently<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<ReadOutcome<R>, EngineError> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            // Mapped for reading, the process can take no lock: it retries until its timeout.
            let mut round = 0;
            while self.mem.pause(round) {
                match self.read_attempt(handle, &mut take) {
                    AttemptOutcome::Changed => round += 1,
                    attempt => match self.judge(handle, attempt)? {
                        None => round += 1,
                        Some(outcome) => return Ok(outcome),
                    },
                }
            }
            return Err(EngineError::Contended);
        }
        // Before the record's lock: with it, this thread would keep all writers waiting while it
        // waits for its turn.
        let _turn = self.pinning();
        self.lock_record(handle)?;
        match self.pin(handle) {
            Ok(None) => {
                let attempt = self.read_attempt(handle, &mut take);
                // No writer can change it.
                let outcome = self.judge(handle, attempt);
                self.mem.unlock(handle.lock());
                outcome?.ok_or(EngineError::Contended)
            }
            Ok(Some(pinned)) => {
                // A pinned extent does not change, so no writer has to wait for the copy.
                self.mem.unlock(handle.lock());
                self.take_pinned(&pinned, take).map(ReadOutcome::Seen)
            }
            Err(trouble) => {
                self.mem.unlock(handle.lock());
                Err(trouble)
            }
        }
    }

    /// Whether the last complete flush has the present value of the variable.
    pub fn is_durable(&self, handle: Handle) -> Result<bool, EngineError> {
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        let state = State(words.load(record::STATE, Acquire));
        let seal = words.load(handle.slot(state.current()) + slot::SEAL, Acquire);
        Ok(seal != 0 && seal <= self.live()?.load(live::EPOCH, Acquire))
    }

    /// Returns the kind of an `Atomic`; `None` if it no longer exists.
    pub fn atomic_kind(&self, handle: Handle) -> Result<Option<u8>, EngineError> {
        Ok(match self.read_record(handle, |view| view.kind())? {
            ReadOutcome::Seen(Seen::Value(kind, _)) => Some(kind),
            ReadOutcome::Seen(_) | ReadOutcome::Expired(_) => None,
        })
    }
}
