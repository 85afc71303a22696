//! Who owns a prefix: one bridge, which states itself in a key of the bucket.
//!
//! The key is written only with the revision that was seen last, so of two claims one wins. An owner
//! that no longer renews its statement is replaced. Each side measures that by its own clock.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often an owner renews its statement.
pub(crate) const RENEWAL: Duration = Duration::from_millis(500);
/// How long a statement holds that nobody renews.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// What an owner states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) node: String,
    /// Identifies the map that the owner mirrors.
    pub(crate) map: String,
    pub(crate) session: u64,
    /// The engine holds all that the map held when the session's feed began, or newer.
    pub(crate) whole: bool,
    /// A number that grows, so that each renewal differs.
    pub(crate) renewal: u64,
}

/// What to do about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Claim it, as this session.
    Take(u64),
    /// Another owner lives.
    Wait,
}

/// Judges the statement in the bucket, which has stood unchanged for so long.
///
/// An earlier bridge of the same map has ended, since a lock in the map admits one at a time.
/// `clock` is milliseconds since 1970; it only makes sessions differ after a bucket was lost.
pub(crate) fn judge(
    found: Option<&Statement>,
    map: &str,
    unchanged: Duration,
    clock: u64,
) -> Claim {
    match found {
        Some(other) if other.map != map && unchanged < LEASE => Claim::Wait,
        Some(other) => Claim::Take(clock.max(other.session.saturating_add(1))),
        None => Claim::Take(clock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_is_respected_and_a_dead_one_replaced() {
        let other = Statement {
            node: "rig-a".into(),
            map: "other".into(),
            session: 9,
            whole: true,
            renewal: 1,
        };
        let judged = |found, map, unchanged| judge(found, map, unchanged, 7);
        assert_eq!(judged(None, "mine", Duration::ZERO), Claim::Take(7));
        assert_eq!(judged(Some(&other), "mine", Duration::ZERO), Claim::Wait);
        assert_eq!(judged(Some(&other), "mine", LEASE), Claim::Take(10));
        // An earlier bridge of this map.
        assert_eq!(judged(Some(&other), "other", Duration::ZERO), Claim::Take(10));
    }
}
