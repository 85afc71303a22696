//! Names of variables: which there can be, and which are the library's own.

use mapvar_engine::{error::EngineError, layout};
use mapvar_os::{Error, ErrorKind, Result};

/// The first byte of names that are the library's own: of locks.
pub(crate) const RESERVED: u8 = 0;

/// Whether a variable of this name is one of the library's own, which no walk shows.
#[inline]
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.first() == Some(&RESERVED)
}

#[inline]
pub(crate) fn checked(name: &str) -> Result<&[u8], EngineError> {
    let bytes = name.as_bytes();
    if is_reserved(bytes) {
        return Err(reserved_name());
    }
    checked_length(name)
}

/// As [`checked`], of a gem's map, which has no names of its own.
#[inline]
pub(crate) fn checked_length(name: &str) -> Result<&[u8], EngineError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > layout::LONGEST_NAME {
        return Err(invalid_name(bytes.len()));
    }
    Ok(bytes)
}

#[cold]
fn reserved_name() -> EngineError {
    EngineError::Explained(Error::new(ErrorKind::InvalidName, "name variable", "").detail(
        "names that begin with a zero byte are the library's own (locks); begin it otherwise",
    ))
}

#[cold]
fn invalid_name(len: usize) -> EngineError {
    EngineError::Explained(
        Error::new(ErrorKind::InvalidName, "name variable", "")
            .detail(format!("its name has {len} bytes; use 1 to {}", layout::LONGEST_NAME)),
    )
}
