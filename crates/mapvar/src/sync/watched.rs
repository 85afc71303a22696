//! One variable as a watch observes it.

use crate::{
    Version,
    map::store_map::{Inner, Stored},
    plain::Captured,
    sync::change::Change,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    record::wait::Observed,
    variable::{
        follow::{Asked, Followed},
        named::AGAIN,
    },
};
use std::sync::Arc;

/// The operation in the errors of one variable, behind which the watch goes on.
pub(crate) const WATCH_ONE: &str = "watch variable";

/// A watched variable, and its state when the watch last looked at it.
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    pub(super) handle: Option<Handle>,
    /// `None` if there is no record.
    pub(super) observed: Option<Observed>,
    /// The seat token of the owner process of an ephemeral value, else 0.
    pub(super) owner: u64,
    /// Whether a thread owned the record's lock when the variable was looked at, so that its next
    /// change may not be told.
    pub(super) busy: bool,
}

impl Watched {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, handle: None, observed: None, owner: 0, busy: false }
    }

    /// The record and its last observation, if there are both.
    #[inline]
    pub(super) fn stand(&self) -> Option<(Handle, Observed)> {
        Some((self.handle?, self.observed?))
    }

    /// Looks at the variable; returns its change since the last look. With `ask`, the ring of
    /// changes tells of its next change.
    pub(super) fn look(&mut self, map: &Stored, ask: bool) -> Result<Option<Change>, EngineError> {
        let store = &map.inner.store;
        for _ in 0..AGAIN {
            let handle = match self.handle {
                Some(handle) => Some(handle),
                None => store.find(store.query(self.name.as_bytes()))?,
            };
            self.handle = handle;
            // Before the look: a change that it does not see is told.
            self.busy = false;
            if let Some(handle) = handle.filter(|_| ask) {
                match store.ask(handle)? {
                    Asked::Told => {}
                    Asked::Busy => self.busy = true,
                    Asked::Gone => {
                        self.handle = None;
                        continue;
                    }
                }
            }
            let followed = match handle.map(|handle| store.follow(handle)).transpose() {
                Ok(followed) => followed,
                Err(met) => {
                    let observed = handle.and_then(|handle| store.observed(handle).ok()?);
                    return Err(self.unreadable(observed, met, map));
                }
            };
            let (observed, captured, owner) = match followed {
                Some(Followed::Value(captured, observed, owner)) => {
                    match map.captured_of(captured) {
                        Ok(captured) => (Some(observed), Some(captured), owner),
                        Err(met) => return Err(self.unreadable(Some(observed), met, map)),
                    }
                }
                Some(Followed::Removed(observed)) => (Some(observed), None, 0),
                Some(Followed::Stale) => {
                    self.handle = None;
                    continue;
                }
                None => (None, None, 0),
            };
            self.owner = owner;
            return Ok(self.update(observed, captured, &map.inner));
        }
        Err(EngineError::Contended)
    }

    /// Notes that the value could not be read; returns the error that tells it.
    fn unreadable(
        &mut self,
        observed: Option<Observed>,
        met: EngineError,
        map: &Stored,
    ) -> EngineError {
        self.passed_over(observed, &met);
        if met.is_timeout() || matches!(met, EngineError::Contended) {
            return met;
        }
        let object = format!("{:?} of {}", self.name, map.inner.object);
        EngineError::Explained(met.during(WATCH_ONE, object))
    }

    /// Notes that the value could not be read. It is told once, and the next value counts as a change.
    /// After a time-out the value itself is tried again.
    fn passed_over(&mut self, observed: Option<Observed>, met: &EngineError) {
        let unread = |handle: Handle| Observed { id: handle.id, number: u64::MAX, removed: true };
        match observed {
            Some(observed) if !met.is_timeout() && !matches!(met, EngineError::Contended) => {
                self.observed = Some(observed);
            }
            // Without an observation the variable would be looked at only if it were made anew.
            _ => self.observed = self.observed.or(self.handle.map(unread)),
        }
    }

    fn present(&self) -> bool {
        self.observed.is_some_and(|observed| !observed.removed)
    }

    /// Stores the new state. Returns the change to it, if there is one.
    fn update(
        &mut self,
        observed: Option<Observed>,
        captured: Option<Captured>,
        map: &Inner,
    ) -> Option<Change> {
        let (was, before) = (self.present(), self.observed);
        if before == observed {
            return None;
        }
        self.observed = observed;
        let Some(now) = observed else {
            // The record was collected after a removal.
            let version =
                before.map_or(Version::ABSENT, |observed| (observed.id, observed.number).into());
            return was.then(|| self.change(map, None, version, 0));
        };
        let atomic = self.handle.is_some_and(|handle| handle.atomic);
        let skipped = match before {
            _ if atomic => 0,
            Some(before) if before.id == now.id => {
                now.number.saturating_sub(before.number).saturating_sub(1)
            }
            // A new variable of the same name: all its values before this one were skipped, and so
            // was the removal of the former variable.
            _ => now
                .number
                .saturating_sub(map.store.version_base.max(1))
                .saturating_add(u64::from(was)),
        };
        if now.removed && !was && skipped == 0 {
            // The variable counted as absent before: the watch had not found its record yet, or its
            // owner process had died. The tombstone is no change.
            return None;
        }
        Some(self.change(map, captured, (now.id, now.number).into(), skipped))
    }

    fn change(
        &self,
        map: &Inner,
        captured: Option<Captured>,
        version: Version,
        skipped: u64,
    ) -> Change {
        let (name, object) = (Arc::clone(&self.name), Arc::clone(&map.object));
        Change { name, object, captured, version, skipped }
    }
}
