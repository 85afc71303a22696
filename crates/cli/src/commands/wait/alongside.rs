//! Runs a command while a map or a lock is held for it.

use crate::exit::Failure;
use mapvar::{Error, ErrorKind};
use std::{ffi::OsString, process};

/// Runs a command to its end. Returns its exit code, or 128 if a signal ended it.
///
/// The caller must handle Ctrl-C, which the command gets too. Otherwise it would end this process
/// before the command.
pub(super) fn run(words: &[OsString]) -> Result<u8, Failure> {
    let Some((program, arguments)) = words.split_first() else { return Ok(0) };
    let status = process::Command::new(program).args(arguments).status().map_err(|cause| {
        Error::new(ErrorKind::Io, "run", program.display().to_string()).because(cause)
    })?;
    Ok(status.code().map_or(128, |code| u8::try_from(code).unwrap_or(u8::MAX)))
}
