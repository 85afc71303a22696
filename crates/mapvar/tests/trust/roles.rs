//! What the second processes do, and how the tests run them.

use crate::common::child;
use mapvar::Map;
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Prints a line that the test finds among those of the test harness.
fn tell(what: &str) {
    println!("\n@{what}");
    std::io::stdout().flush().unwrap();
}

pub(crate) fn run(role: &str, arguments: &[String]) {
    let options = Map::options().file(&arguments[0]);
    match role {
        // Sets "x" and flushes.
        "flush" | "create and flush" => {
            let map = if role == "flush" { options.open() } else { options.create() };
            let map = map.unwrap();
            map.set("x", arguments[1].parse::<i64>().unwrap()).unwrap();
            match map.flush() {
                Ok(()) => tell("flushed"),
                Err(error) => tell(&format!("{:?} {error}", error.kind())),
            }
            // Its drop would flush once more.
            std::process::exit(0);
        }
        other => panic!("no role {other}"),
    }
}

/// Runs a role, by another program if there is one, and returns the lines that it told.
pub(crate) fn told(by: Option<Command>, role: &str, arguments: &[&str]) -> Vec<String> {
    let inner = child("child_entry", role, arguments);
    let mut command = by.map_or_else(
        || Command::new(inner.get_program()),
        |mut by| {
            by.arg(inner.get_program());
            by
        },
    );
    command.args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix('@')?.to_owned())).collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
