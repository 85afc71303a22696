//! mapvar compared with its peers, in one run, as ratios. Linux only.
//!
//! `cargo xtask bench [--quick] [--steps N] [--record] [WORD...]` runs the legs whose names contain
//! all the words. `--steps N` runs our side alone, N times, without a clock: for
//! `valgrind --tool=callgrind` and `perf stat`. docs/BENCHMARKS.md explains the rows.
//!
//! # How it measures
//!
//! Everything runs on one core, unless its row says otherwise. Our side and each peer take turns in
//! many short rounds. A figure is the median of its rounds. A ratio is the median of each round's
//! ratio, so a machine that is slow for a while slows both sides. Figures are of tight loops. No
//! slow result is a failure.
//!
//! # How it is built
//!
//! - [`peers`] has the traits and one file for each peer. [`peers::Store`] is a store of numbers
//!   under names: create it with space for n, fill it, get, set, walk. What not every peer can do
//!   is a trait of its own: `Batch` (transaction and snapshot), `Durable` (a change that waits for
//!   the disk), `Weighed` (memory), `Attach`. `Cell` is one value by its handle, `Bulk` one value
//!   of many bytes, `Bell` the wake of another process.
//! - [`work`] has one file for each workload. A workload is written once, generic over a trait, and
//!   a peer is one line more: `leg.beside(P::PEER, get::<P>(..)?)`. It is compiled for each peer,
//!   so the loop calls the peer directly.
//! - [`measure`] has a [`Leg`]: our work, and that of each peer. Work runs an operation as many
//!   times as it is told. The harness times it, or the work reads the clock itself, which leaves
//!   out what is no part of the operation, or returns a quantile. `Leg::run` finds how many
//!   operations fill a round and runs the rounds; long rounds are fewer.
//! - [`goals`] is the table of goals, by operation and peer. A leg does not know its goal.
//! - [`record`] prints the rows, holds them against the goals, and writes the CSV.
//! - [`work::child`] is the other process, where one is needed: this program again.
//!
//! A group makes its legs when its turn comes and drops them afterwards, so that memory and disk
//! hold one group at a time.
//!
//! # What is left out
//!
//! Peers: Redis by a socket, Python's `shared_memory`, the gem's way. Workloads: 2 to 8 readers and
//! writers, growth of a map, 100 variables and 1 GiB, the asynchronous stream. Charts. Windows.
//! Instructions are counted by `cargo xtask harness instructions`.

mod composites;
mod goals;
mod handles;
mod library;
mod measure;
mod outside;
mod peers;
mod record;
mod scratch;
mod structs;
mod work;

use core_affinity::CoreId;
use measure::{Leg, Plan};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};
use work::{
    attach, batch, bytes, child, flush, growth, kill,
    names::{self, Verb},
    readers, wake, watches, writer,
};

/// Creates the legs of a group.
type Group<'a> = Box<dyn Fn(&Plan) -> Result<Vec<Leg>> + 'a>;

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, rest @ ..] = arguments.as_slice()
        && flag == child::FLAG
    {
        return child::run(rest);
    }
    let plan = Plan::from_args(arguments.into_iter())?;
    iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Error);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    // The last core, since most interrupts go to the first.
    if let Some(core) = cores.last() {
        core_affinity::set_for_current(*core);
    }
    if plan.steps.is_none() {
        introduce();
    }
    let failed = run_groups(&plan, &cores)?;
    if plan.is_whole() {
        plan.report.conclude();
    }
    if let Some(path) = plan.report.save()? {
        println!("record: {}", path.display());
    }
    if failed > 0 { Err(format!("{failed} groups failed").into()) } else { Ok(()) }
}

/// Runs the groups. One that fails does not end the run, whose other rows took long. Returns how
/// many failed.
fn run_groups(plan: &Plan, cores: &[CoreId]) -> Result<u32> {
    let mut failed = 0;
    for (title, legs) in groups(plan, cores) {
        plan.report.title(title);
        let run = || -> Result<()> {
            for leg in legs(plan)? {
                leg.run(plan);
            }
            Ok(())
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                failed += 1;
                println!("{title}: FAILED: {error}");
            }
            // The panic's message is on stderr.
            Err(_) => {
                failed += 1;
                println!("{title}: FAILED");
            }
        }
        scratch::clear()?;
    }
    Ok(failed)
}

const MILLION: usize = 1_000_000;

/// The groups, in the order of the table.
fn groups<'a>(plan: &Plan, cores: &'a [CoreId]) -> Vec<(&'static str, Group<'a>)> {
    fn group<'a>(legs: impl Fn(&Plan) -> Result<Vec<Leg>> + 'a) -> Group<'a> {
        Box::new(legs)
    }
    let mut groups = vec![
        ("by handle", group(handles::legs)),
        ("plain structs", group(structs::legs)),
        ("one field, from C and from the command", group(outside::legs)),
        ("values by serde", group(composites::legs)),
    ];
    // The largest takes 8 GB.
    let largest = if plan.quick { MILLION } else { 10 * MILLION };
    for count in [1_000, 100_000, MILLION, 10 * MILLION] {
        if count <= largest {
            for verb in [Verb::Get, Verb::Set] {
                groups.push(("by name", group(move |plan| names::legs(plan, verb, count))));
            }
        }
    }
    for size in bytes::SIZES {
        groups.push(("bytes", group(move |plan| bytes::legs(plan, size))));
    }
    for size in batch::SIZES {
        let legs = group(move |plan| batch::legs(plan, size));
        groups.push(("several at once, of 1,000", legs));
    }
    for count in [1_000, 100_000, MILLION] {
        groups.push(("insertion", group(move |plan| growth::inserting(plan, count))));
    }
    for count in [1_000, 100_000, MILLION] {
        groups.push(("walk, each variable", group(move |plan| growth::walking(plan, count))));
    }
    groups.push(("memory", group(|plan| growth::weighing(plan, MILLION))));
    groups.push(("attach", group(move |plan| attach::legs(plan, cores, MILLION))));
    for size in [1, 100] {
        let legs = group(move |plan| flush::legs(plan, size));
        groups.push(("changes that wait for the disk, of 10,000", legs));
    }
    let large = group(move |plan| flush::of_large(plan, largest));
    groups.push(("a flush in a large map", large));
    groups.push(("wake of a process", group(move |plan| wake::legs(plan, cores))));
    for count in [1, 1_000, 10_000, 100_000] {
        groups.push(("watches of many", group(move |plan| watches::telling(plan, count))));
    }
    groups.push(("watched insertion", group(|plan| watches::inserting(plan, MILLION))));
    groups.push(("two readers, one core each", group(move |plan| readers::legs(plan, cores))));
    groups.push(("readers under a writer", group(move |plan| writer::legs(plan, cores))));
    groups.push(("a killed writer", group(move |plan| kill::legs(plan, cores))));
    groups
}

fn introduce() {
    println!("mapvar beside its peers. {}\n", record::machine());
    println!(
        "Medians of interleaved rounds. Only ratios count: ours / peer, the median of those of"
    );
    println!("each round.\n");
    for setup in peers::SETUPS {
        println!("{setup}");
    }
    println!(
        "\n{:<38} {:>9}   {:<28} {:>9} {:>8}   goal",
        "operation", "ours", "peer", "peer's", "ratio"
    );
}
