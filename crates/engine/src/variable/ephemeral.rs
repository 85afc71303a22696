//! Reading and writing where a value may have ended with its process: the first that finds it so
//! removes it.

use crate::{
    error::EngineError,
    handle::Handle,
    layout::slot,
    mem::Mem,
    record::read::{ReadOutcome, Seen},
    store::Store,
    value::{Raw, SlotView},
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
        take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Seen<R>, EngineError> {
        match self.read_record(handle, take)? {
            ReadOutcome::Seen(seen) => Ok(seen),
            ReadOutcome::Expired(version) => {
                self.remove_expired(handle, version);
                Ok(Seen::Absent)
            }
        }
    }

    /// Writes a value, or a tombstone, to the record of a handle.
    pub fn write(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, EngineError> {
        self.write_if(handle, raw, Expect::Any)
    }

    /// As [`write`](Self::write), where what stands there is as expected.
    pub fn write_if(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, EngineError> {
        if expect != Expect::Any || raw.kind == slot::TOMBSTONE {
            self.remove_if_expired(handle)?;
        }
        self.write_record(handle, raw, expect)
    }

    /// Whether the variable is an `Atomic` that was removed: it stays in the index.
    pub fn is_removed_atomic(&self, handle: Handle) -> Result<bool, EngineError> {
        Ok(handle.atomic && self.read(handle, |_| ())? == Seen::Absent)
    }

    /// Removes the value of this version, whose process is gone, or goes: as anybody may who finds it
    /// so. It counts as absent whatever comes of this.
    #[cold]
    #[inline(never)]
    pub(crate) fn remove_expired(&self, handle: Handle, version: u64) {
        let removed = self.write_record(handle, &Raw::TOMBSTONE, Expect::Version(version));
        if matches!(removed, Ok(Wrote::Version(_))) {
            let _ = self.collect(handle);
        }
    }

    /// Sees to it that what is there only in name, since its process is gone, is removed. Should it
    /// end after this, the operation came before that.
    fn remove_if_expired(&self, handle: Handle) -> Result<(), EngineError> {
        if self.is_ephemeral(handle) {
            // A removal of it, if it is to be one.
            let _ = self.read(handle, |_| ())?;
        }
        Ok(())
    }

    /// Removes the ephemeral variables that end with this process.
    pub fn remove_owned(&self) -> Result<(), EngineError> {
        let own = self.mem().seat()?;
        self.each_record(|handle| {
            if let Ok(Some((owner, version))) = self.owner(handle)
                && owner == own
            {
                // Another has taken it over, if it is not this version any more.
                self.remove_expired(handle, version);
            }
            true
        })
    }
}
