//! Stress tests of mapvar among real processes; the README.md of the harnesses says what each
//! subcommand shows.
//!
//! A subcommand starts this program again as its second process: `mapvar-stress SUBCOMMAND as
//! ROLE`.

mod full;
mod kill;
mod many;
mod mixed;
mod others;
mod region;
mod reuse;
mod soak;
#[cfg(unix)]
mod unix;
mod waits;
#[cfg(windows)]
mod windows;

use clap::{Args, Parser};
use mapvar_harness::{peer, seed_of_clock};
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(name = "mapvar-stress")]
enum Stress {
    /// Processes that use a map, killed at random moments
    Kill(kill::Options),
    /// Many processes on shared maps for long, some of them killed all the time
    Soak(soak::Options),
    /// Watches and locks between many processes, and a wake compared with what the system offers
    Waits(waits::Options),
    /// Other users, and names that another program took first
    Others(Seeded),
    /// Process and thread numbers that are used again
    Reuse(reuse::Options),
    /// Very many variables in one map
    Many(many::Options),
    /// Processes of 32 and of 64 bits on one map
    Mixed(mixed::Options),
    /// Full disks, truncated files, holes, limits
    Full(full::Options),
}

/// Options that most subcommands share.
#[derive(Args, Clone, Copy)]
struct Seeded {
    /// Runs the smallest amount that still shows something
    #[arg(long)]
    short: bool,
    /// Repeats the random choices of another run; the timing stays the machine's
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
}

/// Returns the command that runs a role of a subcommand in a second process.
fn child<'a>(
    subcommand: &'a str,
    role: &'a str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Command {
    peer::this([subcommand, "as", role].into_iter().chain(arguments))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let [subcommand, "as", role @ ..] = words.as_slice() {
        return match *subcommand {
            "kill" => kill::role(role),
            "soak" => soak::role(role),
            "waits" => waits::role(role),
            "reuse" => reuse::role(role),
            "many" => many::role(role),
            "mixed" => mixed::role(role),
            "full" => full::role(role),
            other => panic!("{other} has no roles"),
        };
    }
    match Stress::parse() {
        Stress::Kill(options) => kill::run(&options),
        Stress::Soak(options) => soak::run(&options),
        Stress::Waits(options) => waits::run(&options),
        Stress::Others(options) => others::run(options),
        Stress::Reuse(options) => reuse::run(&options),
        Stress::Many(options) => many::run(&options),
        Stress::Mixed(options) => mixed::run(&options),
        Stress::Full(options) => full::run(&options),
    }
}

fn verdict(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the processes that this process has started and removes the names that it has created, for
/// an early exit.
fn clean_up() {
    #[cfg(unix)]
    unix::end_children();
    // The name of each object contains this process id, since `unique` makes the names.
    region::remove_objects(&format!(".{}.", std::process::id()));
}
