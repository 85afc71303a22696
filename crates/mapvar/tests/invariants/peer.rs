//! Second processes that wait for a signal to continue and report their progress, and values by
//! which a torn read is detected.

use crate::common::{Owned, child, start};
use mapvar::{Map, MapOptions};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A second process in a role. A drop kills it, also if the test panics.
pub(crate) struct Peer {
    pub(crate) child: Owned,
    out: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Self {
        Self::of(&mut child("child_entry", role, arguments))
    }

    /// Starts it by another program, which finally executes the test: `sh -c "... exec \"$@\"" sh`.
    #[cfg(unix)]
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

    #[cfg(unix)]
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Waits for the next line of [`report`] and returns it; `None` if the process has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, said)) = line.split_once('@') {
                return Some(said.trim_end().into());
            }
        }
    }

    pub(crate) fn expect(&mut self, what: &str) {
        assert_eq!(self.hear().as_deref(), Some(what));
    }

    pub(crate) fn go(&mut self) {
        writeln!(self.child.0.stdin.as_mut().unwrap()).unwrap();
    }

    /// Kills the process; returns the rest of its complete lines.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.0.kill().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        self.child.0.wait().unwrap();
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| Some(line.split_once('@')?.1.into())).collect()
    }

    /// Closes its standard input, waits until it ends, and asserts that it succeeded.
    pub(crate) fn finish(mut self) {
        drop(self.child.0.stdin.take());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.0.wait().unwrap().success(), "{rest}");
    }
}

/// Reports a line to the parent.
pub(crate) fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Waits until the parent lets this process continue ([`Peer::go`]), or closes the pipe or ends.
pub(crate) fn await_word() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// Returns options for a map by the path of a file or by a name.
pub(crate) fn options(map: &str) -> MapOptions {
    let options = Map::options().timeout(PATIENCE);
    if map.contains(['/', '\\']) { options.file(map) } else { options.name(map) }
}

/// Returns a value with its stamp in all its words.
pub(crate) fn stamped(stamp: u64, words: usize) -> Vec<u8> {
    stamp.to_le_bytes().repeat(words)
}

/// Returns the stamp of a value; panics if the value is torn.
#[track_caller]
pub(crate) fn stamp_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let first = u64::from_le_bytes(words[0]);
    let whole = rest.is_empty() && words.iter().all(|word| u64::from_le_bytes(*word) == first);
    assert!(whole, "torn: a value of {} bytes", bytes.len());
    first
}
