//! The steps of a run: each under a watchdog, counted, and listed in a table at the end.

use crate::{
    machine,
    process::{Done, End, SKIPPED, Stop, run_watched},
};
use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    limit: Duration,
    table: String,
    passed: u32,
    failed: u32,
    skipped: u32,
}

/// Whether CI may continue without a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    BeSkipped,
    /// In CI a skipped step is a failure.
    NotBeSkipped,
}

impl Steps {
    pub(crate) fn new() -> Done<Self> {
        let limit = machine::limit("MAPVAR_STEP_LIMIT", Duration::from_mins(30))?;
        let began = Instant::now();
        Ok(Self { began, limit, table: String::new(), passed: 0, failed: 0, skipped: 0 })
    }

    /// Runs a step, and continues after its failure, so that one run shows all failures.
    pub(crate) fn step(&mut self, title: &str, may: May, command: &mut Command) -> Done {
        println!("\n=== {title}");
        let began = Instant::now();
        let verdict = match run_watched(command, self.limit) {
            Ok(end) => self.count(end, may),
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(stop) => {
                self.failed += 1;
                stop.to_string()
            }
        };
        let seconds = began.elapsed().as_secs();
        println!("--- {title}: {verdict} ({seconds} s)");
        let _ = writeln!(self.table, "{seconds:5} s  {title:44} {verdict}");
        Ok(())
    }

    fn count(&mut self, end: End, may: May) -> String {
        match end {
            End::Exited(status) if status.success() => {
                self.passed += 1;
                "passed".into()
            }
            End::Exited(status) if status.code() == Some(SKIPPED.into()) => {
                if may == May::NotBeSkipped && machine::is_ci() {
                    self.failed += 1;
                    "FAILED: skipped, which CI must not".into()
                } else {
                    self.skipped += 1;
                    "SKIPPED, the step says why".into()
                }
            }
            End::Exited(status) => {
                self.failed += 1;
                format!("FAILED, {status}")
            }
            End::OutOfTime => {
                self.failed += 1;
                format!("FAILED: ended by the watchdog after {} s", self.limit.as_secs())
            }
        }
    }

    /// Prints the table and, alone on the last line, the counts that CI reads.
    pub(crate) fn finish(self) -> Done {
        let minutes = self.began.elapsed().as_secs().div_ceil(60);
        println!("\n=== Result\n{}\n{minutes} min in all", self.table);
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 {
            Ok(())
        } else {
            Err(Stop::Failed(format!("{} of the steps", self.failed)))
        }
    }
}
