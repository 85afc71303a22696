//! Waiting for a moment of another process's to pass, where the system has nothing to wait on.

use super::machine::nap;
use std::time::{Duration, Instant};

/// Short sleeps that grow, up to a deadline.
pub(super) struct Pause {
    /// `None`: a time so far away that the clock has no number for it.
    deadline: Option<Instant>,
    next: Duration,
}

impl Pause {
    const LONGEST: Duration = Duration::from_millis(10);

    pub(super) fn up_to(timeout: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(timeout), next: Duration::from_millis(1) }
    }

    /// Sleeps for a moment; false, without sleeping, where the time is up.
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
