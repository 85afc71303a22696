//! The results, as figures.

/// The line of a child that found no space even for a map.
pub const NO_MAP: &str = "no room for a map";

pub struct Figure {
    what: &'static str,
    pub sizes: usize,
    cases: usize,
    /// Cases that found no space even for a map.
    none: usize,
    signals: usize,
    wrong: usize,
}

impl Figure {
    pub fn new(what: &'static str) -> Self {
        Self { what, sizes: 0, cases: 0, none: 0, signals: 0, wrong: 0 }
    }

    pub fn note(&mut self, case: &str, done: Result<String, String>) {
        self.cases += 1;
        match done {
            Ok(said) => self.none += usize::from(said.contains(NO_MAP)),
            Err(flaw) => {
                self.wrong += 1;
                self.signals += usize::from(flaw.contains("ENDED BY SIGNAL"));
                if self.wrong <= 20 {
                    println!("WRONG: {}: {case}: {flaw}", self.what);
                }
            }
        }
    }

    /// Prints the line of the table; returns whether all is well.
    pub fn end(&self) -> bool {
        mapvar_harness::figure(
            self.what,
            format!(
                "{} cases at {} sizes ({} without room for a map), {} signals, {} wrong",
                self.cases, self.sizes, self.none, self.signals, self.wrong
            ),
            "0, 0",
        );
        self.wrong == 0 && self.cases > self.none
    }
}
