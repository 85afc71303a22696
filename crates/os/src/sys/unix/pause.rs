//! Polling for a short-lived state of another process, where the system offers nothing to wait on.

use super::machine::nap;
use std::time::{Duration, Instant};

/// Short sleeps of growing length, up to a deadline.
pub(super) struct Pause {
    /// `None`: the timeout is beyond the range of the clock.
    deadline: Option<Instant>,
    next: Duration,
}

impl Pause {
    const LONGEST: Duration = Duration::from_millis(10);

    pub(super) fn up_to(timeout: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(timeout), next: Duration::from_millis(1) }
    }

    /// Sleeps for a moment and returns true; returns false, without sleeping, after the deadline.
    pub(super) fn once(&mut self) -> bool {
        let left =
            self.deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return false;
        }
        nap(self.next.min(left));
        self.next = (self.next * 2).min(Self::LONGEST);
        true
    }
}
