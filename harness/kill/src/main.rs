//! Processes that use a map, killed at random moments: `ci/kill`. See README.md.

mod leaks;
mod order;
mod process;
mod recovery;
mod settle;
mod shared;
mod storm;
mod survivor;
mod value;
mod work;
#[cfg(unix)]
mod zygote;

use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
    time::SystemTime,
};
use storm::{MOST_CHAINS, Place, Plan, Run};

#[derive(Parser)]
#[command(name = "ci/kill")]
struct Options {
    /// How many processes are killed
    #[arg(default_value_t = 10_000)]
    kills: u64,
    /// Repeats the orders of a run; the moments are the machine's
    #[arg(long)]
    seed: Option<u64>,
    /// How many processes are killed at a time
    #[arg(long, default_value_t = if cfg!(windows) { 4 } else { 3 })]
    chains: usize,
    /// Kills on one map
    #[arg(long, default_value_t = if cfg!(windows) { 250 } else { 2_000 })]
    era: u64,
    /// Instead: how long it takes until others go on, after so many deaths of holders of each kind
    #[arg(long, num_args = 0..=1, default_missing_value = "200")]
    recovery: Option<u64>,
    /// The same with 4 GB mapped; a tenth of `--recovery` if not given
    #[arg(long)]
    large: Option<u64>,
    /// Only maps in files
    #[arg(long)]
    files: bool,
    /// Where a file that is not as it should be is copied to
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Start a program for each process, as under Wine, instead of a fork
    #[arg(long)]
    start: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The processes of a run are this program too.
    let role = match words.as_slice() {
        ["life", shared, order] => process::run(Path::new(shared), order),
        ["survivor", shared, ..] => survivor::run(Path::new(shared), &arguments[2..]),
        ["hold", shared, ..] => recovery::hold(Path::new(shared), &arguments[2..]),
        #[cfg(unix)]
        ["zygote", shared] => zygote::run(Path::new(shared)).map(|()| ExitCode::SUCCESS),
        _ => run(&Options::parse()),
    };
    role.unwrap_or_else(|error| {
        println!("WRONG: {error}");
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> std::io::Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(|| {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64 & 0xffff_ffff
    });
    let place = Place::new()?;
    // It comes to its end, and takes away what it made. The second time it ends at once.
    let interrupted = || {
        if storm::INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(interrupted).map_err(std::io::Error::other)?;
    if let Some(deaths) = options.recovery {
        let large = options.large.unwrap_or(deaths / 10);
        let done = recovery::run(&place, deaths, large);
        place.clean();
        return Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("{} kills, --seed {seed}", options.kills);
    let plan = Plan {
        kills: options.kills,
        seed,
        chains: options.chains.clamp(1, MOST_CHAINS),
        era: options.era.max(1),
        start: options.start,
        files: options.files,
        keep: options.keep.clone(),
    };
    let done = Run::new(plan, &place).and_then(|run| run.storm());
    place.clean();
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
