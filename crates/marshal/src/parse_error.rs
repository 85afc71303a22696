//! Errors of bytes that should be Marshal, and of values that cannot be written as Marshal.

use std::{borrow::Cow, fmt};

/// What is wrong with bytes that should be Marshal, or with a value that should be written.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ParseError {
    /// All bytes are zero, as in memory that no program has written to.
    Blank,
    /// The bytes end before the value does.
    Truncated,
    /// Another version of the format: major and minor number.
    Version(u8, u8),
    /// The bytes are not Marshal: the reason, and the position.
    Invalid(&'static str, usize),
    /// Valid Marshal, but of another type than Hash: its letter.
    NotAHash(u8),
    /// More bytes follow a value that should stand alone, from this position on.
    Trailing(usize),
    /// More bytes or elements than Marshal, or a table of positions, can count.
    TooLarge(usize),
    /// The system refuses the memory for the value.
    NoMemory,
    /// Objects are nested more than this many levels deep.
    Deep(u32),
    /// User-defined objects contain each other so that a copy of a part is larger than the whole.
    Tangled,
    /// The value is of a type that Marshal cannot express: what it is, as
    /// [`Tree::node`](crate::Tree::node) says.
    Foreign(Cow<'static, str>),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("it is all zeros: no program has written variables into it"),
            Self::Truncated => f.write_str("the marshalled bytes end in the middle of a value"),
            Self::Version(major, minor) => write!(
                f,
                "it begins with the bytes {major:#04x} {minor:#04x}, and not with 0x04 0x08, \
                 the version that Ruby's Marshal writes"
            ),
            Self::Invalid(what, at) => write!(f, "not valid Marshal data: {what}, at byte {at}"),
            Self::NotAHash(letter) => write!(
                f,
                "it holds a marshalled value of type '{}' and not the Hash of variables",
                letter.escape_ascii()
            ),
            Self::Trailing(at) => {
                write!(f, "the marshalled value ends at byte {at}, but more bytes follow")
            }
            Self::TooLarge(len) => {
                write!(f, "{len} bytes or elements are more than Marshal can count")
            }
            Self::NoMemory => f.write_str(
                "decoded, it takes more memory than the system gives this process; free memory, or \
                 raise the process's limit",
            ),
            Self::Deep(levels) => write!(
                f,
                "its objects are nested more than {levels} levels deep, which could overflow the \
                 loader's stack"
            ),
            Self::Tangled => f.write_str(
                "its user-defined objects contain each other, so a copy of one value would be too \
                 large",
            ),
            Self::Foreign(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ParseError {}
