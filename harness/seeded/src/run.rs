//! Runs a program, with a bug or without, for a bounded time.

use crate::{suite::Job, table::Bug};
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};
use std::{
    fs::{self, File},
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Longer than any run takes on a busy machine.
const WATCHDOG: Duration = Duration::from_mins(10);

/// The process groups of the running programs, to be ended with this process.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// The result of a run.
#[derive(Debug)]
pub struct Ran {
    pub took: Duration,
    /// `None` if the watchdog ended it.
    pub status: Option<std::process::ExitStatus>,
    pub output: String,
}

impl Ran {
    /// Returns why the run failed; `None` if it succeeded.
    pub fn failure(&self) -> Option<String> {
        match self.status {
            None => Some(format!("ended after {} s", self.took.as_secs())),
            Some(status) if status.success() => None,
            Some(status) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "no success".into(),
            }),
        }
    }

    /// Returns the line that reports the bug; fails with the reason why the bug was not caught.
    pub fn caught(&self, bug: &Bug) -> Result<&str, String> {
        let Some(failure) = self.failure() else { return Err("nothing was found".into()) };
        // A hang is caught only if the harness's own watchdog reports it.
        if self.status.is_none() {
            return Err(failure);
        }
        let said = |line: &&str| bug.sentences.iter().any(|sentence| sentence.is_in(line));
        self.output.lines().find(said).map(str::trim).ok_or_else(|| {
            let sentences: Vec<String> = bug.sentences.iter().map(ToString::to_string).collect();
            format!("{failure}, and it does not say {}", sentences.join(" or "))
        })
    }

    /// Returns why it cannot run here, if it reports that: by exit code 77, for a part that a word
    /// of the command selects, or within a test.
    pub fn skipped(&self, job: &Job) -> Option<&str> {
        let code = self.status.and_then(|status| status.code());
        let says = |line: &&str| {
            line.split_once("SKIPPED")
                .is_some_and(|(part, _)| code == Some(77) || job.asks_for(part.trim()))
        };
        let line = self.output.lines().find(says).map(str::trim);
        line.or((code == Some(77)).then_some("exit code 77"))
    }

    /// Returns the lines that report a failure, among which an author finds the sentence of a bug.
    pub fn verdicts(&self) -> Vec<&str> {
        const WORDS: &str = "WRONG FAILED BAD TORN MIXED LOST LEAKED STUCK TROUBLE HUNG ERROR";
        let speaks = |line: &str| {
            let mut words = WORDS.split(' ').chain(["panicked at", "assertion"]);
            words.any(|word| line.contains(word))
        };
        let lines: Vec<&str> = self.output.lines().collect();
        let mut verdicts = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if speaks(line) {
                verdicts.push(*line);
                // The message is in the line after the location.
                verdicts.extend(lines.get(at + 1).filter(|_| line.contains("panicked at")));
            }
        }
        verdicts
    }

    /// Returns the last lines of its output, which give the reason.
    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        let from = lines.len().saturating_sub(12);
        lines.get(from..).unwrap_or_default().join("\n    ")
    }
}

/// Runs a command until it ends or the watchdog ends it. Its output goes through a file.
pub fn run(mut command: Command, output: &Path) -> io::Result<Ran> {
    let file = File::create(output)?;
    command.stdout(file.try_clone()?).stderr(file).process_group(0);
    let began = Instant::now();
    let mut child = {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        groups.push(child.id());
        child
    };
    let in_time = wait(&child, began + WATCHDOG);
    let took = began.elapsed();
    // Ends the group before the process is reaped, while its number is still its own. So no process
    // that it started stays behind.
    end_group(child.id());
    let status = child.wait();
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| *group != child.id());
    let output = String::from_utf8_lossy(&fs::read(output)?).into_owned();
    Ok(Ran { took, status: in_time.then_some(status?), output })
}

/// Waits until the process has ended, but does not reap it.
fn wait(child: &Child, until: Instant) -> bool {
    let Some(pid) = pid(child.id()) else { return false };
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while !matches!(process::waitid(WaitId::Pid(pid), how), Ok(Some(_))) {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn end_group(group: u32) {
    if let Some(group) = pid(group) {
        let _ = process::kill_process_group(group, Signal::KILL);
    }
}

/// Ends all running programs, and prevents the start of others.
pub fn end_all() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    groups.iter().for_each(|group| end_group(*group));
    // A thread that wants to start a program waits for the lock until this process has ended.
    std::mem::forget(groups);
}
