//! What a mirror counts, for the link-state variable and for `status`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Returns milliseconds since 1970.
pub(crate) fn clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a mirror is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Connecting,
    /// The prefix has another owner, so this one is silent.
    OwnedByAnother,
    Reconciling,
    Live,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::OwnedByAnother => "owned by another",
            Self::Reconciling => "reconciling",
            Self::Live => "live",
        }
    }
}

/// The figures of one mirror.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) state: State,
    /// Milliseconds since 1970 at which the state began.
    pub(crate) since: u64,
    /// Acknowledged puts and deletions.
    pub(crate) sent: u64,
    /// Values and removals that were applied to the map.
    pub(crate) received: u64,
    /// Puts that failed, and were or will be sent again.
    pub(crate) failed: u64,
    /// Messages older than what the map has.
    pub(crate) old: u64,
    /// Reads of ephemeral variables, which MQTT does not get.
    pub(crate) ephemeral: u64,
    /// Values that are too large, exceed a limit, or cannot be read.
    pub(crate) refused: u64,
    /// Full reconciliations.
    pub(crate) reconciliations: u64,
    pub(crate) variables: u64,
    /// The last error.
    pub(crate) error: String,
}

/// Figures that a mirror's task changes and others read.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Figures>);

impl Tally {
    /// Returns the figures.
    pub(crate) fn read(&self) -> Figures {
        self.figures().clone()
    }

    /// Changes the figures.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures());
    }

    /// Enters a state.
    pub(crate) fn enter(&self, state: State) {
        let mut figures = self.figures();
        if figures.state != state {
            (figures.state, figures.since) = (state, clock());
        }
    }

    /// Remembers an error.
    pub(crate) fn failed(&self, error: &str) {
        error.clone_into(&mut self.figures().error);
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        // A panic of another thread leaves figures, which need no repair.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
