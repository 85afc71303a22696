//! `mapvar bridge`

use super::signals::Signals;
use crate::{
    args::Bridge,
    exit::{Exit, Failure},
};
use mapvar::{Error, ErrorKind};
use std::{env, io, path::PathBuf, process};

const PROGRAM: &str = "mapvar-bridge";

/// Runs `mapvar-bridge` with these arguments. It is a program of its own, so that this command does
/// not depend on a client of NATS.
pub(crate) fn run(args: &Bridge) -> Result<Exit, Failure> {
    let signals = Signals::catch_for_command()?;
    let failed = |cause: io::Error| {
        let error = Error::new(ErrorKind::Io, "run", PROGRAM);
        if cause.kind() != io::ErrorKind::NotFound {
            return error.because(cause);
        }
        Error::new(ErrorKind::Unsupported, "run", PROGRAM).detail(
            "it is neither beside this program nor in PATH; `cargo install --path crates/bridge` \
             in the repository installs it",
        )
    };
    let mut child = process::Command::new(beside_this().unwrap_or_else(|| PROGRAM.into()))
        .args(&args.words)
        .spawn()
        .map_err(failed)?;
    let status = signals.wait_for(&mut child).map_err(failed)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    // A signal ended it.
    Ok(Exit::Of(code.unwrap_or(128)))
}

/// Returns the program that was installed with this one.
fn beside_this() -> Option<PathBuf> {
    let path =
        env::current_exe().ok()?.with_file_name(format!("{PROGRAM}{}", env::consts::EXE_SUFFIX));
    path.is_file().then_some(path)
}
