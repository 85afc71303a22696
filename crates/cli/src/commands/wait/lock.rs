//! `mapvar lock`

use super::alongside;
use crate::{
    args::Lock,
    exit::{self, Exit, Failure},
    opening,
};
use mapvar::{Error, ErrorKind, Outcome};
use std::time::Duration;

/// As good as for ever.
const AGES: Duration = Duration::from_hours(24 * 365 * 100);

pub(crate) fn run(args: &Lock) -> Result<Exit, Failure> {
    let (name, lock) = args.words()?;
    let map = opening::options_at(&args.at, name)
        .open()
        .map_err(|error| opening::remedy(&args.at, name, error))?;
    let lock = map.lock(lock)?;
    let timeout = args.timeout.unwrap_or(AGES);
    let guard =
        if args.shared { lock.share_timeout(timeout) } else { lock.acquire_timeout(timeout) }?;
    if let Outcome::Recovered(dead) = guard.outcome() {
        exit::say(&format!("lock {:?} was left behind by {dead}", lock.name()));
    }
    // Ctrl-C goes to the command too: it says when it ends, and the lock is given back after that.
    ctrlc::set_handler(|| ())
        .map_err(|cause| Error::new(ErrorKind::Io, "wait for", "Ctrl-C").because(cause))?;
    let code = alongside::run(&args.command)?;
    match guard.release() {
        Err(error) if error.kind() == ErrorKind::Removed => exit::say(&error.to_string()),
        released => released?,
    }
    Ok(Exit::Of(code))
}
