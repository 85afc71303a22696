//! The steps of a run: each under a watchdog, counted, and listed in a table at the end, after the
//! last lines of those that failed.

use crate::{
    machine,
    process::{Done, End, SKIPPED, Stop, failed, run_logged},
    repo,
};
use std::{
    fmt::Write as _,
    fs,
    io::IsTerminal as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    limit: Duration,
    /// What the current step prints.
    log: PathBuf,
    table: String,
    /// The last lines of the steps that failed.
    failures: String,
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

/// A failure is usually among so many last lines of a step.
const LAST_LINES: usize = 60;

impl Steps {
    pub(crate) fn new() -> Done<Self> {
        let limit = machine::limit("MAPVAR_STEP_LIMIT", Duration::from_mins(30))?;
        let log = repo::target().join("step.log");
        fs::create_dir_all(repo::target()).map_err(failed(repo::target().display()))?;
        Ok(Self {
            began: Instant::now(),
            limit,
            log,
            table: String::new(),
            failures: String::new(),
            passed: 0,
            failed: 0,
            skipped: 0,
        })
    }

    /// Runs a step, and continues after its failure, so that one run shows all failures.
    pub(crate) fn step(&mut self, title: &str, may: May, command: &mut Command) -> Done {
        println!("\n=== {title}");
        let began = Instant::now();
        let failed_before = self.failed;
        // A pipe would turn off the colours of cargo.
        if std::io::stdout().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        let verdict = match run_logged(command, self.limit, &self.log) {
            Ok(end) => self.count(end, may),
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(stop) => {
                self.failed += 1;
                stop.to_string()
            }
        };
        if self.failed > failed_before {
            self.keep_last_lines(title);
        }
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

    fn keep_last_lines(&mut self, title: &str) {
        let printed = fs::read(&self.log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        let _ = writeln!(self.failures, "\n=== {title}: its last lines\n{}", last.join("\n"));
    }

    /// Prints the last lines of what failed, the table and, alone on the last line, the counts that CI reads.
    pub(crate) fn finish(self) -> Done {
        let minutes = self.began.elapsed().as_secs().div_ceil(60);
        print!("{}", self.failures);
        println!("\n=== Result\n{}\n{minutes} min in all", self.table);
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 {
            Ok(())
        } else {
            Err(Stop::Failed(format!("{} of the steps", self.failed)))
        }
    }
}
