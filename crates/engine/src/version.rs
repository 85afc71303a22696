//! Versions of a variable, what a write expects of them, and what came of it.

use std::fmt;

/// What came of a write to a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is published, under this version.
    Version(u64),
    /// The record is another variable's, or nobody's, by now.
    Stale,
    /// The record is a removed `Atomic`'s: it is to be collected first.
    Unfit,
    /// It was removed already: nothing to do.
    Absent,
    /// Another version stands there than was expected; 0 = it is removed.
    Other(u64),
}

/// Which value of a variable: the id of the variable and the version; zeros = there is none.
pub type Which = (u64, u64);

/// Which value of a variable it is: of which variable of the name, and the how-manieth. Two that are
/// equal stand for the same `set`; of a gem's map, whose layout counts nothing, for the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    id: u64,
    number: u64,
}

impl Version {
    /// That there is no variable of the name.
    pub const ABSENT: Self = Self { id: 0, number: 0 };
}

impl From<(u64, u64)> for Version {
    fn from((id, number): (u64, u64)) -> Self {
        Self { id, number }
    }
}

/// The id of the variable and the number of the value; zeros = [`ABSENT`](Version::ABSENT). For
/// other languages: the numbers mean nothing by themselves.
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

/// What is to stand in a record before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything, also a removed variable.
    Any,
    /// A variable, of whatever version.
    Present,
    /// This version of it.
    Version(u64),
    /// A removed variable.
    Absent,
}

impl Expect {
    /// What to answer, where it is not as expected.
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
