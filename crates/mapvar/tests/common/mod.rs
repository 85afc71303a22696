//! Helpers of the tests: second processes of the test itself, a watchdog, random numbers.
#![allow(dead_code, reason = "each test file uses its part")]

use mapvar::Map;
use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, SystemTime},
};

/// The environment variable with the role of a child.
const ROLE: &str = "MAPVAR_TEST_ROLE";

/// Creates a folder for tests that create many files: in memory, if the system supports that.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Returns a command that runs the test `entry` of this executable with this role and arguments.
pub(crate) fn child(entry: &str, role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", entry, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env("MAPVAR_TEST_ARGUMENTS", arguments.join("\u{1f}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Starts a process. Under load Wine sometimes fails with "internal error" (1359), and the next
/// attempt succeeds; so this retries that error.
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

/// Returns the role and the arguments of this process; `None` if it is not a child.
pub(crate) fn role() -> Option<(String, Vec<String>)> {
    let role = std::env::var(ROLE).ok()?;
    let arguments = std::env::var("MAPVAR_TEST_ARGUMENTS").unwrap_or_default();
    Some((role, arguments.split('\u{1f}').map(String::from).collect()))
}

/// Starts the test `child_entry` with this role and arguments, and discards its output. The child
/// is killed when the returned value is dropped.
pub(crate) fn other(role: &str, arguments: &[&str]) -> Owned {
    Owned(start(child("child_entry", role, arguments).stdout(Stdio::null())))
}

/// Waits for changes of "ask" and sets "answer" to each value plus 1,000,000, forever.
pub(crate) fn echo(map: &Map) {
    let mut watch = map.watch("ask").unwrap();
    map.set("ready", true).unwrap();
    loop {
        let asked: u64 = watch.recv().unwrap().get().unwrap();
        map.set("answer", asked + 1_000_000).unwrap();
    }
}

/// Creates a map with a name that no other test uses.
pub(crate) fn map(what: &str) -> (Map, String) {
    let name = unique(what);
    (Map::options().name(&name).create().unwrap(), name)
}

/// A child. A drop kills it and waits for its end, also if the test panics.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the test's process after `limit`, with the name of the test.
pub(crate) struct Watchdog(#[allow(dead_code, reason = "dropped to end it")] mpsc::Sender<()>);

impl Watchdog {
    pub(crate) fn new(what: &'static str, limit: Duration) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Not `eprintln`: the test harness would capture the output.
                let _ = writeln!(std::io::stderr(), "watchdog: {what} hangs for {limit:?}");
                std::process::exit(101);
            }
        });
        Self(stop)
    }
}

/// Returns a name that no other test and no other run uses.
pub(crate) fn unique(what: &str) -> String {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("test.{what}.{}.{:x}", std::process::id(), nanos & 0xffff_ffff_ffff)
}

/// A small random number generator (xorshift64*); it prints its seed, and takes it from
/// `MAPVAR_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(what: &str) -> Self {
        let seed = std::env::var("MAPVAR_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1
        });
        println!("{what}: MAPVAR_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Returns a tenth of `count` on Windows: Wine creates processes and kernel objects slowly.
pub(crate) fn scaled(count: usize) -> usize {
    if std::env::consts::OS == "windows" { count / 10 } else { count }
}
