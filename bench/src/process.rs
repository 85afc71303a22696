//! Another process that answers questions, a line each.

use crate::Result;
use std::{
    fmt::Display,
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A process that ends when this is dropped.
pub struct Process {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts the command, on the core of this thread.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().ok_or("no pipe from the process")?;
        Ok(Self { child, questions, answers: BufReader::new(answers).lines() })
    }

    pub fn ask(&mut self, question: impl Display) -> Result<String> {
        writeln!(self.questions.as_mut().ok_or("no pipe to the process")?, "{question}")?;
        self.answer()
    }

    pub fn answer(&mut self) -> Result<String> {
        Ok(self.answers.next().ok_or("the process ended")??)
    }

    /// Ends the process, as a crash does. It may still be ending when this returns.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Ends a process that ends with its questions.
    pub fn finish(&mut self) {
        self.questions = None;
        _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Makes the signal of `kill -9` the end of this process when the thread dies that started it. A
/// process that outlives the run would keep a core busy.
pub fn end_with_parent() {
    // SAFETY: the call only sets a number of this process.
    #[allow(unsafe_code, reason = "a system call")]
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
}

/// Returns the first line that this program says of its version; `None` if it is not installed.
pub fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.lines().next().unwrap_or_default().trim().to_owned())
}
