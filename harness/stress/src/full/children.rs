//! Second processes of this program, which end by themselves or are killed.

use mapvar_harness::peer::Owned;
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longer than any role takes, even on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The command line that starts a program: this one, or its Windows build by `wine`.
#[derive(Clone, Debug)]
pub struct Program(pub Vec<String>);

impl Program {
    pub fn this() -> Self {
        let path = std::env::current_exe().expect("this program has a path");
        Self(vec![path.to_string_lossy().into_owned()])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (program, first) = self.0.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(first).args(["full", "as"]).args(arguments);
        command
    }
}

fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("ENDED BY SIGNAL {signal}");
    }
    format!("{status}")
}

/// Reads the rest of a stream in a thread.
fn all_of(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut all = String::new();
        let _ = from.read_to_string(&mut all);
        all
    })
}

/// Runs a role to its end. Returns what it printed, or an error if it did not exit with success.
/// When the role prints "ready", `act` runs, and the role then gets the line "go".
pub fn run(
    program: &Program,
    arguments: &[&str],
    act: Option<&mut dyn FnMut()>,
) -> Result<String, String> {
    let mut command = program.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        Owned::start(&mut command).map_err(|error| format!("{arguments:?}: {error}"))?;
    let mut said = BufReader::new(child.0.stdout.take().ok_or("no pipe")?);
    let complaints = all_of(child.0.stderr.take().ok_or("no pipe")?);
    let mut input = child.0.stdin.take();
    let mut before = String::new();
    if let Some(act) = act {
        // A child that fails before it is ready closes its pipe.
        let _ = said.read_line(&mut before);
        if before.trim() == "ready" {
            act();
            if let Some(input) = &mut input {
                let _ = input.write_all(b"go\n");
            }
        }
    }
    drop(input);
    let rest = all_of(said);
    let began = Instant::now();
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < LIMIT => thread::sleep(Duration::from_millis(1)),
            Ok(None) => return Err(format!("{arguments:?}: HANGS for {LIMIT:?}")),
            Err(error) => return Err(format!("{arguments:?}: {error}")),
        }
    };
    let said = before + &rest.join().unwrap_or_default();
    let complaints = complaints.join().unwrap_or_default();
    if status.success() {
        return Ok(said);
    }
    let last: Vec<&str> = complaints.lines().rev().take(6).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("{}: {}: {}", arguments.join(" "), ended(status), last.join(" / ")))
}
