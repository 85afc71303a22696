//! Runs a program, with a bug or without, and never for ever.

use crate::table::Bug;
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

/// Within which each bug is to be caught.
pub const LIMIT: Duration = Duration::from_mins(1);
/// How long a run without a bug may take: it goes through everything, a bug ends it early.
pub const BASELINE: Duration = Duration::from_mins(3);

/// The process groups of the programs that run, to be ended with this one.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub took: Duration,
    /// `None` where it was ended because it took too long.
    pub status: Option<std::process::ExitStatus>,
    pub output: String,
}

impl Ran {
    /// Why it is no success; `None` where it is one.
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

    /// Whether it says that it cannot be run here.
    pub fn is_skipped(&self) -> bool {
        self.status.is_some_and(|status| status.code() == Some(77))
    }

    /// The word by which it caught the bug; else why it did not.
    pub fn caught<'a>(&self, bug: &'a Bug) -> Result<&'a str, String> {
        match self.failure() {
            None => Err("nothing was found".into()),
            // What hangs is caught only if the harness's own watchdog said so.
            Some(failure) if self.status.is_none() => Err(failure),
            Some(failure) => {
                let word = bug.words.iter().find(|word| self.output.contains(&**word));
                word.map(String::as_str).ok_or_else(|| {
                    format!("{failure}, and not a word of {}", bug.words.join(" or "))
                })
            }
        }
    }

    /// The last lines that it wrote, for who is to find out.
    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        let from = lines.len().saturating_sub(12);
        lines.get(from..).unwrap_or_default().join("\n    ")
    }
}

/// Runs a command to its end, or to the limit; its output goes by way of a file.
pub fn run(mut command: Command, output: &Path, limit: Duration) -> io::Result<Ran> {
    let file = File::create(output)?;
    command.stdout(file.try_clone()?).stderr(file).process_group(0);
    let began = Instant::now();
    let mut child = {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        groups.push(child.id());
        child
    };
    let in_time = wait(&child, began + limit);
    let took = began.elapsed();
    // Before its end is taken note of, so that the number is still its own: what it started and left
    // does not stay.
    end_group(child.id());
    let status = child.wait();
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| *group != child.id());
    let output = String::from_utf8_lossy(&fs::read(output)?).into_owned();
    Ok(Ran { took, status: in_time.then_some(status?), output })
}

/// Waits until it has ended, and leaves it to be taken note of.
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

/// Ends whatever runs.
pub fn end_all() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    groups.iter().for_each(|group| end_group(*group));
}
