//! The protocol as state machines, in every order of steps and deaths. `ci/model` runs it;
//! `--short` leaves the largest cases out, other words select the cases whose names contain one.

mod actor;
mod cases;
mod check;
mod explore;
mod fault;
mod fingerprint;
mod steps;
mod turn;
mod world;

use cases::Case;
use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

fn main() -> ExitCode {
    let began = Instant::now();
    let (options, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    if let Some(unknown) =
        options.iter().find(|option| !["--short", "--trace"].contains(&option.as_str()))
    {
        eprintln!("no option {unknown}: `--short`, `--trace` and words of names are all there is");
        return ExitCode::from(2);
    }
    let short = options.iter().any(|option| option == "--short");
    let trace = options.iter().any(|option| option == "--trace");
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| !(short && case.long))
        .filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word)))
        .collect();

    println!("{:<64} {:>9} {:>7}", "case", "states", "s");
    let next = AtomicUsize::new(0);
    let (wrong, states) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let (right, count) = run(case, trace);
                    states.fetch_add(count, Relaxed);
                    if !right {
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(&case.name);
                    }
                }
            });
        }
    });

    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} cases, {} states in {} s, {} wrong",
        cases.len(),
        states.load(Relaxed),
        began.elapsed().as_secs(),
        wrong.len()
    );
    for name in &wrong {
        println!("  wrong: {name}");
    }
    let faults = cases.iter().filter(|case| case.ends.is_some()).count();
    println!(
        "figure: model checker, every order of steps with two deaths = {} cases ({faults} with a fault \
         that must be caught), {} states, {} wrong (goal 0 wrong)",
        cases.len(),
        states.load(Relaxed),
        wrong.len()
    );
    if wrong.is_empty() && !cases.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a case came to what it must, and how many states it has.
fn run(case: &Case, trace: bool) -> (bool, usize) {
    let began = Instant::now();
    let outcome = explore::explore(&case.scenario);
    let right = match (&case.ends, &outcome.found) {
        (None, None) => true,
        (Some(words), Some(found)) => words.iter().any(|word| found.what.starts_with(word)),
        _ => false,
    };
    let mut line = format!(
        "{:<64} {:>9} {:>7.1}  {}",
        case.name,
        outcome.states,
        began.elapsed().as_secs_f64(),
        if right { "" } else { "WRONG: " }
    );
    line += if case.ends.is_some() { "fault caught" } else { "holds" };
    if let Some(found) = &outcome.found {
        line += ": ";
        line += &found.what;
        if trace || !right {
            for did in &found.trace {
                line += "\n    ";
                line += did;
            }
        }
    }
    println!("{line}");
    (right, outcome.states)
}
