//! Runs a model, and compares the outcome with the verdict.

use crate::mem::deaths;
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A model's body. It is called once for each execution, with the step at which the mortal thread
/// dies.
pub type Body = Arc<dyn Fn(usize) + Send + Sync>;

/// The expected verdict of a model.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// No execution fails.
    Holds,
    /// An execution panics with a message that begins with one of these words.
    Caught(&'static [&'static str]),
    /// An ordering is left out, and no execution fails: another ordering, named in the model's
    /// comment, covers it.
    Covered,
}

/// One line of the table.
pub struct Case {
    pub name: &'static str,
    pub verdict: Verdict,
    /// The number of forced switches between threads that an execution may have.
    pub bound: usize,
    /// The same for the short run.
    pub short: usize,
    /// Whether the case is run for each step at which the mortal thread can die.
    pub dies: bool,
    pub body: Body,
}

thread_local! {
    /// Whether panics on this thread are the expected result of a search.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Silences the panics that a search for left-out orderings expects.
pub fn quiet() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        if !EXPECTED.get() {
            usual(panic);
        }
    }));
}

pub struct Outcome {
    pub executions: usize,
    pub steps: usize,
    pub took: Duration,
    pub found: Option<String>,
}

impl Case {
    /// Sets the bound of the search, and that of the short run.
    pub fn bound(self, bound: usize, short: usize) -> Self {
        Self { bound, short, ..self }
    }

    /// Runs the case for each step at which the mortal thread can die.
    pub fn dies(self) -> Self {
        Self { dies: true, ..self }
    }

    pub fn run(&self, short: bool) -> Outcome {
        let began = Instant::now();
        let executions = Arc::new(AtomicUsize::new(0));
        let mut outcome = Outcome { executions: 0, steps: 0, took: Duration::ZERO, found: None };
        EXPECTED.set(true);
        for step in usize::from(self.dies).. {
            deaths();
            let mut builder = loom::model::Builder::new();
            // Always with a bound: without one loom tries fewer orders, not more.
            builder.preemption_bound = Some(if short { self.short } else { self.bound });
            builder.max_branches = 20_000;
            let (body, count) = (Arc::clone(&self.body), Arc::clone(&executions));
            let result = catch_unwind(AssertUnwindSafe(|| {
                builder.check(move || {
                    count.fetch_add(1, Relaxed);
                    body(step);
                });
            }));
            outcome.steps = step;
            if let Err(cause) = result {
                let said = cause.downcast_ref::<String>().cloned();
                let said = said.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string));
                let said = said.unwrap_or_else(|| "a panic without words".into());
                let at = if self.dies { format!(" (death at step {step})") } else { String::new() };
                outcome.found = Some(said + &at);
                break;
            }
            // No execution reached that step: the mortal thread has run to its end.
            if !self.dies || deaths() == 0 {
                break;
            }
        }
        EXPECTED.set(false);
        outcome.executions = executions.load(Relaxed);
        outcome.took = began.elapsed();
        outcome
    }

    /// Returns whether the outcome agrees with the verdict.
    pub fn is_right(&self, outcome: &Outcome) -> bool {
        match (self.verdict, &outcome.found) {
            (Verdict::Holds | Verdict::Covered, None) => true,
            (Verdict::Caught(words), Some(said)) => words.iter().any(|word| said.starts_with(word)),
            _ => false,
        }
    }
}
