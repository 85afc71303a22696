//! `mapvar lock`

use super::alongside;
use crate::{
    args::Lock,
    exit::{self, Exit, Failure},
    opening,
};
use mapvar::{Error, ErrorKind, Outcome};
use std::time::Duration;

/// The timeout that stands for waiting forever.
const AGES: Duration = Duration::from_hours(24 * 365 * 100);

pub(crate) fn run(args: &Lock) -> Result<Exit, Failure> {
    let (name, lock) = args.words()?;
    let map = opening::options_at(&args.at, name)
        .open()
        .map(opening::noted)
        .map_err(|error| opening::remedy(&args.at, name, error))?;
    let lock = map.lock(lock)?;
    let timeout = args.timeout.unwrap_or(AGES);
    let guard =
        if args.shared { lock.share_timeout(timeout) } else { lock.acquire_timeout(timeout) }?;
    if let Outcome::Recovered(dead) = guard.outcome() {
        exit::say(&format!("lock {:?} was left behind by {dead}", lock.name()));
    }
    // The command gets Ctrl-C too, and decides when to end. Without the handler, Ctrl-C would end
    // this process, and so free the lock, while the command still runs.
    ctrlc::set_handler(|| ())
        .map_err(|cause| Error::new(ErrorKind::Io, "wait for", "Ctrl-C").because(cause))?;
    let code = alongside::run(&args.command)?;
    match guard.release() {
        Err(error) if error.kind() == ErrorKind::Removed => exit::say(&error.to_string()),
        released => released?,
    }
    Ok(Exit::Of(code))
}
