//! What mirrors of `out` share, whatever their target is: the names in the map, the table's clock,
//! and why a session ends.

use super::changes::OWN;
use crate::engine::Lost;
use mapvar::{Error, Map};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Returns the variables of a prefix, without the bridge's own.
pub(crate) fn names_in(map: &Map, prefix: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let mut walk = map.names().prefix(prefix);
    while let Some(name) = walk.try_next()? {
        if !name.starts_with(OWN) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Waits until a time of the table's clock, which began then; without a time for ever.
pub(crate) async fn until(due: Option<Duration>, began: Instant) {
    match due {
        Some(due) => sleep(due.saturating_sub(began.elapsed())).await,
        None => std::future::pending().await,
    }
}

/// Why a session ended.
pub(crate) enum Ended {
    Lost(Lost),
    Map(Error),
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Map(error)
    }
}
