//! Starts the command, and never waits for it for ever.

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

/// No test asserts a time: whoever takes so long hangs.
const WATCHDOG: Duration = Duration::from_secs(20);

pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapvar"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    /// Its output, where it succeeded and had nothing to complain of.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        String::from_utf8(self.out).expect("text")
    }

    /// Its complaint, where it failed with this exit code and said so in one line.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("mapvar: "), "{self:?}");
        assert_eq!(self.err.matches('\n').count(), 1, "{self:?}");
        self.err
    }

    /// What clap says, where it was used wrongly.
    #[track_caller]
    pub(crate) fn misused(self) -> String {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        self.err
    }
}

/// Starts a process. Wine now and then answers "internal error" (1359) under load and starts the
/// next one: that is not what the tests are about.
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

/// With this on standard input.
pub(crate) fn feed<A: AsRef<OsStr>>(input: &[u8], args: impl IntoIterator<Item = A>) -> Ran {
    let mut child = start(command(args).stdin(Stdio::piped()));
    // What does not read it all closes its end; that is its right.
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
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = tell.send(bytes);
    });
    told
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

/// A name that nobody else has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("cli-test.{what}.{}.{}", id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A `mapvar hold` that runs; killed when dropped.
pub(crate) struct Held {
    pub(crate) child: Child,
    /// What it said.
    pub(crate) line: String,
    /// Stays open as long as this.
    _pipe: BufReader<ChildStderr>,
    args: Vec<String>,
}

impl Held {
    pub(crate) fn new<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let args: Vec<String> = args.into_iter().map(String::from).collect();
        let mut child = start(command(["hold"]).args(&args).stdout(Stdio::null()));
        let mut pipe = BufReader::new(child.stderr.take().expect("stderr"));
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = pipe.read_line(&mut line);
            let _ = tell.send((line, pipe));
        });
        let Ok((line, pipe)) = told.recv_timeout(WATCHDOG) else {
            let _ = child.kill();
            panic!("`hold` said nothing within {WATCHDOG:?}");
        };
        assert!(line.contains("holding map") && line.ends_with('\n'), "{line:?}");
        Self { child, line, _pipe: pipe, args }
    }

    /// Ends it without a chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // On Unix, what a killed process leaves is cleared away by the next that asks for it.
        if FAMILY == "unix" {
            let global = self.args.iter().filter(|arg| *arg == "--global");
            let _ = command(["list"]).args(self.args.first()).args(global).output();
        }
    }
}

/// A folder for files of the test's.
pub(crate) struct Folder(pub(crate) TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").into()
    }
}
