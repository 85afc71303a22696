//! Second processes, and what they say line by line.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// This very program, with these arguments.
pub fn this<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(arguments);
    command
}

/// Starts a process. Under load Wine sometimes fails with "internal error" (1359) and starts the
/// next one, which is not what a harness is about.
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

/// A process that is killed and waited for when this is dropped.
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

/// How a process that was started is ended.
pub trait Life: Send {
    /// Kills it and waits until it is gone.
    fn kill(&mut self);
    /// Waits until it has ended by itself; whether all was well.
    fn finish(&mut self) -> bool;
}

impl Life for Owned {
    fn kill(&mut self) {
        // Fails where it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn finish(&mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }
}

pub type Input = Box<dyn Write + Send>;
pub type Output = Box<dyn Read + Send>;

/// A second process that is told lines and says lines. It is killed when this is dropped.
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

    /// One that the standard library did not start.
    pub fn of(input: Input, output: Output, life: Box<dyn Life>, pid: u32) -> Self {
        Self { input: Some(input), output: Some(BufReader::new(output)), life, pid }
    }

    pub fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // One that is gone is noticed by what it does not say.
            let _ = writeln!(input, "{line}");
        }
    }

    /// The next line; `None` where there will be none.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.as_mut()?.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// What it is told by, for a thread that tells.
    pub fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// What it says, for a thread that listens.
    pub fn take_output(&mut self) -> Option<BufReader<Output>> {
        self.output.take()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.life.kill();
    }

    /// Ends its input, waits until it has ended by itself, and answers whether all was well.
    pub fn finish(&mut self) -> bool {
        self.input = None;
        self.life.finish()
    }
}

/// In a child: the next line that it is told; `None` when its input has ended.
pub fn next_order() -> Option<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// In a child: the next line that it is told. Ends the process when there is none.
pub fn told() -> String {
    next_order().unwrap_or_else(|| std::process::exit(0))
}

/// In a child.
pub fn say(line: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    // Whole, so that a kill leaves a line or none.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
