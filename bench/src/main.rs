//! mapvar compared with its peers, in one run, as ratios. Linux only.
//!
//! `cargo xtask bench [--quick] [--plan] [--steps N] [--record] [WORD...]` runs the legs whose names contain
//! all the words. `--steps N` runs our side alone, N times, without a clock: for
//! `valgrind --tool=callgrind` and `perf stat`. `--plan` says how long a run takes.
//! `cargo xtask bench charts` draws a record. docs/BENCHMARKS.md explains the rows.
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
//!   under names: create it with space for n, fill it, get, set. What not every peer can do is a
//!   trait of its own: `Walk`, `Batch` (transaction and snapshot), `Piped` (many commands sent at
//!   once), `Shared` (several threads), `Durable` (a change that waits for the disk), `Weighed`
//!   (memory), `Attach`. `Cell` is one value by its handle, `Bulk` one value of many bytes, `Bell`
//!   the wake of another process. Python measures itself, by the same rounds.
//! - [`work`] has one file for each workload. A workload is written once, generic over a trait, and
//!   a peer is one line more: `leg.beside(P::PEER, get::<P>(..)?)`. It is compiled for each peer,
//!   so the loop calls the peer directly.
//! - [`measure`] has a [`Leg`]: our work, and that of each peer. Work runs an operation as many
//!   times as it is told. The harness times it, or the work reads the clock itself, which leaves
//!   out what is no part of the operation, or returns a quantile. `Leg::run` finds how many
//!   operations fill a round and runs the rounds; long rounds are fewer.
//! - [`goals`] is the table of goals, by operation and peer. A leg does not know its goal.
//! - [`groups`] is the order of the table, and the time that each part takes.
//! - [`values`] has the legs of single values by their handles, and from other languages.
//! - [`charts`] draws a record.
//! - [`record`] prints the rows, holds them against the goals, and writes the CSV.
//! - [`process`] is another process; [`work::child`] is this program again.
//!
//! A group makes its legs when its turn comes and drops them afterwards, so that memory and disk
//! hold one group at a time.
//!
//! # What is left out
//!
//! Windows, and so named events. Instructions are counted by `cargo xtask harness instructions`.

mod charts;
mod goals;
mod groups;
mod machine;
mod measure;
mod peers;
mod process;
mod record;
mod scratch;
mod values;
mod work;

use groups::Group;
use measure::Plan;
use peers::{databases::redis, python};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};
use work::child;

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
    if arguments == [charts::WORD] {
        return charts::draw();
    }
    let plan = Plan::from_args(arguments.into_iter())?;
    iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Error);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    // The last core, since most interrupts go to the first.
    if let Some(core) = cores.last() {
        core_affinity::set_for_current(*core);
    }
    let groups = groups::all(&plan, &cores);
    if plan.lists {
        groups::list(&groups, None);
        return Ok(());
    }
    if plan.steps.is_none() {
        introduce();
    }
    if plan.is_whole() {
        groups::list(&groups, None);
    }
    head();
    let (failed, took) = run_groups(&plan, &groups)?;
    if plan.is_whole() {
        plan.report.conclude();
        groups::list(&groups, Some(&took));
    }
    if let Some(path) = plan.report.save()? {
        println!("record: {}", path.display());
    }
    if failed > 0 { Err(format!("{failed} groups failed").into()) } else { Ok(()) }
}

/// Runs the groups. One that fails does not end the run, whose other rows took long. Returns how
/// many failed, and the seconds that each took.
fn run_groups(plan: &Plan, groups: &[Group<'_>]) -> Result<(u32, Vec<f64>)> {
    let (mut failed, mut took) = (0, Vec::new());
    for Group { title, legs, .. } in groups {
        plan.report.title(title);
        let began = Instant::now();
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
        took.push(began.elapsed().as_secs_f64());
    }
    Ok((failed, took))
}

fn introduce() {
    println!("mapvar beside its peers. {}\n", machine::about());
    println!(
        "Medians of interleaved rounds. Only ratios count: ours / peer, the median of those of"
    );
    println!("each round.\n");
    for setup in peers::SETUPS {
        println!("{setup}");
    }
    for program in [python::PROGRAM, redis::PROGRAM] {
        let version = process::version(program).unwrap_or_else(|| "not installed".into());
        println!("{program}: {version}");
    }
}

fn head() {
    println!(
        "\n{:<38} {:>9}   {:<28} {:>9} {:>8}   goal",
        "operation", "ours", "peer", "peer's", "ratio"
    );
}
