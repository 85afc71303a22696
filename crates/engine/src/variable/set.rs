//! Setting and removing variables by name.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    index::Query,
    layout::record,
    mem::{Load, Mem, Ordering::Acquire},
    record::read::Seen,
    store::Store,
    value::Raw,
    variable::insert::Inserted,
    version::{Expect, Which, Wrote},
};

/// How often an operation is retried because other processes changed the name.
const TRIES: usize = 64;

impl<M: Mem> Store<M> {
    /// Sets a variable, and inserts it if there is none; returns its version.
    #[inline]
    pub fn set(&self, query: Query<'_>, raw: &Raw<'_>) -> Result<u64, EngineError> {
        if let Some(handle) = self.find(query)?
            && let Wrote::Version(version) = self.write(handle, raw)?
        {
            return Ok(version);
        }
        self.set_slowly(query, raw)
    }

    #[cold]
    fn set_slowly(&self, query: Query<'_>, raw: &Raw<'_>) -> Result<u64, EngineError> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else {
                match self.insert(query, raw, false)? {
                    Inserted::New(_) => return Ok(1.max(self.version_base)),
                    Inserted::Found(_) => continue,
                }
            };
            match self.write(handle, raw) {
                Ok(Wrote::Version(version)) => return Ok(version),
                Ok(Wrote::Unfit) => self.reclaim_name(handle)?,
                Ok(_) => {}
                Err(trouble) => {
                    // A record may have been inserted for the value and left empty: it is removed.
                    let _ = self.collect(handle);
                    return Err(trouble);
                }
            }
        }
        Err(EngineError::Contended)
    }

    /// Sets a variable if it is as expected: present with this id and version, or absent for
    /// `None`. Returns the new id and version, or as `Err` the ones found (zeros = absent).
    pub fn set_if(
        &self,
        query: Query<'_>,
        raw: &Raw<'_>,
        expect: Option<Which>,
    ) -> Result<Result<Which, Which>, EngineError> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else {
                if expect.is_some() {
                    return Ok(Err((0, 0)));
                }
                match self.insert(query, raw, false)? {
                    Inserted::New(handle) => return Ok(Ok((handle.id, 1.max(self.version_base)))),
                    Inserted::Found(_) => continue,
                }
            };
            if self.is_removed_atomic(handle)? {
                // A removed Atomic keeps the name, which counts as absent.
                if expect.is_some() {
                    return Ok(Err((0, 0)));
                }
                self.reclaim_name(handle)?;
                continue;
            }
            let expected = match expect {
                None => Expect::Absent,
                Some((id, version)) if id == handle.id => Expect::Version(version),
                // The version of an earlier variable of this name, which no longer exists: it
                // matches none.
                Some(_) => Expect::Version(u64::MAX),
            };
            match self.write_if(handle, raw, expected)? {
                Wrote::Version(version) => return Ok(Ok((handle.id, version))),
                Wrote::Other(0) => return Ok(Err((0, 0))),
                Wrote::Other(version) => return Ok(Err((handle.id, version))),
                Wrote::Unfit => self.reclaim_name(handle)?,
                Wrote::Stale | Wrote::Absent => {}
            }
        }
        Err(EngineError::Contended)
    }

    /// Removes a variable; returns whether it existed.
    pub fn remove(&self, query: Query<'_>) -> Result<bool, EngineError> {
        for _ in 0..TRIES {
            let Some(handle) = self.find(query)? else { return Ok(false) };
            match self.remove_record(handle)? {
                Wrote::Version(_) => return Ok(true),
                Wrote::Absent => return Ok(false),
                Wrote::Stale | Wrote::Unfit | Wrote::Other(_) => {}
            }
        }
        Err(EngineError::Contended)
    }

    /// Removes the variable of a handle: publishes a tombstone as a set does, then collects the
    /// record.
    pub fn remove_record(&self, handle: Handle) -> Result<Wrote, EngineError> {
        let wrote = self.write(handle, &Raw::TOMBSTONE)?;
        // The record of an Atomic stays, for the next Atomic of the name.
        if !handle.atomic && (wrote == Wrote::Absent || matches!(wrote, Wrote::Version(_))) {
            // The variable is removed even if this fails: a later search for free space collects
            // the record.
            let _ = self.collect(handle);
        }
        Ok(wrote)
    }

    /// Makes a removed variable exist again in its own record. If the record does not fit the new
    /// kind of variable, removes it from the index, and the caller inserts the variable.
    pub fn revive(&self, handle: Handle, raw: &Raw<'_>, atomic: bool) -> Result<(), EngineError> {
        match self.read(handle, |_| ())? {
            Seen::Value(..) | Seen::Stale => Ok(()),
            Seen::Absent if handle.atomic && atomic => self.revive_atomic(handle, raw),
            Seen::Absent if handle.atomic || atomic => self.reclaim_name(handle),
            Seen::Absent => self.write_if(handle, raw, Expect::Absent).map(|_| ()),
        }
    }

    /// As [`find`](Self::find), for a caller that wants to set a variable: reclaims the name from a
    /// removed `Atomic`.
    pub fn find_reclaiming(&self, query: Query<'_>) -> Result<Option<Handle>, EngineError> {
        match self.find(query)? {
            Some(handle) if self.is_removed_atomic(handle)? => {
                self.reclaim_name(handle)?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// Collects a removed variable, so that another kind of variable can have its name. If the
    /// removal is not yet durable, flushes first: otherwise a recovery could bring back both.
    fn reclaim_name(&self, handle: Handle) -> Result<(), EngineError> {
        self.collect(handle)?;
        if self.file {
            let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
            if line.load(record::ID, Acquire) == handle.id {
                self.flush()?;
                self.collect(handle)?;
            }
        }
        Ok(())
    }
}
