//! How the command ends: its exit code, and its error message of one line.

use crate::show;
use mapvar::ErrorKind;
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Done,
    /// A requested variable does not exist.
    Absent,
    /// The checked map is damaged, or the repair or copy lost variables.
    Damaged,
    /// Success, but opening the file recovered it with losses.
    Recovered,
    /// The exit code of a command that it ran.
    Of(u8),
    /// Wrong usage.
    Usage,
    /// An error of this kind.
    Kind(ErrorKind),
}

impl Exit {
    /// The exit code: stable, and below 100, apart from the codes of other commands.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Absent | Self::Damaged => 1,
            Self::Of(code) => code,
            Self::Usage => 2,
            Self::Recovered => 3,
            Self::Kind(kind) => 10 + kind.number(),
        }
    }
}

impl Exit {
    /// Keeps the first failure: of several, that is the one whose code a script gets.
    pub(crate) fn or(self, later: Self) -> Self {
        if self == Self::Done { later } else { self }
    }
}

/// Why the command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage; or a request for `--help` or `--version`.
    Usage(clap::Error),
    /// The library's error.
    Map(mapvar::Error),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<mapvar::Error> for Failure {
    fn from(error: mapvar::Error) -> Self {
        Self::Map(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Prints the error, if there is one, and returns the exit code.
pub(crate) fn end(outcome: Result<Exit, Failure>) -> ExitCode {
    let exit = outcome.unwrap_or_else(|failure| match failure {
        Failure::Usage(error) if error.use_stderr() => {
            // Standard error is closed: there is nowhere to report that.
            let _ = error.print();
            Exit::Usage
        }
        // `--help` and `--version`.
        Failure::Usage(text) => match text.print().and_then(|()| io::stdout().flush()) {
            Ok(()) => Exit::Done,
            Err(error) => unwritten(error),
        },
        Failure::Map(error) => report(&error),
        Failure::Output(error) => unwritten(error),
    });
    let lossy = exit == Exit::Done && LOST.load(Ordering::Relaxed);
    ExitCode::from(if lossy { Exit::Recovered } else { exit }.code())
}

/// Whether opening a file has recovered it with losses.
static LOST: AtomicBool = AtomicBool::new(false);

/// Reports a loss on standard error, and by the exit code of a command that otherwise succeeds.
pub(crate) fn note_loss(text: &str) {
    LOST.store(true, Ordering::Relaxed);
    say(text);
}

fn unwritten(error: io::Error) -> Exit {
    match error.kind() {
        // The reader closed its end, as in `mapvar list alpha | head -1`.
        io::ErrorKind::BrokenPipe => Exit::Done,
        _ => report(&mapvar::Error::new(ErrorKind::Io, "write standard output", "").because(error)),
    }
}

/// Prints an error in one line, and returns its exit code.
pub(crate) fn report(error: &mapvar::Error) -> Exit {
    say(&error.to_string());
    Exit::Kind(error.kind())
}

/// Prints a line to standard error, with unsafe characters escaped. A closed standard error is no
/// error.
pub(crate) fn say(text: &str) {
    let line = format!("mapvar: {}\n", show::escaped(text));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_code_of_its_own_from_11_to_99() {
        let codes: BTreeSet<u8> =
            ErrorKind::ALL.iter().map(|kind| Exit::Kind(*kind).code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(codes.iter().all(|code| (11..100).contains(code)), "{codes:?}");
    }

    #[test]
    fn codes_never_change() {
        let table = [
            (ErrorKind::NotFound, 11),
            (ErrorKind::AlreadyExists, 12),
            (ErrorKind::WrongKind, 13),
            (ErrorKind::OutOfRange, 14),
            (ErrorKind::Full, 15),
            (ErrorKind::NoSpace, 16),
            (ErrorKind::TooLarge, 17),
            (ErrorKind::InvalidName, 18),
            (ErrorKind::InvalidArgument, 19),
            (ErrorKind::PermissionDenied, 20),
            (ErrorKind::ForeignOwner, 21),
            (ErrorKind::NameTaken, 22),
            (ErrorKind::NameRemoved, 23),
            (ErrorKind::NotAMap, 24),
            (ErrorKind::Version, 25),
            (ErrorKind::Corrupt, 26),
            (ErrorKind::Truncated, 27),
            (ErrorKind::NeedsRecovery, 28),
            (ErrorKind::TimedOut, 29),
            (ErrorKind::Contended, 30),
            (ErrorKind::Conflict, 31),
            (ErrorKind::TakenAway, 32),
            (ErrorKind::ReadOnly, 33),
            (ErrorKind::Closed, 34),
            (ErrorKind::Interrupted, 35),
            (ErrorKind::Unsupported, 36),
            (ErrorKind::Io, 37),
        ];
        assert_eq!(table.len(), ErrorKind::ALL.len(), "a kind is missing in this table");
        for (kind, code) in table {
            assert_eq!(Exit::Kind(kind).code(), code, "{kind}");
        }
        assert_eq!(
            [Exit::Done, Exit::Absent, Exit::Damaged, Exit::Usage, Exit::Recovered].map(Exit::code),
            [0, 1, 1, 2, 3]
        );
    }
}
