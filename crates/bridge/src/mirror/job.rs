//! What a mirror is given, and its pace.

use super::tally::{State, Tally};
use crate::{
    config::Mirror,
    engine::{Lost, link::backoff},
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A session that lasted so long is followed by a new one at once.
const GOOD: Duration = Duration::from_secs(10);

/// What a mirror needs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) node: String,
    pub(crate) bucket: String,
    pub(crate) mirror: Mirror,
    pub(crate) tally: Tally,
    /// Makes the names of consumers differ from those of earlier runs, and of other mirrors.
    pub(crate) run: String,
}

/// Waits between two sessions: longer after each that ended soon.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    attempt: u32,
}

impl Pace {
    /// A session that began then has ended.
    pub(crate) async fn rest(&mut self, job: &Job, began: Instant, lost: &Lost) {
        if began.elapsed() > GOOD {
            self.attempt = 0;
        }
        job.tally.failed(&lost.to_string());
        job.tally.enter(State::Connecting);
        tracing::info!(prefix = job.mirror.mapping.keys, "{lost}; beginning anew");
        sleep(backoff(self.attempt)).await;
        self.attempt = self.attempt.saturating_add(1).min(4);
    }
}
