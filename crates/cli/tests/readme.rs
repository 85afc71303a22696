//! The shell blocks of the README: each `mapvar` line is run unchanged, and must print the lines
//! below it.
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
    command.args(line.split_whitespace().skip(1)).current_dir(folder);
    command
}

fn within(limit: Duration, mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
                background.push(Background(mapvar(folder.path(), line).spawn().unwrap()));
                // Wait until the map's name exists.
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
