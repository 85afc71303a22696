//! The durability protocol under power cuts. `ci/simulate` runs it; see the README beside.

mod chance;
mod disk;
mod fault;
mod flush;
mod layout;
mod oracle;
mod process;
mod recover;
mod run;
mod set;
mod structure;
mod transaction;
mod world;

use fault::{Fault, Planted, Verdict};
use run::{Figures, Run};
use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

const USAGE: &str = "\
ci/simulate [N] [--short] [--seed N] [--trace] [WORD]...
  N          runs of the protocol as it is (a million)
  --seed N   the first seed; with --trace the only one
  WORD       only what has such a word in its name: `protocol`, `rot`, a planted fault";

/// A fault that may need more runs than this is left out of a short one.
const SHORT: u64 = 20_000;

struct Options {
    runs: u64,
    short: bool,
    seed: u64,
    trace: bool,
    words: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options =
            Self { runs: 1_000_000, short: false, seed: 1, trace: false, words: Vec::new() };
        let mut runs = None;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--short" => options.short = true,
                "--trace" => options.trace = true,
                "--seed" => options.seed = args.next()?.parse().ok()?,
                word if word.starts_with("--") => return None,
                number if number.bytes().all(|digit| digit.is_ascii_digit()) => {
                    runs = Some(number.parse().ok()?);
                }
                _ => options.words.push(arg),
            }
        }
        options.runs = runs.unwrap_or(if options.short { 100_000 } else { options.runs });
        Some(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

/// What a number of runs came to.
struct Outcome {
    figures: Figures,
    runs: u64,
    wrong: Option<(u64, String)>,
}

/// Runs seeds from `first` on until one is wrong or there were enough.
fn campaign(fault: Option<Fault>, rot: bool, first: u64, runs: u64) -> Outcome {
    let next = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let sum = Mutex::new(Outcome { figures: Figures::default(), runs: 0, wrong: None });
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut figures = Figures::default();
                let mut done = 0;
                let mut wrong: Option<(u64, String)> = None;
                while !over.load(Relaxed) {
                    let i = next.fetch_add(1, Relaxed) as u64;
                    if i >= runs {
                        break;
                    }
                    let (of_run, result) = Run::new(first + i, fault, false).go(rot);
                    figures.add(&of_run);
                    done += 1;
                    if let Err(what) = result {
                        wrong = Some((first + i, what));
                        over.store(true, Relaxed);
                    }
                }
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                sum.figures.add(&figures);
                sum.runs += done;
                if let Some(found) = wrong
                    && sum.wrong.as_ref().is_none_or(|(seed, _)| found.0 < *seed)
                {
                    sum.wrong = Some(found);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The seed again, with every step told.
fn trace(fault: Option<Fault>, rot: bool, seed: u64) {
    println!("seed {seed}:");
    let (_, result) = Run::new(seed, fault, true).go(rot);
    println!("    {}", result.err().unwrap_or_else(|| "nothing is wrong".into()));
}

fn holds(name: &str, rot: bool, runs: u64, options: &Options) -> bool {
    let began = Instant::now();
    let Outcome { figures, runs, wrong } = campaign(None, rot, options.seed, runs);
    println!(
        "{name}: {} after {runs} runs in {} s",
        if wrong.is_none() { "holds" } else { "WRONG" },
        began.elapsed().as_secs()
    );
    println!("  {figures:?}");
    if let Some((seed, what)) = &wrong {
        println!("  {what}");
        trace(None, rot, *seed);
    }
    wrong.is_none()
}

fn found(planted: &Planted, options: &Options) -> bool {
    let began = Instant::now();
    let bound = match planted.verdict {
        Verdict::Caught(bound) => bound,
        Verdict::Covered => options.runs / 5,
    };
    let Outcome { runs, wrong, .. } =
        campaign(Some(planted.fault), planted.rot, options.seed, bound);
    let (right, word) = match (planted.verdict, &wrong) {
        (Verdict::Caught(_), Some(_)) => (true, "caught"),
        (Verdict::Caught(_), None) => (false, "WRONG: not caught"),
        (Verdict::Covered, None) => (true, "covered"),
        (Verdict::Covered, Some(_)) => (false, "WRONG: caught"),
    };
    let what = wrong.map(|(seed, what)| format!(": seed {seed}, {what}")).unwrap_or_default();
    let took = began.elapsed().as_secs_f64();
    println!("{:<58} {runs:>8} runs {took:>6.1} s  {word}{what}", planted.name);
    right
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let planted: Vec<&Planted> =
        fault::ALL.iter().filter(|planted| options.wants(planted.name)).collect();
    if options.trace {
        match (options.words.is_empty(), planted.first()) {
            (false, Some(planted)) => trace(Some(planted.fault), planted.rot, options.seed),
            _ => trace(None, options.wants("rot") && !options.words.is_empty(), options.seed),
        }
        return ExitCode::SUCCESS;
    }
    let (mut wrong, mut done, mut caught) = (0, 0, 0);
    for (name, rot, runs) in
        [("protocol", false, options.runs), ("rot in the protocol's file", true, options.runs / 4)]
    {
        if options.wants(name) {
            done += 1;
            wrong += usize::from(!holds(name, rot, runs, &options));
        }
    }
    for planted in planted {
        // Too rare for a short run.
        if options.short && planted.verdict > Verdict::Caught(SHORT) {
            println!("{:<58} left to the full run", planted.name);
            continue;
        }
        done += 1;
        let right = found(planted, &options);
        caught += usize::from(right && planted.verdict != Verdict::Covered);
        wrong += usize::from(!right);
    }
    println!("{done} cases, {wrong} wrong");
    println!(
        "figure: flush simulator = {} runs of the protocol, {} with rot, {caught} planted faults caught, \
         {wrong} wrong (goal 200000 runs, 0 wrong)",
        if options.wants("protocol") { options.runs } else { 0 },
        if options.wants("rot in the protocol's file") { options.runs / 4 } else { 0 },
    );
    if wrong == 0 && done > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
