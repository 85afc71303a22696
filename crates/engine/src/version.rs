//! Versions of a variable, the condition of a conditional write, and the outcome of a write.

use std::fmt;

/// The outcome of a write to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The value is published, under this version.
    Version(u64),
    /// The record no longer holds the variable of the handle.
    Stale,
    /// The record holds a removed `Atomic`, which must be collected before another variable can
    /// have its name.
    Unfit,
    /// The variable was already removed, and nothing was written.
    Absent,
    /// The record has another version than the expected one; 0 = the variable is removed.
    Other(u64),
}

/// The identity of one value: the id of the variable and the version; zeros = no variable.
pub type Which = (u64, u64);

/// The identity of one value: the id of the variable, and the number of the value. Equal versions
/// stand for the same `set`. A map of the Ruby gem stores no versions; there, equal versions stand
/// for equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    id: u64,
    number: u64,
}

impl Version {
    /// The version of a name that has no variable.
    pub const ABSENT: Self = Self { id: 0, number: 0 };
}

impl From<(u64, u64)> for Version {
    fn from((id, number): (u64, u64)) -> Self {
        Self { id, number }
    }
}

/// Returns the id of the variable and the number of the value; zeros = [`ABSENT`](Version::ABSENT).
/// Bindings of other languages carry them; the numbers have no meaning by themselves.
impl From<Version> for (u64, u64) {
    fn from(version: Version) -> Self {
        (version.id, version.number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.number)
    }
}

/// The condition that a record must meet before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition: the variable may also be removed.
    Any,
    /// The variable exists, in any version.
    Present,
    /// The variable exists, in this version.
    Version(u64),
    /// The variable is removed.
    Absent,
}

impl Expect {
    /// Returns the outcome of a refused write; `None` if the record meets the condition.
    pub(crate) fn refuses(self, version: u64, removed: bool, removing: bool) -> Option<Wrote> {
        match self {
            Self::Any if removing && removed => Some(Wrote::Absent),
            Self::Present => removed.then_some(Wrote::Absent),
            Self::Version(wanted) if removed || wanted != version => {
                Some(Wrote::Other(if removed { 0 } else { version }))
            }
            Self::Absent if !removed => Some(Wrote::Other(version)),
            Self::Absent if removing => Some(Wrote::Absent),
            Self::Any | Self::Version(_) | Self::Absent => None,
        }
    }
}
