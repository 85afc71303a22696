//! What stops an operation of the engine; the map makes an [`Error`] of it, with the names.

use mapvar_os::{Error, ErrorKind, Refused};

/// Why an operation on the region stopped.
#[derive(Debug)]
pub enum EngineError {
    /// The region contradicts itself: what, and where.
    Corrupt(&'static str, u64),
    /// No room for the record: bytes needed, bytes free.
    Full {
        /// Bytes that the variable takes.
        needed: u64,
        /// Bytes that are free, in all.
        free: u64,
    },
    /// A transaction touches too many variables.
    TooMany {
        /// Variables.
        given: usize,
        /// The most that it can touch.
        most: usize,
    },
    /// An `Atomic` holds another kind.
    WrongKind(&'static str),
    /// The region is mapped for reading.
    ReadOnly,
    /// Others kept changing what was to be read or written.
    Contended,
    /// A lock was not to be had.
    Lock(Refused),
    /// Something underneath, told already.
    Explained(Error),
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        Self::Explained(error)
    }
}

impl EngineError {
    /// As the error of `operation` on `object`.
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
                "others changed it each time it was tried; try again".into(),
            ),
            Self::Lock(Refused::TimedOut(holder)) => error(
                ErrorKind::TimedOut,
                "its lock did not become free in time; its holder lives but does not go on".into(),
            )
            .held_by(holder),
            Self::Lock(Refused::Marked(_)) => error(
                ErrorKind::Corrupt,
                "its lock bears a mark that no operation stands for".into(),
            ),
            Self::Lock(Refused::Failed(cause)) => cause.during(operation, object),
            Self::Explained(told) => told.during(operation, object),
        }
    }
}

/// A part of the region that should lie within it does not.
pub fn outside(at: u64) -> EngineError {
    EngineError::Corrupt("a part lies outside the region", at)
}
