//! Runs a command while a map or a lock is held for it.

use super::signals::Signals;
use crate::exit::Failure;
use mapvar::{Error, ErrorKind};
use std::{ffi::OsString, process};

/// Runs a command to its end. Returns its exit code, or 128 if a signal ended it.
///
/// The command gets the signals that ask this process to end. Otherwise this process would end
/// before the command, and the map or lock with it.
pub(super) fn run(words: &[OsString], signals: &Signals) -> Result<u8, Failure> {
    let Some((program, arguments)) = words.split_first() else { return Ok(0) };
    let failed =
        |cause| Error::new(ErrorKind::Io, "run", program.display().to_string()).because(cause);
    let mut child = process::Command::new(program).args(arguments).spawn().map_err(failed)?;
    let status = signals.wait_for(&mut child).map_err(failed)?;
    Ok(status.code().map_or(128, |code| u8::try_from(code).unwrap_or(u8::MAX)))
}
