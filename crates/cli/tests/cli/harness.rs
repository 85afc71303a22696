//! Starts the command, and waits for it with a time limit.

use std::{
    env::consts::FAMILY,
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio, id},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A process that takes this long hangs. No test asserts a shorter time.
const WATCHDOG: Duration = Duration::from_secs(20);

pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapvar"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The output and exit code of a process.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    /// Returns the output of a process that succeeded and printed no error.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        String::from_utf8(self.out).expect("text")
    }

    /// Returns the error of a process that failed with this exit code and one line of error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("mapvar: "), "{self:?}");
        assert_eq!(self.err.matches('\n').count(), 1, "{self:?}");
        self.err
    }

    /// Returns clap's message after wrong usage.
    #[track_caller]
    pub(crate) fn misused(self) -> String {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        self.err
    }
}

/// Starts a process. Under load, Wine sometimes fails with "internal error" (1359) and starts the
/// next process: the tests do not test Wine, so they retry.
pub(crate) fn start(command: &mut Command) -> Child {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(1359) => {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            other => return other.expect("start"),
        }
    }
    panic!("no process can be started")
}

pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    finish(start(&mut command(args)))
}

/// Runs the command with this standard input.
pub(crate) fn feed<A: AsRef<OsStr>>(input: &[u8], args: impl IntoIterator<Item = A>) -> Ran {
    let mut child = start(command(args).stdin(Stdio::piped()));
    // A command that does not read all of its input closes the pipe, which is no error.
    let _ = child.stdin.take().expect("stdin").write_all(input);
    finish(child)
}

pub(crate) fn finish(mut child: Child) -> Ran {
    let out = child.stdout.take().map(read);
    let err = child.stderr.take().map(read);
    let status = wait(&mut child);
    let all = |pipe: Option<mpsc::Receiver<Vec<u8>>>| {
        pipe.map(|pipe| pipe.recv_timeout(WATCHDOG).expect("a closed pipe")).unwrap_or_default()
    };
    Ran { code: status.code(), out: all(out), err: String::from_utf8(all(err)).expect("text") }
}

fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        if begun.elapsed() > WATCHDOG {
            let _ = child.kill();
            let _ = child.wait();
            panic!("a process did not end within {WATCHDOG:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Returns a name that no other test uses.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("cli-test.{what}.{}.{}", id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A `mapvar hold` that runs; killed when dropped.
pub(crate) struct Held {
    pub(crate) child: Child,
    /// The line that it printed.
    pub(crate) line: String,
    /// Kept open, so that later output does not fail.
    _pipe: BufReader<ChildStderr>,
    args: Vec<String>,
}

impl Held {
    pub(crate) fn new<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let args: Vec<String> = args.into_iter().map(String::from).collect();
        let mut child = start(command(["hold"]).args(&args).stdout(Stdio::null()));
        let mut pipe = BufReader::new(child.stderr.take().expect("stderr"));
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = pipe.read_line(&mut line);
            let _ = sender.send((line, pipe));
        });
        let Ok((line, pipe)) = receiver.recv_timeout(WATCHDOG) else {
            let _ = child.kill();
            panic!("`hold` said nothing within {WATCHDOG:?}");
        };
        assert!(line.contains("holding map") && line.ends_with('\n'), "{line:?}");
        Self { child, line, _pipe: pipe, args }
    }

    /// Kills the process, which cannot clean up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // On Unix, the next process that opens the name cleans up after a killed one.
        if FAMILY == "unix" {
            let global = self.args.iter().filter(|arg| *arg == "--global");
            let _ = command(["list"]).args(self.args.first()).args(global).output();
        }
    }
}

/// A folder for the files of a test.
pub(crate) struct Folder(pub(crate) TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").into()
    }
}
