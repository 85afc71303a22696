//! mapvar compared with its peers, in one run, as ratios.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml [-- [--quick] [--steps N] [WORD...]]`:
//! runs the legs whose names contain all the words. `--steps N` runs our side alone, N times,
//! without a clock: for `valgrind --tool=callgrind` and `perf stat`.
//!
//! How it measures: everything runs on one core, and our side and each peer take turns in many
//! short rounds. A figure is the median of its rounds. A ratio is the median of each round's ratio,
//! so a machine that is slow for a while slows both sides. Figures are of tight loops. No slow
//! result is a failure.

mod composites;
mod handles;
mod library;
mod measure;
mod mutex;
mod names;
mod outside;
mod readers;
mod structs;

use measure::{Leg, Plan};
use std::process::ExitCode;

/// Creates the legs of a group.
type Group<'a> = &'a dyn Fn(&Plan) -> Result<Vec<Leg>>;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let plan = Plan::from_args(std::env::args().skip(1))?;
    iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Error);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    // The last core, since most interrupts go to the first.
    if let Some(core) = cores.last() {
        core_affinity::set_for_current(*core);
    }
    if plan.steps.is_none() {
        introduce(cores.len());
    }
    let groups: [(&str, Group); 8] = [
        ("by handle", &handles::legs),
        ("plain structs", &structs::legs),
        ("one field, from C and from the command", &outside::legs),
        ("values by serde", &composites::legs),
        ("by name, 1,000 variables", &|plan| names::legs(plan, 1_000)),
        ("by name, 100,000 variables", &|plan| names::legs(plan, 100_000)),
        ("by name, 1,000,000 variables", &|plan| names::legs(plan, 1_000_000)),
        ("two readers, one core each", &|plan| readers::legs(plan, &cores)),
    ];
    for (title, legs) in groups {
        for (number, leg) in legs(&plan)?.into_iter().enumerate() {
            if number == 0 && plan.steps.is_none() {
                println!("{title}");
            }
            leg.run(&plan);
        }
    }
    Ok(())
}

fn introduce(cores: usize) {
    println!(
        "mapvar beside its peers. {cores} cores; nanoseconds an operation, medians of interleaved \
         rounds.\n\
         Only ratios count: ours / peer, the median of those of each round. Goals: design.md.\n\
         iceoryx2: 0.10, blackboard, service ipc (shared memory, as peers in other processes use),\n\
         handles made beforehand. robust mutex: glibc's, PTHREAD_PROCESS_SHARED and\n\
         PTHREAD_MUTEX_ROBUST, lock and unlock with nothing between.\n"
    );
    println!(
        "{:<34} {:>8}   {:<28} {:>8} {:>7} {:>6}",
        "operation", "ours ns", "peer", "peer ns", "ratio", "goal"
    );
}
