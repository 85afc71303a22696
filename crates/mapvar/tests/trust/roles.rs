//! What the second processes do, and how the tests run them.

use crate::common::{Owned, child, start};
use mapvar::Map;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdout, Command, Stdio},
};

/// Prints a line that the test finds among those of the test harness.
fn tell(what: &str) {
    println!("\n@{what}");
    std::io::stdout().flush().unwrap();
}

pub(crate) fn run(role: &str, arguments: &[String]) {
    let options = Map::options().file(&arguments[0]);
    match role {
        // Sets "x" and flushes.
        "flush" | "create and flush" => {
            let map = if role == "flush" { options.open() } else { options.create() };
            let map = map.unwrap();
            map.set("x", arguments[1].parse::<i64>().unwrap()).unwrap();
            match map.flush() {
                Ok(()) => tell("flushed"),
                Err(error) => tell(&format!("{:?} {error}", error.kind())),
            }
            // Its drop would flush once more.
            std::process::exit(0);
        }
        // Sets eight variables without a flush, and waits: to check them, and then to close the map.
        "set eight" => {
            let map = options.open_or_create().unwrap();
            for number in 0..8_i64 {
                map.set(&format!("v{number}"), number).unwrap();
            }
            tell("eight");
            wait();
            for number in 0..8_i64 {
                assert_eq!(map.get::<i64>(&format!("v{number}")).unwrap(), number);
            }
            map.set("more", 1).unwrap();
            tell("whole");
            wait();
            map.close().unwrap();
            tell("closed");
            wait();
        }
        // Opens at a word of the test, and stays until the next one.
        #[cfg(target_os = "linux")]
        "open" => {
            tell("ready");
            wait();
            let opened = options.open();
            tell(
                &opened
                    .as_ref()
                    .map_or_else(|error| format!("{:?}", error.kind()), |_| "open".into()),
            );
            wait();
        }
        other => panic!("no role {other}"),
    }
}

#[cfg(target_os = "linux")]
/// Runs a role, by another program if there is one, and returns the lines that it told.
pub(crate) fn told(by: Option<Command>, role: &str, arguments: &[&str]) -> Vec<String> {
    let inner = child("child_entry", role, arguments);
    let mut command = by.map_or_else(
        || Command::new(inner.get_program()),
        |mut by| {
            by.arg(inner.get_program());
            by
        },
    );
    command.args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix('@')?.to_owned())).collect()
}

/// Waits for a word of the test; ends the process without closing anything if there is none.
fn wait() {
    if std::io::stdin().read_line(&mut String::new()).unwrap_or(0) == 0 {
        std::process::exit(0);
    }
}

/// A second process that waits for a word to go on. A drop kills it.
pub(crate) struct Peer {
    child: Owned,
    out: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Self {
        Self::of(&mut child("child_entry", role, arguments))
    }

    /// Starts it by another program.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_by(mut by: Command, role: &str, arguments: &[&str]) -> Self {
        let inner = child("child_entry", role, arguments);
        by.arg(inner.get_program()).args(inner.get_args());
        by.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::of(by.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = start(command.stderr(Stdio::inherit()));
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child: Owned(child), out }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn expect(&mut self, what: &str) {
        assert_eq!(self.hear(), what);
    }

    pub(crate) fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it ended and told nothing");
            if let Some(said) = line.trim_end().strip_prefix('@') {
                return said.into();
            }
        }
    }

    pub(crate) fn go(&mut self) {
        writeln!(self.child.0.stdin.as_mut().unwrap()).unwrap();
    }

    /// Kills it, and waits for its end.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill(self) {
        let Self { mut child, mut out } = self;
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        // To the end: a process that it started may live a moment longer.
        let _ = std::io::copy(&mut out, &mut std::io::sink());
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
