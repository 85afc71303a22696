//! A second process of this very program, which is told lines and tells lines.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

/// Killed and waited for when it is dropped, however that comes.
#[derive(Debug)]
pub struct Peer {
    input: Option<File>,
    output: Option<BufReader<File>>,
    life: Life,
    pub pid: u32,
}

#[derive(Debug)]
enum Life {
    Child(Child),
    /// One that the standard library did not start.
    #[cfg(unix)]
    Number(i32),
    Over,
}

impl Peer {
    /// Runs this program with these arguments.
    pub fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Memory that is freed goes back to the system at once (glibc): what grows, leaks.
        command.env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536");
        let mut child = start(&mut command)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        #[cfg(unix)]
        let (input, output) = {
            use std::os::fd::OwnedFd;
            (
                input.map(|end| File::from(OwnedFd::from(end))),
                output.map(|end| File::from(OwnedFd::from(end))),
            )
        };
        #[cfg(windows)]
        let (input, output) = {
            use std::os::windows::io::OwnedHandle;
            (
                input.map(|end| File::from(OwnedHandle::from(end))),
                output.map(|end| File::from(OwnedHandle::from(end))),
            )
        };
        let pid = child.id();
        Ok(Self { input, output: output.map(BufReader::new), life: Life::Child(child), pid })
    }

    /// Runs this program with these arguments, under this process number if one is given.
    #[cfg(target_os = "linux")]
    pub fn start_as(arguments: &[&str], pid: Option<i32>) -> io::Result<Self> {
        let (input, theirs) = io::pipe().map(|(reader, writer)| (writer, reader))?;
        let (output, their_output) = io::pipe()?;
        let pid = crate::unix::clone_program(arguments, &theirs, &their_output, pid)?;
        Ok(Self {
            input: Some(File::from(std::os::fd::OwnedFd::from(input))),
            output: Some(BufReader::new(File::from(std::os::fd::OwnedFd::from(output)))),
            life: Life::Number(pid),
            pid: pid as u32,
        })
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

    /// What it tells, for a thread that listens.
    pub fn take_output(&mut self) -> Option<BufReader<File>> {
        self.output.take()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        match std::mem::replace(&mut self.life, Life::Over) {
            Life::Child(mut child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            #[cfg(unix)]
            Life::Number(pid) => crate::unix::kill_child(pid),
            Life::Over => {}
        }
    }

    /// Ends its input, waits until it has ended by itself, and answers whether all was well.
    pub fn finish(&mut self) -> bool {
        self.input = None;
        match std::mem::replace(&mut self.life, Life::Over) {
            Life::Child(mut child) => child.wait().is_ok_and(|status| status.success()),
            #[cfg(unix)]
            Life::Number(pid) => crate::unix::wait_for(pid) == Some(0),
            Life::Over => true,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Wine now and then answers "internal error" (1359) under load and starts the next one.
fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(1359) => {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            other => return other,
        }
    }
    command.spawn()
}

/// In a child: the next line that it is told; ends the process when there is none.
pub fn told() -> String {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => std::process::exit(0),
        Ok(_) => line.trim_end().to_owned(),
    }
}

/// In a child.
pub fn say(line: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    // Whole, so that a kill leaves a line or none.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
