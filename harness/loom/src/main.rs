//! The engine under loom. `cargo xtask harness loom` runs it. `--short` bounds the search; other
//! words select the cases whose names contain one of them.

mod words;
mod setup;
mod mem;
mod check;
mod models;

use check::{Case, Verdict};
use std::{
    fmt::Write as _,
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
    if let Some(unknown) = options.iter().find(|option| *option != "--short") {
        eprintln!("no option {unknown}: `--short` and words of names are all there is");
        return ExitCode::from(2);
    }
    let short = !options.is_empty();
    let seeded = std::env::var_os("MAPVAR_SEEDED").is_some();
    let cases: Vec<Case> = models::all()
        .into_iter()
        .filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word)))
        // Under a bug planted from outside, only the cases that otherwise hold say anything.
        .filter(|case| !seeded || matches!(case.verdict, Verdict::Holds))
        .collect();
    check::quiet();

    println!("{:<64} {:>5} {:>10} {:>7}", "model", "bound", "executions", "s");
    let next = AtomicUsize::new(0);
    let (wrong, executions) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let (right, count) = run(case, short);
                    executions.fetch_add(count, Relaxed);
                    if !right {
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(case.name);
                    }
                }
            });
        }
    });

    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} models in {} s, {} wrong", cases.len(), began.elapsed().as_secs(), wrong.len());
    for name in &wrong {
        println!("  wrong: {name}");
    }
    let faults = cases.iter().filter(|case| matches!(case.verdict, Verdict::Caught(_))).count();
    println!(
        "figure: loom, the engine under every ordering = {} models ({faults} with a fault that must be \
         caught), {} executions, {} wrong (goal 0 wrong)",
        cases.len(),
        executions.load(Relaxed),
        wrong.len()
    );
    if wrong.is_empty() && !cases.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case; returns whether its verdict is the expected one, and the number of executions.
fn run(case: &Case, short: bool) -> (bool, usize) {
    let outcome = case.run(short);
    let right = case.is_right(&outcome);
    let bound = if short { case.short } else { case.bound };
    let mut line = format!(
        "{:<64} {bound:>5} {:>10} {:>7.1}  {}",
        case.name,
        outcome.executions,
        outcome.took.as_secs_f64(),
        if right { "" } else { "WRONG: " }
    );
    line += match case.verdict {
        Verdict::Holds => "holds",
        Verdict::Caught(_) => "fault caught",
        Verdict::Covered => "fault covered",
    };
    if case.dies && outcome.found.is_none() {
        let _ = write!(line, ", {} steps to die at", outcome.steps.saturating_sub(1));
    }
    if let Some(said) = &outcome.found {
        let _ = write!(line, ": {}", said.lines().next().unwrap_or_default());
    }
    println!("{line}");
    (right, outcome.executions)
}
