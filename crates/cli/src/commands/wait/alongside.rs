//! A command that runs as long as a map or a lock is held for it.

use crate::exit::Failure;
use mapvar::{Error, ErrorKind};
use std::{ffi::OsString, process};

/// Runs a command to its end; answers its exit code, 128 where a signal ended it. Who calls this has
/// seen to it that Ctrl-C, which goes to the command too, does not end this process before.
pub(super) fn run(words: &[OsString]) -> Result<u8, Failure> {
    let Some((program, arguments)) = words.split_first() else { return Ok(0) };
    let status = process::Command::new(program).args(arguments).status().map_err(|cause| {
        Error::new(ErrorKind::Io, "run", program.display().to_string()).because(cause)
    })?;
    Ok(status.code().map_or(128, |code| u8::try_from(code).unwrap_or(u8::MAX)))
}
