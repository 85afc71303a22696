//! `mapvar lock`

use super::{alongside, signals::Signals};
use crate::{
    args::Lock,
    exit::{self, Exit, Failure},
    opening,
};
use mapvar::lock::Acquired;
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
    match guard.acquired() {
        Acquired::Clean => {}
        Acquired::Abandoned(dead) => {
            exit::say(&format!("lock {:?} was left behind by {dead}", lock.name()));
        }
        Acquired::AbandonedShared(dead) => {
            exit::say(&format!(
                "lock {:?} was left behind by {dead}, which shared it",
                lock.name()
            ));
        }
        _ => exit::say(&format!("lock {:?} was left behind", lock.name())),
    }
    // Only now, so that Ctrl-C ends the wait for the lock. From here on it is for the command:
    // otherwise it would end this process, and so free the lock, while the command still runs.
    let signals = Signals::catch_for_command()?;
    let ended = alongside::run(&args.command, &signals, &map)?.and(guard.release());
    // Scripts make up names, one for each job, and each would take space for good. The command has
    // done its work, so an error here is none of its own.
    let _ = lock.remove();
    Ok(ended.exit())
}
