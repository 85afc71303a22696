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

/// How often an operation begins again because of others.
const TRIES: usize = 64;

impl<M: Mem> Store<M> {
    /// Sets a variable, making it where there is none; answers its version.
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
                    // What may have been made for the value, and stayed empty, goes.
                    let _ = self.collect(handle);
                    return Err(trouble);
                }
            }
        }
        Err(EngineError::Contended)
    }

    /// Sets a variable where what stands there is as expected; `Err` has what stands there instead:
    /// the variable's id and version, or zeros.
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
                // Its name is nobody's.
                if expect.is_some() {
                    return Ok(Err((0, 0)));
                }
                self.reclaim_name(handle)?;
                continue;
            }
            let expected = match expect {
                None => Expect::Absent,
                Some((id, version)) if id == handle.id => Expect::Version(version),
                // A version of another variable of this name, which is no more.
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

    /// Removes a variable; answers whether it was there.
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

    /// Removes the variable that a handle stands for: a tombstone is set as a value is, then the
    /// record is collected.
    pub fn remove_record(&self, handle: Handle) -> Result<Wrote, EngineError> {
        let wrote = self.write(handle, &Raw::TOMBSTONE)?;
        // An Atomic's record waits for an Atomic of the same name.
        if !handle.atomic && (wrote == Wrote::Absent || matches!(wrote, Wrote::Version(_))) {
            // It is removed, whatever comes of this: who needs the room tries again.
            let _ = self.collect(handle);
        }
        Ok(wrote)
    }

    /// Makes a removed variable one again, in its own record or, where it does not fit that, in
    /// none: the caller inserts it then.
    pub fn revive(&self, handle: Handle, raw: &Raw<'_>, atomic: bool) -> Result<(), EngineError> {
        match self.read(handle, |_| ())? {
            Seen::Value(..) | Seen::Stale => Ok(()),
            Seen::Absent if handle.atomic && atomic => self.revive_atomic(handle, raw),
            Seen::Absent if handle.atomic || atomic => self.reclaim_name(handle),
            Seen::Absent => self.write_if(handle, raw, Expect::Absent).map(|_| ()),
        }
    }

    /// As [`find`](Self::find), for who wants the name for a variable: a removed `Atomic` makes way.
    pub fn find_reclaiming(&self, query: Query<'_>) -> Result<Option<Handle>, EngineError> {
        match self.find(query)? {
            Some(handle) if self.is_removed_atomic(handle)? => {
                self.reclaim_name(handle)?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// Collects a removed variable whose name another kind of variable is to have. If the file does
    /// not know yet that it is removed, it is told first: else both could come back.
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
