//! Processes that use a map, killed at random moments.

mod leaks;
mod order;
mod process;
mod recovery;
mod shared;
mod storm;
mod survivor;
mod value;
mod ways;
mod work;
#[cfg(unix)]
mod zygote;

use crate::{Seeded, verdict};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};
use storm::{MOST_CHAINS, Plan, Run, Scratch};
use ways::Way;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many processes are killed: 10,000, or 3,000 with --short
    kills: Option<u64>,
    #[command(flatten)]
    seeded: Seeded,
    /// How many processes are killed at a time
    #[arg(long, default_value_t = if cfg!(windows) { 4 } else { 3 })]
    chains: usize,
    /// Kills on one map
    #[arg(long, default_value_t = if cfg!(windows) { 250 } else { 2_000 })]
    era: u64,
    /// Instead: measures how long others wait after the death of an owner, so many deaths for each
    /// kind of lock
    #[arg(long, num_args = 0..=1, default_missing_value = "200", conflicts_with = "short")]
    recovery: Option<u64>,
    /// The same with 4 GB mapped; by default a tenth of `--recovery`
    #[arg(long)]
    large: Option<u64>,
    /// Every process dies in this way: left, stopped, continued, traced, watched, forked, started,
    /// signalled, limited, exits, executes
    #[arg(long, value_parser = Way::parse)]
    way: Option<Way>,
    /// Only maps in files
    #[arg(long)]
    files: bool,
    /// Folder that a faulty map's file is copied to
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Start a program for each process, as under Wine, instead of forking; only plain kills
    #[arg(long)]
    start: bool,
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    exit_code(match words {
        ["life", shared, order] => process::run(Path::new(shared), order),
        ["survivor", shared, rest @ ..] => survivor::run(Path::new(shared), rest),
        [ways::OUTLIVES, millis] => Ok(ways::outlive(millis)),
        ["hold", shared, rest @ ..] => recovery::hold(Path::new(shared), rest),
        #[cfg(unix)]
        ["zygote", shared] => zygote::run(Path::new(shared)).map(|()| ExitCode::SUCCESS),
        other => panic!("no role {other:?}"),
    })
}

fn exit_code(done: io::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        println!("WRONG: {error}");
        ExitCode::FAILURE
    })
}

pub(crate) fn run(options: &Options) -> ExitCode {
    exit_code(run_all(options).map(verdict))
}

fn run_all(options: &Options) -> io::Result<bool> {
    let place = Scratch::new()?;
    // The first interrupt ends the run in order, and cleans up; the second exits at once.
    let interrupted = || {
        if storm::INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(interrupted).map_err(io::Error::other)?;
    if let Some(deaths) = options.recovery {
        return recovery::run(&place, deaths, options.large.unwrap_or(deaths / 10));
    }
    let kills = options.kills.unwrap_or(if options.seeded.short { 3_000 } else { 10_000 });
    println!("{kills} kills, --seed {}", options.seeded.seed);
    let plan = Plan {
        kills,
        seed: options.seeded.seed,
        chains: options.chains.clamp(1, MOST_CHAINS),
        era: options.era.max(1),
        start: options.start,
        way: options.way,
        files: options.files,
        keep: options.keep.clone(),
    };
    let well = Run::new(plan, &place)?.storm()?;
    // A short run also measures some deaths of owners of each kind.
    Ok(if options.seeded.short { recovery::run(&place, 10, 0)? && well } else { well })
}
