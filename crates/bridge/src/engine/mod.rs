//! NATS JetStream: the connection, the bucket, the feed of a prefix, and puts.

pub(crate) mod link;
pub(crate) mod bucket;
pub(crate) mod feed;
pub(crate) mod digest;
pub(crate) mod put;

use std::fmt;

/// Why a feed or a step at the server ended. The mirror begins anew.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

impl Lost {
    /// A step failed for this cause.
    pub(crate) fn because(step: &str, cause: &dyn fmt::Display) -> Self {
        Self(format!("{step}: {cause}"))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
