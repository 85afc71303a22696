//! The cases, what was expected of each and what was seen.

use mapvar_processes::doing;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(String, String, String, bool)>,
}

impl Table {
    /// What a case is, what is to be seen, and what was seen, as often as it was tried: all must be
    /// well.
    pub(crate) fn row(&mut self, case: &str, expected: &str, seen: &[Seen]) {
        let right = !seen.is_empty() && seen.iter().all(|seen| seen.right);
        let mut told: Vec<&str> = Vec::new();
        for seen in seen {
            if !told.contains(&&*seen.what) && (!seen.right || right) {
                told.push(&seen.what);
            }
        }
        self.rows.push((case.into(), expected.into(), told.join("; "), right));
        doing(format!("after {case:?}"));
    }

    /// The rows, and how many cases were refused as they should be and how many not.
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

/// What came of a case once.
pub(crate) struct Seen {
    pub(crate) what: String,
    pub(crate) right: bool,
}

impl Seen {
    pub(crate) fn new(right: bool, what: impl Into<String>) -> Self {
        Self { what: what.into(), right }
    }
}
