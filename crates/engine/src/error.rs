//! The errors of the engine. The map turns each into an [`Error`] that names the operation and its
//! object.

use mapvar_os::{Error, ErrorKind, Refused};

/// Why an operation on the region stopped.
#[derive(Debug)]
pub enum EngineError {
    /// The region contradicts itself: the inconsistency, and its offset.
    Corrupt(&'static str, u64),
    /// The region has no free space for the allocation: bytes needed, bytes free.
    Full {
        /// Bytes that the operation needs.
        needed: u64,
        /// Bytes that are free in the whole region.
        free: u64,
    },
    /// A transaction touches too many variables.
    TooMany {
        /// Variables in the transaction.
        given: usize,
        /// The most variables that one transaction can touch.
        most: usize,
    },
    /// The variable is an `Atomic`, which the operation does not fit: the message.
    WrongKind(&'static str),
    /// The region is mapped for reading.
    ReadOnly,
    /// Other writers changed the variable, or the index, at each attempt.
    Contended,
    /// A lock could not be taken.
    Lock(Refused),
    /// An error of a lower layer, which already has its message.
    Explained(Error),
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        Self::Explained(error)
    }
}

impl EngineError {
    /// Whether a wait for another process ended without success.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Lock(Refused::TimedOut(_)))
    }

    /// Whether the region, or the system, has no space left.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Explained(error) => error.kind() == ErrorKind::NoSpace,
            _ => false,
        }
    }

    /// Converts the error to the one of `operation` on `object`.
    #[cold]
    pub fn during(self, operation: &'static str, object: String) -> Error {
        let error =
            |kind, detail: String| Error::new(kind, operation, object.clone()).detail(detail);
        match self {
            Self::Corrupt(what, at) => error(
                ErrorKind::Corrupt,
                format!("{what}, at byte {at:#x}; the map was damaged by a program or the disk"),
            ),
            Self::Full { needed, free } => error(
                ErrorKind::Full,
                format!(
                    "the map is full: this takes {needed} bytes, {free} are free in all, and it may \
                     not grow; remove variables, or make the map with a larger `max_size`"
                ),
            ),
            Self::TooMany { given, most } => error(
                ErrorKind::TooLarge,
                format!("{given} variables, and one transaction can touch {most}; split it"),
            ),
            Self::WrongKind(detail) => error(ErrorKind::WrongKind, detail.into()),
            Self::ReadOnly => error(
                ErrorKind::ReadOnly,
                "the map was opened for reading; open it without `read_only`".into(),
            ),
            Self::Contended => error(
                ErrorKind::Contended,
                "other processes changed it at each attempt; try again".into(),
            ),
            Self::Lock(Refused::TimedOut(holder)) => error(
                ErrorKind::TimedOut,
                "lock timed out; its owner is alive but not progressing".into(),
            )
            .held_by(holder),
            Self::Lock(Refused::Marked(_)) => {
                error(ErrorKind::Corrupt, "its lock has a mark of no known operation".into())
            }
            Self::Lock(Refused::Failed(cause)) | Self::Explained(cause) => {
                cause.during(operation, object)
            }
        }
    }
}

/// Returns the error for a part of the region that should lie within it and does not.
pub fn outside(at: u64) -> EngineError {
    EngineError::Corrupt("a part lies outside the region", at)
}
