//! The cases, with the expected and the actual outcome of each.

use crate::region::LIMIT;
use mapvar::{ErrorKind, Map, MapOptions};
use mapvar_harness::watchdog::doing;
use std::time::Instant;

/// The error kinds that each call may fail with, in this order: open, create, open or create, open
/// for reading. An empty list accepts any outcome.
pub(crate) type Kinds = [&'static [ErrorKind]; 4];

pub(crate) fn kind_names(kinds: &Kinds) -> String {
    let mut names: Vec<&str> = Vec::new();
    for kind in kinds.iter().flat_map(|kinds| kinds.iter()) {
        if !names.contains(&kind.name()) {
            names.push(kind.name());
        }
    }
    names.join(", ")
}

/// Makes all the calls of a victim. Returns what is wrong with their results, or else the kinds of
/// their errors.
pub(crate) fn ask(options: &MapOptions, text: &str, kinds: &Kinds) -> String {
    type Call<'a> = (&'a str, &'a dyn Fn() -> Result<Map, mapvar::Error>);
    let reading = options.clone().read_only(true);
    let calls: [Call<'_>; 4] = [
        ("open", &|| options.open()),
        ("create", &|| options.create()),
        ("open_or_create", &|| options.open_or_create()),
        ("open for reading", &|| reading.open()),
    ];
    let (mut seen, mut wrong): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    for ((call, operate), kinds) in calls.iter().zip(kinds) {
        let began = Instant::now();
        let outcome = operate();
        if began.elapsed() > LIMIT {
            wrong.push(format!("{call} took {:?}", began.elapsed()));
        }
        match outcome {
            _ if kinds.is_empty() => {}
            Ok(_) => wrong.push(format!("{call} LET IN")),
            Err(error) if !kinds.contains(&error.kind()) => {
                wrong.push(format!("{call}: {error:?}"));
            }
            Err(error) if !error.to_string().contains(text) => {
                wrong.push(format!("{call} does not name it: {error}"));
            }
            Err(error) if !seen.contains(&error.kind().name()) => seen.push(error.kind().name()),
            Err(_) => {}
        }
    }
    if wrong.is_empty() { seen.join(", ") } else { format!("WRONG: {}", wrong.join("; ")) }
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(String, String, String, bool)>,
}

impl Table {
    /// Adds a case: its name, the expected outcome and each attempt's outcome. All attempts must be
    /// right.
    pub(crate) fn row(&mut self, case: &str, expected: &str, seen: &[Seen]) {
        let right = !seen.is_empty() && seen.iter().all(|seen| seen.right);
        let mut texts: Vec<&str> = Vec::new();
        for seen in seen {
            if !texts.contains(&&*seen.what) && (!seen.right || right) {
                texts.push(&seen.what);
            }
        }
        self.rows.push((case.into(), expected.into(), texts.join("; "), right));
        doing(format!("after {case:?}"));
    }

    /// Prints the rows; returns how many cases were right and how many wrong.
    pub(crate) fn end(self) -> (usize, usize) {
        let width = |of: fn(&(String, String, String, bool)) -> &str| {
            self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (case, expected) = (width(|row| &row.0), width(|row| &row.1));
        for (number, row) in self.rows.iter().enumerate() {
            let verdict = if row.3 { "ok   " } else { "WRONG" };
            let (number, seen) = (number + 1, &row.2);
            println!("{verdict} {number:>3}  {:case$}  {:expected$}  {seen}", row.0, row.1);
        }
        let right = self.rows.iter().filter(|row| row.3).count();
        (right, self.rows.len() - right)
    }
}

/// The outcome of one attempt at a case.
pub(crate) struct Seen {
    pub(crate) what: String,
    pub(crate) right: bool,
}

impl Seen {
    pub(crate) fn new(right: bool, what: impl Into<String>) -> Self {
        Self { what: what.into(), right }
    }
}
