//! What was seen, as figures.

#[derive(Clone, Debug)]
pub struct Options {
    pub short: bool,
    pub seed: u64,
    pub legs: Vec<String>,
    /// How the program for Windows is started.
    pub wine: Option<String>,
}

pub struct Figure {
    what: &'static str,
    pub sizes: usize,
    cases: usize,
    /// Those that found no room even for a map.
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
            Ok(said) => self.none += usize::from(said.contains("no room for a map")),
            Err(told) => {
                self.wrong += 1;
                self.signals += usize::from(told.contains("ENDED BY SIGNAL"));
                if self.wrong <= 20 {
                    println!("WRONG: {}: {case}: {told}", self.what);
                }
            }
        }
    }

    /// The line of the table; and whether all is well.
    pub fn end(&self) -> bool {
        println!(
            "figure: {} = {} cases at {} sizes ({} without room for a map), {} signals, {} wrong (goal 0, 0)",
            self.what, self.cases, self.sizes, self.none, self.signals, self.wrong
        );
        self.wrong == 0 && self.cases > self.none
    }
}
