//! The fuzzers; the README.md of the harnesses says what each target shows.

use clap::Parser;
#[cfg(target_os = "linux")]
use mapvar_fuzz::scribble;
use mapvar_fuzz::{
    bytes::Bytes,
    driver::{self, Sum, Target},
    files::Files,
    guard::Counting,
    loads::Loads,
    marshal::{self, Marshal},
    random::Random,
    sequences::Sequences,
};
use mapvar_harness::seed_of_clock;
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Parser)]
#[command(name = "mapvar-fuzz")]
struct Wanted {
    /// Minutes for all targets (10), and words: only targets whose names contain one of the words
    /// run
    words: Vec<String>,
    /// Runs for some seconds
    #[arg(long)]
    short: bool,
    /// Repeats a run
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
    /// Runs only one case: of this target, and the seed given
    #[arg(long)]
    one: Option<String>,
    /// The scribbler's victim, built with a sanitizer
    #[arg(long)]
    victim: Option<PathBuf>,
}

impl Wanted {
    fn time(&self) -> Duration {
        let minutes = self.words.iter().find_map(|word| word.parse().ok()).unwrap_or(10.0_f64);
        Duration::from_secs_f64(if self.short { 14.0 } else { minutes * 60.0 })
    }

    fn wants(&self, target: &str) -> bool {
        let mut words = self.words.iter().filter(|word| word.parse::<f64>().is_err()).peekable();
        words.peek().is_none() || words.any(|word| target.contains(word.as_str()))
    }
}

/// The targets, and the percentage of the time that each gets.
const SHARES: [(&str, u32); 6] = [
    ("bytes", 26),
    ("files", 4),
    ("loads", 26),
    ("sequences", 22),
    ("marshal", 10),
    ("scribbler", 12),
];

/// Runs a second process of the scribbler; returns `None` in the first process.
#[cfg(target_os = "linux")]
fn role(words: &[&str]) -> Option<ExitCode> {
    match words {
        ["peer", what, seed] => {
            if let Err(error) = scribble::run_peer(what, seed.parse().unwrap_or(1)) {
                eprintln!("the peer: {error}");
                return Some(ExitCode::FAILURE);
            }
        }
        ["victim", peer, seed, millis] => {
            let time = Duration::from_millis(millis.parse().unwrap_or(1_000));
            scribble::victim(std::path::Path::new(peer), seed.parse().unwrap_or(1), time);
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(code) = role(&words) {
            return code;
        }
    }
    let wanted = Wanted::parse();
    if wanted.one.as_deref() != Some("scribbler") {
        driver::hook();
    }
    if run(&wanted) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns a target by its name; `None` for the scribbler, which runs as a program of its own.
fn target(name: &str) -> Option<Box<dyn Target>> {
    Some(match name {
        "bytes" => Box::new(Bytes::default()),
        "files" => Box::new(Files::default()),
        "loads" => Box::new(Loads::default()),
        "sequences" => Box::new(Sequences::default()),
        "marshal" => Box::new(Marshal),
        _ => return None,
    })
}

fn run(wanted: &Wanted) -> bool {
    let seed = wanted.seed;
    if let Some(one) = &wanted.one {
        if one == "scribbler" {
            return scribbled(wanted, Duration::from_secs(20)).is_some_and(|it| it.0);
        }
        let called = SHARES.iter().map(|(name, _)| *name).find(|name| name == one);
        let Some((called, mut target)) = called.and_then(|it| Some((it, target(it)?))) else {
            eprintln!("no target {one}");
            return false;
        };
        return driver::one(called, &mut *target, seed);
    }
    println!("seed {seed}; repeat with --seed {seed}");
    let all: u32 =
        SHARES.iter().filter(|(name, _)| wanted.wants(name)).map(|(_, share)| share).sum();
    if all == 0 {
        eprintln!("no target has such a name");
        return false;
    }
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut sums: Vec<(&'static str, Sum)> = Vec::new();
    let mut scribbler = None;
    let mut well = true;
    for (name, share) in SHARES {
        if !wanted.wants(name) {
            continue;
        }
        let time = wanted.time() * share / all;
        let seed = Random::new(seed ^ u64::from(share) << 56).word() >> 16;
        if target(name).is_none() {
            scribbler = scribbled(wanted, time);
            well &= scribbler.as_ref().is_none_or(|it| it.0);
            continue;
        }
        if name == "marshal" {
            marshal::patterns();
        }
        let make = || target(name).expect("a target");
        let sum = driver::drive(name, make, seed, time, threads);
        let rate = sum.executions as f64 / sum.took.as_secs_f64();
        println!(
            "{name:9} {:>11} executions in {:5.1} s, {rate:>7.0} a second, {} failed",
            sum.executions,
            sum.took.as_secs_f64(),
            sum.failures
        );
        well &= sum.failures == 0;
        sums.push((name, sum));
    }
    let executions: u64 = sums.iter().map(|(_, sum)| sum.executions).sum();
    let took: f64 = sums.iter().map(|(_, sum)| sum.took.as_secs_f64()).sum();
    let failures: u64 = sums.iter().map(|(_, sum)| sum.failures).sum();
    let each: Vec<String> =
        sums.iter().map(|(name, sum)| format!("{name} {}", sum.executions)).collect();
    if !sums.is_empty() {
        println!(
            "figure: fuzz, executions = {executions} in {:.1} min ({}), {failures} panics, 0 hangs \
             (goal 20 million in 10 min, 0, 0)",
            took / 60.0,
            each.join(", ")
        );
    }
    if let Some((_, sum)) = sums.iter().find(|(name, _)| *name == "marshal") {
        println!(
            "figure: fuzz, Marshal = {} executions in {:.1} min, {} failures, at most {:.1} bytes of \
             memory for each byte beside 64 KiB (goal 5 min, 0, 64)",
            sum.executions,
            sum.took.as_secs_f64() / 60.0,
            sum.failures,
            marshal::worst()
        );
    }
    if let Some((_, figure)) = scribbler {
        println!("{figure}");
    }
    well
}

#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it is skipped")]
fn scribbled(wanted: &Wanted, time: Duration) -> Option<(bool, String)> {
    Some(scribble::run(wanted.victim.as_deref(), wanted.seed, time))
}

#[cfg(not(target_os = "linux"))]
fn scribbled(_: &Wanted, _: Duration) -> Option<(bool, String)> {
    println!("scribbler SKIPPED: it looks for its mappings in /proc/self/maps");
    None
}
