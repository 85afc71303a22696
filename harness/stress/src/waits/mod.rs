//! Watches and locks between many processes.

mod locks;
mod many;
mod raw;
mod wake;

use crate::{clean_up, verdict};
use clap::ValueEnum;
use mapvar_harness::{
    peer::Owned,
    watchdog::{doing, watch},
};
use std::{
    process::{ExitCode, Stdio},
    time::Duration,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts
    parts: Vec<Part>,
    /// Seconds for each part
    #[arg(long)]
    short: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    Locks,
    Many,
    Wake,
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    if let ["echo" | "raw", _, processor] = words
        && let Ok(processor) = processor.parse()
    {
        raw::pin(processor);
    }
    match words {
        ["worker", name, seed] => locks::worker(name, seed),
        ["setter", name, count, rounds] => many::setter(name, count, rounds),
        ["echo", name, _] => wake::echo(name),
        ["raw", name, _] => raw::echo(name),
        other => panic!("no role {other:?}"),
    }
    ExitCode::SUCCESS
}

pub(crate) fn run(options: &Options) -> ExitCode {
    watch(Duration::from_secs(if options.short { 120 } else { 600 }), clean_up);
    let mut well = true;
    for part in Part::value_variants() {
        if options.parts.is_empty() || options.parts.contains(part) {
            doing(format!("{part:?}"));
            well &= match part {
                Part::Locks => locks::run(options.short),
                Part::Many => many::run(options.short),
                Part::Wake => wake::run(options.short),
            };
        }
    }
    verdict(well)
}

fn start_role(role: &str, arguments: &[&str]) -> Owned {
    let mut command = crate::child("waits", role, arguments.iter().copied());
    Owned::start(command.stdin(Stdio::null())).expect("start a process")
}
