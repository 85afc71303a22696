//! The variable that a `Var` or `Atomic` refers to, and the record in which it was found last.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    Map,
    map::store_map::{Inner, Stored},
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::{
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        Private,
        mapped::Mapped,
    },
    record::read::{Here, Seen, Spot},
    store::Store,
    value::Kind,
    variable::named::AGAIN,
};
use mapvar_os::{Error, ErrorKind, Result, View};
use std::sync::Arc;

/// The record in which a variable was found last, and the variable's id.
///
/// A thread that changes them first stores [`CHANGING`] as the id, then the place, then the new id.
/// A reader loads the place, the id, and the place again: so it gets a place and an id of one record,
/// or nothing.
pub(crate) struct Remembered {
    spot: Spot<Inner>,
    /// No variable has the id [`UNKNOWN`] or [`CHANGING`].
    id: Private,
}

const UNKNOWN: u64 = 0;
const CHANGING: u64 = u64::MAX;

impl Remembered {
    pub(crate) fn new(stored: &Stored) -> Self {
        Self { spot: Spot::new(Arc::clone(&stored.inner), view), id: Private::new(UNKNOWN) }
    }

    /// Remembers where the variable was found. A record that is not mapped here is looked up again,
    /// and so is one that another thread remembers at the same time.
    pub(crate) fn remember(&self, handle: Handle) {
        let before = self.id.load(Relaxed);
        // One thread at a time: two would mix their places and ids.
        if handle.at == Handle::NOWHERE.at
            || before == CHANGING
            || self.id.compare_exchange(before, CHANGING, AcqRel, Relaxed).is_err()
        {
            return;
        }
        let moved = self.spot.move_to(view, handle.packed());
        // Release pairs with the Acquire load of a reader: the record had this id when it was found,
        // before the reader looks at it.
        self.id.store(if moved { handle.id } else { before }, Release);
    }

    #[inline]
    pub(crate) fn handle(&self) -> Handle {
        match self.here() {
            Some((here, id)) => Handle::from_packed(here.place(), id),
            None => Handle::NOWHERE,
        }
    }

    /// The place of the record, and the variable's id; `None` if they are not known.
    #[inline(always)]
    pub(crate) fn here(&self) -> Option<(Here<'_>, u64)> {
        let here = self.spot.here()?;
        let id = self.id.load(Acquire);
        (id != UNKNOWN && id != CHANGING && self.spot.is_at(here)).then_some((here, id))
    }

    /// The store, by the shortest way.
    #[inline(always)]
    pub(crate) fn store(&self) -> &Store<Mapped> {
        &self.spot.keeper().store
    }
}

impl Clone for Remembered {
    fn clone(&self) -> Self {
        let clone = Self { spot: self.spot.clone(), id: Private::new(UNKNOWN) };
        clone.remember(self.handle());
        clone
    }
}

fn view(inner: &Inner) -> &View {
    inner.store.mem().view()
}

/// The common part of `Var` and `Atomic`: the map, the name, and the last known record.
pub(crate) struct Target {
    /// The handle that `Var::map` and `Atomic::map` return.
    pub(crate) map: Map,
    pub(crate) stored: Stored,
    pub(crate) name: Arc<str>,
    found: Remembered,
    /// The kind of an `Atomic`. A later variable of this name must be an `Atomic` of this kind.
    atomic: Option<Kind>,
}

impl Target {
    /// `handle` is [`Handle::NOWHERE`] if the variable has not been looked up yet.
    pub(crate) fn new(
        map: &Map,
        stored: &Stored,
        name: &str,
        handle: Handle,
        atomic: Option<Kind>,
    ) -> Self {
        let found = Remembered::new(stored);
        found.remember(handle);
        Self { map: map.clone(), stored: stored.clone(), name: name.into(), found, atomic }
    }

    #[inline]
    pub(crate) fn handle(&self) -> Handle {
        self.found.handle()
    }

    /// As [`Remembered::here`].
    #[inline(always)]
    pub(crate) fn here(&self) -> Option<(Here<'_>, u64)> {
        self.found.here()
    }

    /// As [`Remembered::store`].
    #[inline(always)]
    pub(crate) fn store(&self) -> &Store<Mapped> {
        self.found.store()
    }

    #[inline(always)]
    pub(crate) fn is_usable(&self) -> bool {
        self.stored.is_usable()
    }

    /// The record in which the variable was found last, if the map is known to be usable.
    #[inline]
    pub(crate) fn usable_handle(&self) -> Option<Handle> {
        self.is_usable().then(|| self.handle())
    }

    /// Returns `done` if the write went to the shared memory; see [`Stored::acknowledged`].
    #[inline]
    pub(crate) fn acknowledged<R>(&self, operation: &'static str, done: R) -> Result<R> {
        self.stored.acknowledged(operation, &self.name, done)
    }

    /// Runs `operate` on the variable's record. If that record no longer holds the variable, looks
    /// up the name and runs `operate` on the record found. Fails with `NotFound` if no variable has
    /// the name.
    #[inline(never)]
    pub(crate) fn with<R>(
        &self,
        operation: &'static str,
        operate: impl FnMut(Handle) -> Result<Seen<R>, EngineError>,
    ) -> Result<R> {
        self.find_with(operation, operate)?.ok_or_else(|| self.absent(operation))
    }

    /// As [`with`](Self::with); `None` if no variable has the name.
    #[inline(never)]
    pub(crate) fn find_with<R>(
        &self,
        operation: &'static str,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, EngineError>,
    ) -> Result<Option<R>> {
        let handle = self.handle();
        let first = if handle.at == Handle::NOWHERE.at {
            Ok(Seen::Stale)
        } else {
            self.stored.run(|| operate(handle))
        };
        match first {
            Ok(Seen::Value(value, _)) => Ok(Some(value)),
            other => self.again(operation, other, operate),
        }
    }

    #[cold]
    fn again<R>(
        &self,
        operation: &'static str,
        mut last: Result<Seen<R>, EngineError>,
        mut operate: impl FnMut(Handle) -> Result<Seen<R>, EngineError>,
    ) -> Result<Option<R>> {
        let failed = |trouble| self.stored.failed(operation, &self.name, trouble);
        for _ in 0..AGAIN {
            match last.map_err(failed)? {
                Seen::Value(value, _) => return Ok(Some(value)),
                Seen::Absent => return Ok(None),
                Seen::Stale => {}
            }
            let Some(handle) = self.place().map_err(failed)? else { return Ok(None) };
            last = self.stored.run(|| operate(handle));
        }
        Err(failed(EngineError::Contended))
    }

    /// Looks up the name, and remembers the record; `None` if no variable has the name.
    pub(crate) fn place(&self) -> Result<Option<Handle>, EngineError> {
        let Some(handle) = self.stored.resolve(&self.name)? else { return Ok(None) };
        self.still_atomic(handle)?;
        self.found.remember(handle);
        Ok(Some(handle))
    }

    /// Fails unless the record is an `Atomic` of the handle's kind.
    ///
    /// It is checked only when the name was resolved again, because a record never stops being an
    /// `Atomic` of its kind.
    fn still_atomic(&self, handle: Handle) -> Result<(), EngineError> {
        let Some(kind) = self.atomic else { return Ok(()) };
        let fits = handle.atomic
            && self.stored.inner.store.atomic_kind(handle)?.is_none_or(|found| found == kind as u8);
        if fits {
            return Ok(());
        }
        Err(EngineError::WrongKind(
            "the name now belongs to another kind of variable; get a new handle",
        ))
    }

    #[cold]
    pub(crate) fn absent(&self, operation: &'static str) -> Error {
        let maker = if self.atomic.is_some() { "`atomic_or`" } else { "`set`" };
        Error::new(ErrorKind::NotFound, operation, self.stored.variable(&self.name))
            .detail(format!("no variable of this name; {maker} makes it"))
    }

    #[cold]
    pub(crate) fn failed(&self, operation: &'static str, trouble: EngineError) -> Error {
        self.stored.failed(operation, &self.name, trouble)
    }

    pub(crate) fn with_context(&self, operation: &'static str, error: Error) -> Error {
        error.during(operation, self.stored.variable(&self.name))
    }
}

impl Clone for Target {
    fn clone(&self) -> Self {
        Self {
            map: self.map.clone(),
            stored: self.stored.clone(),
            name: self.name.clone(),
            found: self.found.clone(),
            atomic: self.atomic,
        }
    }
}
