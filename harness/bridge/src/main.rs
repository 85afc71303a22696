//! Three maps that mirror each other through a real server, under faults; the README.md of the
//! harnesses says what this shows.

mod children;
mod proxy;
mod server;
mod rig;
mod round;
mod refusals;
mod mqtt;
mod ephemeral;
mod engine;
mod figures;

use clap::Parser;
use mapvar_harness::{seed_of_clock, watchdog};
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[derive(Parser)]
#[command(name = "mapvar-bridge-harness", about = "Bridges between three maps, under faults")]
struct Options {
    /// The program mapvar-bridge
    #[arg(long)]
    bridge: PathBuf,
    /// A program nats-server; one round for each, and one that upgrades the first to the last
    #[arg(long, required = true)]
    server: Vec<PathBuf>,
    /// Minutes of faults in all: 10, or 8 s with --short
    #[arg(long)]
    minutes: Option<f64>,
    /// Runs the smallest amount that still shows something
    #[arg(long)]
    short: bool,
    /// Runs only the figures, which --short leaves out
    #[arg(long, conflicts_with = "short")]
    figures: bool,
    /// Repeats the random choices of another run; the timing stays the machine's
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
}

/// Longer than any step takes on a busy machine.
const HANG: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    if let Ok(map) = std::env::var(figures::WATCHER) {
        return figures::watch_whole(&map);
    }
    let options = Options::parse();
    println!("seed {}", options.seed);
    watchdog::watch(HANG, children::end_all);
    let minutes = options.minutes.unwrap_or(if options.short { 8.0 / 60.0 } else { 10.0 });
    let faults = Duration::from_secs_f64(minutes * 60.0 / options.server.len() as f64);
    for (at, server) in options.server.iter().enumerate() {
        if options.figures {
            if let Err(wrong) = figures::run(&options.bridge, server) {
                println!("WRONG: {}: {wrong}", server.display());
                children::end_all();
                return ExitCode::FAILURE;
            }
            continue;
        }
        let last = at + 1 == options.server.len();
        let mut done = Ok(());
        if last || !options.short {
            done = refusals::run(&options.bridge, server)
                .and_then(|()| ephemeral::run(&options.bridge, server))
                .and_then(|()| mqtt::run(&options.bridge, server));
        }
        if !options.short {
            done = done.and_then(|()| figures::run(&options.bridge, server));
        }
        if let Err(wrong) = done {
            println!("WRONG: {}: {wrong}", server.display());
            children::end_all();
            return ExitCode::FAILURE;
        }
        // The first server is also the one to be upgraded, in the middle of its round.
        let newer = options.server.last().filter(|_| at == 0 && options.server.len() > 1);
        let plan = round::Plan {
            bridge: options.bridge.clone(),
            server: server.clone(),
            newer: newer.cloned(),
            faults,
            seed: options.seed.wrapping_add(at as u64),
        };
        if let Err(wrong) = round::run(&plan) {
            println!("WRONG: seed {}: {wrong}", options.seed);
            children::end_all();
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
