//! Reads and writes of variables whose owner process may be gone. The first process that finds such
//! a value removes it.

use crate::{
    error::EngineError,
    handle::Handle,
    layout::slot,
    mem::Mem,
    record::{
        read::{ReadOutcome, Seen},
        write::Replaced,
    },
    store::Store,
    value::{Raw, SlotView},
    version::{Expect, Wrote},
};
use mapvar_os::Taken;

impl<M: Mem> Store<M> {
    /// Reads the variable of a handle. `take` copies what it needs out of the slot. It may be
    /// called several times, on half-written values; its result counts once the read was found
    /// whole.
    ///
    /// Takes no lock and writes nothing in the common case. If other writers change the variable at
    /// every attempt, it takes the record's lock. If the owner process of the value is gone, it
    /// removes the value.
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

    /// As [`write`](Self::write), if the record meets the condition.
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

    /// Whether the variable is an `Atomic` that was removed. Its record stays in the index.
    pub fn is_removed_atomic(&self, handle: Handle) -> Result<bool, EngineError> {
        Ok(handle.atomic && self.read(handle, |_| ())? == Seen::Absent)
    }

    /// Removes the value of this version, whose owner process is gone. Any process may do this. The
    /// value counts as absent even if this fails, so it waits for no living process: the caller is
    /// a reader.
    #[cold]
    #[inline(never)]
    pub(crate) fn remove_expired(&self, handle: Handle, version: u64) {
        let _ = self.try_remove_version(handle, version);
    }

    fn try_remove_version(&self, handle: Handle, version: u64) -> Result<(), EngineError> {
        // SYNC POINT S5.
        if self.mem().lock_now(handle.lock()).map_err(EngineError::Lock)? == Taken::Recovered {
            self.force_wake_waiters(handle);
        }
        // Only this version: a new value may have replaced it.
        let wrote = self.write_locked(handle, &Raw::TOMBSTONE, Expect::Version(version));
        self.mem().unlock(handle.lock());
        let Some((Wrote::Version(_), replaced)) = wrote else { return Ok(()) };
        // A search for free space does the rest if another process has the lock.
        let held = self.lock_structure_now()?;
        if replaced != Replaced::NOTHING {
            self.reclaim(replaced.0)?;
        }
        self.collect_within(handle, &held)
    }

    /// Removes a variable if its value still has this version. Returns whether it did.
    pub fn remove_version(&self, handle: Handle, version: u64) -> Result<bool, EngineError> {
        let wrote = self.write_record(handle, &Raw::TOMBSTONE, Expect::Version(version))?;
        let removed = matches!(wrote, Wrote::Version(_));
        if removed {
            // The variable is removed even if this fails: a later search for free space collects
            // the record.
            let _ = self.collect(handle);
        }
        Ok(removed)
    }

    /// Removes the value if it is ephemeral and its owner process is gone. If that process ends
    /// after this check, the operation counts as earlier.
    fn remove_if_expired(&self, handle: Handle) -> Result<(), EngineError> {
        if self.is_ephemeral(handle) {
            // `read` removes an expired value.
            let _ = self.read(handle, |_| ())?;
        }
        Ok(())
    }

    /// Removes the ephemeral variables whose owner is this process, which is closing the map.
    ///
    /// It ends at the first wait that times out: a stopped process would let each of them take as
    /// long. Those that are left are absent once the process has no seat.
    pub fn remove_owned(&self) -> Result<(), EngineError> {
        let own = self.mem().seat()?;
        let mut whole = true;
        self.each_record(|handle| {
            let Ok(Some((owner, version))) = self.owner(handle) else { return true };
            if owner != own {
                return true;
            }
            // With another version, another process has set the variable since.
            let wrote = self.write_record(handle, &Raw::TOMBSTONE, Expect::Version(version));
            let removed = wrote.and_then(|wrote| match wrote {
                Wrote::Version(_) => self.collect(handle),
                _ => Ok(()),
            });
            whole &= removed.is_ok();
            !removed.is_err_and(|met| met.is_timeout())
        })?;
        if whole {
            self.note_no_owner();
        }
        Ok(())
    }
}
