//! Reading a variable: without a lock, and with the record's where others write it all the time.

use crate::{
    error::{Trouble, outside},
    handle::Handle,
    mem::Mem,
    record::read::{Look, Seen},
    store::Store,
    value::{Raw, Shot},
    version::{Expect, Wrote},
};

impl<M: Mem> Store<M> {
    /// Reads the variable of a handle: `take` copies what it wants out of the slot. It may be
    /// called several times, on what is half-written; what it answered counts once the read was
    /// found to be whole.
    ///
    /// Takes no lock and writes nothing, unless others rewrite the variable all the time, or the
    /// process that it was to end with is gone: then it is removed.
    pub fn read<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        // It may lie where the region has grown to.
        if self.mem.words(handle.at, handle.words()).is_none() {
            return Err(outside(handle.at));
        }
        match self.look_again(handle, &mut take, true)? {
            Some(seen) => Ok(seen),
            None => self.read_patiently(handle, take),
        }
    }

    /// Removes the value of this version, whose process is gone, or goes: as anybody may who finds it
    /// so. It counts as absent whatever comes of this.
    #[cold]
    #[inline(never)]
    pub(crate) fn bury(&self, handle: Handle, version: u64) {
        let removed = self.write_settled(handle, &Raw::TOMBSTONE, Expect::Version(version));
        if matches!(removed, Ok(Wrote::Version(_))) {
            let _ = self.collect(handle);
        }
    }

    /// The bounded fallback: with the record's lock nobody writes.
    #[cold]
    fn read_patiently<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            // Mapped for reading: patience is all there is.
            let mut round = 0;
            while self.mem.pause(round) {
                match self.look_at_value(handle, &mut take) {
                    Look::Changed => round += 1,
                    look => match self.judge(handle, look, false)? {
                        None => round += 1,
                        Some(seen) => return Ok(seen),
                    },
                }
            }
            return Err(Trouble::Contended);
        }
        // Before the lock, which others wait for.
        let _turn = self.pinning();
        self.lock_record(handle)?;
        match self.pin(handle) {
            Ok(None) => {
                let look = self.look_at_value(handle, &mut take);
                // Nobody can write it, and what is gone is passed over.
                let seen = self.judge(handle, look, false);
                self.mem.unlock(handle.lock());
                seen?.ok_or(Trouble::Contended)
            }
            Ok(Some(pinned)) => {
                // What is pinned does not change: nobody need wait while it is copied.
                self.mem.unlock(handle.lock());
                self.take_pinned(&pinned, take)
            }
            Err(trouble) => {
                self.mem.unlock(handle.lock());
                Err(trouble)
            }
        }
    }

    /// The kind of an `Atomic`; `None` where it is no more.
    pub fn atomic_kind(&self, handle: Handle) -> Result<Option<u8>, Trouble> {
        Ok(match self.read(handle, |shot| shot.kind())? {
            Seen::Value(kind, _) => Some(kind),
            Seen::Absent | Seen::Stale => None,
        })
    }

    /// Whether the variable is an `Atomic` that was removed: it stays in the index.
    pub fn is_removed_atomic(&self, handle: Handle) -> Result<bool, Trouble> {
        Ok(handle.atomic && self.read(handle, |_| ())? == Seen::Absent)
    }
}
