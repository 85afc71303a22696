//! Runs the examples as processes and checks their output.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail, also in its helpers"
)]

use std::{
    env::consts::EXE_SUFFIX,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const WATCHDOG: Duration = Duration::from_secs(20);

/// Returns a command that runs an example. `cargo test` builds the examples beside the folder of
/// the tests, unless its arguments select targets.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path: PathBuf = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        path.exists(),
        "{} is not built; run `cargo test` without `--test` and `--all-targets`, or `cargo build \
         -p mapvar --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running process, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for its end, and then reads its output, which must fit into the buffer of a pipe.
fn finish(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > WATCHDOG {
            let _ = child.kill();
            panic!("an example did not end within {WATCHDOG:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn file_reads_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.map");
    for _ in 0..2 {
        let output = finish(example("file").arg(&path).spawn().unwrap());
        assert!(printed(&output).ends_with("read foo = hello, bar = 77\n"), "{output:?}");
        assert!(path.exists());
    }
}

#[test]
fn client_reads_what_server_set() {
    let name = format!("example-test.{}", std::process::id());
    let client = || finish(example("client").arg(&name).spawn().unwrap());
    assert!(!client().status.success(), "there is a map before there is a server");

    let mut server = example("server");
    let mut server = Running(server.arg(&name).stdin(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let (sender, output) = mpsc::channel();
    thread::spawn(
        move || while lines.next().is_some_and(|line| sender.send(line.unwrap()).is_ok()) {},
    );
    let line = output.recv_timeout(WATCHDOG).expect("the server says that it is ready");
    assert!(line.contains("set foo and bar"), "{line}");

    assert_eq!(printed(&client()), "foo = hello\nbar = 77\n");

    server.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let line = output.recv_timeout(WATCHDOG).expect("the server says that it ends");
    assert!(line.contains("closed"), "{line}");
    let begun = Instant::now();
    while server.0.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < WATCHDOG, "the server did not end");
        thread::sleep(Duration::from_millis(2));
    }
    assert!(server.0.wait().unwrap().success());
    let output = client();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("NotFound"), "{error}");
}
