//! Names of variables: which names are valid, and which are reserved for the library.

use mapvar_engine::{error::EngineError, layout};
use mapvar_os::{Error, ErrorKind, Result};

/// The first byte of reserved names; the variables that hold locks have such names.
pub(crate) const RESERVED: u8 = 0;

/// Whether the name is reserved; iteration skips such variables.
#[inline]
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.first() == Some(&RESERVED)
}

/// Whether a name begins with `prefix`.
///
/// An empty prefix is not compared: the bytes of an empty string have no memory, and with AVX-512 the C
/// library's comparison of no bytes there takes 80 ns, half of a step of a walk.
#[inline]
pub(crate) fn begins_with(name: &[u8], prefix: &str) -> bool {
    prefix.is_empty() || name.starts_with(prefix.as_bytes())
}

/// The bytes of a user's name: 1 to [`layout::LONGEST_NAME`] bytes, and not reserved.
#[inline]
pub(crate) fn checked(name: &str) -> Result<&[u8], EngineError> {
    let bytes = name.as_bytes();
    if is_reserved(bytes) {
        return Err(reserved_name());
    }
    checked_length(name)
}

/// As [`checked`], for a gem map, in which no name is reserved.
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
