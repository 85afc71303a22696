//! Second processes, and the lines that they exchange.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Returns a command that runs this very program with these arguments.
pub fn this<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(arguments);
    command
}

/// Starts a process. Under load Wine sometimes fails with "internal error" (1359) and then starts
/// the next process, so the call is retried.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(1359) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
    command.spawn()
}

/// A process that is killed and waited for on drop.
#[derive(Debug)]
pub struct Owned(pub Child);

impl Owned {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        spawn(command).map(Self)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a started process.
pub trait Life: Send {
    /// Kills it and waits until it is gone.
    fn kill(&mut self);
    /// Waits until it ends by itself; returns whether it succeeded.
    fn finish(&mut self) -> bool;
}

impl Life for Owned {
    fn kill(&mut self) {
        // Fails if it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn finish(&mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }
}

pub type Input = Box<dyn Write + Send>;
pub type Output = Box<dyn Read + Send>;

/// A second process that reads and writes lines. It is killed on drop.
pub struct Peer {
    input: Option<Input>,
    output: Option<BufReader<Output>>,
    life: Box<dyn Life>,
    pub pid: u32,
}

impl Peer {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = Owned::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let none = io::ErrorKind::BrokenPipe;
        let (input, output) =
            (child.0.stdin.take().ok_or(none)?, child.0.stdout.take().ok_or(none)?);
        let pid = child.0.id();
        Ok(Self::of(Box::new(input), Box::new(output), Box::new(child), pid))
    }

    /// Wraps a process that the standard library did not start.
    pub fn of(input: Input, output: Output, life: Box<dyn Life>, pid: u32) -> Self {
        Self { input: Some(input), output: Some(BufReader::new(output)), life, pid }
    }

    pub fn send_line(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // A failure is ignored: if the process is gone, its output ends.
            let _ = writeln!(input, "{line}");
        }
    }

    /// Returns the next line; `None` at the end of its output.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.as_mut()?.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Takes its input, for another thread to write to.
    pub fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// Takes its output, for another thread to read from.
    pub fn take_output(&mut self) -> Option<BufReader<Output>> {
        self.output.take()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.life.kill();
    }

    /// Closes its input and waits until it ends by itself; returns whether it succeeded.
    pub fn finish(&mut self) -> bool {
        self.input = None;
        self.life.finish()
    }
}

/// Returns the next line of this process's input, or `None` at its end. For a child.
pub fn next_order() -> Option<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// Returns the next line of this process's input, and ends the process at its end. For a child.
pub fn read_order() -> String {
    next_order().unwrap_or_else(|| std::process::exit(0))
}

/// Writes a line to the parent. For a child.
pub fn say(line: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    // Written as a whole, so that a kill leaves a line or none.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
