//! The shell blocks of the README. Each `mapvar` line of a `console` block is run as it stands, and
//! prints what stands below it. Each line of a `sh` block is a command line that `mapvar` accepts.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mapvar(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapvar"));
    // No word of the README contains a space.
    let words = line.split_whitespace().skip(1).map(|word| word.trim_matches('\''));
    command.args(words).current_dir(folder);
    command
}

/// Starts a process. Under load, Wine sometimes fails with "internal error" (1359) and starts the
/// next process.
fn start(mut command: Command) -> Child {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(1359) => {
                thread::sleep(Duration::from_millis(100));
            }
            other => return other.unwrap(),
        }
    }
    panic!("no process can be started")
}

fn within(limit: Duration, mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = start(command);
    let (done, wait) = std::sync::mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    wait.recv_timeout(limit).expect("it hangs").unwrap()
}

#[test]
fn the_shell_blocks_of_the_readme() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut background = Vec::new();
    let mut run = 0;
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for step in block.split("$ ").skip(1) {
            let (line, expected) = step.split_once('\n').unwrap();
            if !line.starts_with("mapvar ") {
                // Building, and the tests themselves.
                assert!(line.starts_with("cargo ") || line == "ci/test", "no test runs {line:?}");
                continue;
            }
            run += 1;
            if let Some(line) = line.strip_suffix(" &") {
                background.push(Background(start(mapvar(folder.path(), line))));
                // It is there when its name is.
                let name = line.split_whitespace().nth(2).unwrap();
                let began = Instant::now();
                while !within(
                    Duration::from_secs(20),
                    mapvar(folder.path(), &format!("mapvar stat {name}")),
                )
                .status
                .success()
                {
                    assert!(began.elapsed() < Duration::from_secs(20), "{line} does not come up");
                    thread::sleep(Duration::from_millis(20));
                }
                continue;
            }
            let output = within(Duration::from_secs(20), mapvar(folder.path(), line));
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8(printed).unwrap().replace('\r', "");
            assert_eq!(printed, expected, "{line}");
        }
    }
    assert!(run >= 8, "the blocks were not found");
}

#[test]
fn the_command_accepts_the_lines_of_the_sh_blocks() {
    /// What clap returns for a wrong command line.
    const USAGE: i32 = 2;
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // No map of this name exists, so that each command ends at once, with an error.
    let absent = format!("readme.{}", std::process::id());
    let mut run = 0;
    for block in readme.split("```sh\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let line = line.split(" #").next().unwrap();
            let line = line.split(" && ").next().unwrap().trim();
            assert!(line.starts_with("mapvar "), "no test runs {line:?}");
            let line = line.replace(" sim ", &format!(" {absent} "));
            let line = match line.strip_suffix(" sim") {
                Some(rest) => format!("{rest} {absent}"),
                None => line,
            };
            let output = within(Duration::from_secs(20), mapvar(folder.path(), &line));
            assert_ne!(output.status.code(), Some(USAGE), "{line}: {output:?}");
            run += 1;
        }
    }
    assert!(run >= 6, "the blocks were not found");
}
