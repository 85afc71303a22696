//! The errors of encoding and decoding. What serde's own implementations report is text alone.

use super::rule::DEEPEST;
use mapvar_engine::value::Kind;
use mapvar_os::{Error, ErrorKind};
use serde::{de, ser};
use std::fmt;

/// The message with which decoding a [`Value`](crate::Value) ends when the system refuses the memory.
/// The errors of serde carry only text, so the codec recognizes this one by its text.
pub(crate) const NO_MEMORY: &str = "decoded, it takes more memory than the system gives this \
    process; free memory, raise the process's limit, or ask for a smaller type";

/// The remedy of a reader.
const WIDER: &str = "; ask for a wider type";

/// Why a value is not encoded.
#[derive(Debug)]
pub(super) enum Stop {
    /// The value is a list or a dictionary.
    Composite,
    Failed(ErrorKind, String),
}

impl Stop {
    #[cold]
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::Failed(ErrorKind::InvalidArgument, detail.into())
    }

    #[cold]
    pub(super) fn wide(number: impl fmt::Display) -> Self {
        let detail = format!("{number} does not fit 64 bits; store it as text");
        Self::Failed(ErrorKind::OutOfRange, detail)
    }

    /// For `Some` of a value that is stored as nil.
    #[cold]
    pub(super) fn some_nil() -> Self {
        Self::invalid(
            "a `Some` whose content is stored as nil would be read as `None`; use an enum instead",
        )
    }

    #[cold]
    pub(super) fn repeated() -> Self {
        Self::invalid(
            "a dictionary has two entries of one key; rename the one of a flattened or tagged value",
        )
    }

    #[cold]
    pub(super) fn deep() -> Self {
        Self::invalid(format!("it is nested deeper than {DEEPEST} levels"))
    }

    #[cold]
    pub(super) fn into_error(self) -> Error {
        let (kind, detail) = match self {
            Self::Composite => (ErrorKind::InvalidArgument, "it cannot be encoded".into()),
            Self::Failed(kind, detail) => (kind, detail),
        };
        Error::new(kind, "encode a value", "").detail(detail)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Composite => f.write_str("a list or a dictionary"),
            Self::Failed(_, detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self::invalid(detail.to_string())
    }
}

/// Why a value is not decoded: it does not convert to the requested type, or is damaged.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(super) kind: ErrorKind,
    pub(super) detail: String,
}

impl Mismatch {
    #[cold]
    pub(crate) fn into_error(self) -> Error {
        Error::new(self.kind, "decode a value", "").detail(self.detail)
    }

    #[cold]
    pub(super) fn kind(found: u8, wanted: &str) -> Self {
        Self::found(Kind::of(found).map_or("a kind of a newer version", Kind::name), wanted)
    }

    #[cold]
    pub(super) fn found(found: &str, wanted: &str) -> Self {
        Self { kind: ErrorKind::WrongKind, detail: format!("expected {wanted}, found {found}") }
    }

    /// For a number that the type does not hold. As `Debug`, a float has an exponent in place of
    /// hundreds of digits.
    #[cold]
    pub(super) fn range(number: impl fmt::Debug, wanted: &str) -> Self {
        let detail = format!("{number:?} does not fit {wanted}{WIDER}");
        Self { kind: ErrorKind::OutOfRange, detail }
    }

    /// The error of a value that is written as a type that is given.
    #[cold]
    pub(crate) fn into_error_of_a_write(self) -> Error {
        let detail = match self.detail.strip_suffix(WIDER) {
            Some(detail) => format!("{detail}; give a number that fits"),
            None => self.detail,
        };
        Error::new(self.kind, "encode a value", "").detail(detail)
    }

    #[cold]
    pub(super) fn corrupt(detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Corrupt, detail: detail.into() }
    }

    /// Bytes after the value. No writer stores any, so the value is damaged or forged.
    #[cold]
    pub(super) fn trailing(rest: &[u8]) -> Self {
        Self::corrupt(format!("its MessagePack ends {} bytes before the value does", rest.len()))
    }

    /// A value, or a type, that leads deeper than any value that is stored.
    #[cold]
    pub(super) fn deep() -> Self {
        Self::corrupt(format!("it is nested deeper than {DEEPEST} levels"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        let detail = detail.to_string();
        let kind = if detail == NO_MEMORY { ErrorKind::TooLarge } else { ErrorKind::WrongKind };
        Self { kind, detail }
    }
}
