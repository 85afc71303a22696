//! Where a handle to a variable found it last.

use crate::{Map, map::store_map::Stored};
use mapvar_engine::{
    error::EngineError, handle::Handle, mem::Ordering::Relaxed, mem::Private, record::read::Seen,
    value::Kind, variable::named::AGAIN,
};
use mapvar_os::{Error, ErrorKind, Result};
use std::sync::Arc;

/// What `Var` and `Atomic` share: the map, the name, and where the variable was found last.
pub(crate) struct Target {
    /// What users are handed.
    pub(crate) map: Map,
    pub(crate) stored: Stored,
    pub(crate) name: Arc<str>,
    /// A packed handle's offset, size and flag; and its id. Two words that may be of two moments:
    /// then they do not fit each other, and the name is resolved again.
    place: [Private; 2],
    /// The kind of an `Atomic`: what bears its name later must be one of it too.
    atomic: Option<Kind>,
}

impl Target {
    pub(crate) fn new(
        map: &Map,
        stored: &Stored,
        name: &str,
        handle: Handle,
        atomic: Option<Kind>,
    ) -> Self {
        let place = [Private::new(handle.packed()), Private::new(handle.id)];
        Self { map: map.clone(), stored: stored.clone(), name: name.into(), place, atomic }
    }

    #[inline]
    pub(crate) fn handle(&self) -> Handle {
        let [place, id] = &self.place;
        Handle::from_packed(place.load(Relaxed), id.load(Relaxed))
    }

    /// Where the variable was found last, if this process may write to the map.
    #[inline]
    pub(crate) fn at_hand(&self) -> Option<Handle> {
        self.stored.is_usable().then(|| self.handle())
    }

    /// `done`, if what was written is where the others are.
    #[inline]
    pub(crate) fn acknowledged<R>(&self, operation: &'static str, done: R) -> Result<R> {
        self.stored.acknowledged(operation, &self.name, done)
    }

    /// Runs `operate` on the variable's record, and again on another where it has moved on; an
    /// absent variable is `Removed`.
    #[inline(never)]
    pub(crate) fn with<R>(
        &self,
        operation: &'static str,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, EngineError>,
    ) -> Result<R> {
        let first = self.stored.run(|| operate(self.handle()));
        match first {
            Ok(Seen::Value(value, _)) => Ok(value),
            other => self.again(operation, other, operate),
        }
    }

    #[cold]
    fn again<R>(
        &self,
        operation: &'static str,
        mut last: Result<Seen<R>, EngineError>,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, EngineError>,
    ) -> Result<R> {
        let failed = |trouble| self.stored.failed(operation, &self.name, trouble);
        for _ in 0..AGAIN {
            match last.map_err(failed)? {
                Seen::Value(value, _) => return Ok(value),
                Seen::Absent => return Err(self.removed(operation)),
                Seen::Stale => {}
            }
            let Some(handle) = self.stored.resolve(&self.name).map_err(failed)? else {
                return Err(self.removed(operation));
            };
            self.still_atomic(handle).map_err(failed)?;
            let [place, id] = &self.place;
            place.store(handle.packed(), Relaxed);
            id.store(handle.id, Relaxed);
            last = self.stored.run(|| operate(handle));
        }
        Err(failed(EngineError::Contended))
    }

    /// Looked at only when the name was resolved anew: a record is an `Atomic` of its kind for
    /// ever.
    fn still_atomic(&self, handle: Handle) -> Result<(), EngineError> {
        let Some(kind) = self.atomic else { return Ok(()) };
        let fits = handle.atomic
            && self.stored.inner.store.atomic_kind(handle)?.is_none_or(|found| found == kind as u8);
        if fits {
            return Ok(());
        }
        Err(EngineError::WrongKind("another kind of variable bears its name now; open it again"))
    }

    #[cold]
    fn removed(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Removed, operation, self.stored.variable(&self.name))
            .detail("it was removed; `set` of the map makes it again")
    }

    pub(crate) fn with_context(&self, operation: &'static str, error: Error) -> Error {
        error.during(operation, self.stored.variable(&self.name))
    }
}

impl Clone for Target {
    fn clone(&self) -> Self {
        let [place, id] = &self.place;
        let place = [Private::new(place.load(Relaxed)), Private::new(id.load(Relaxed))];
        Self {
            map: self.map.clone(),
            stored: self.stored.clone(),
            name: self.name.clone(),
            place,
            atomic: self.atomic,
        }
    }
}
