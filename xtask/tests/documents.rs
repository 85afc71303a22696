//! The pages. Each `cargo xtask ...` that a page tells a reader to type names a command, a harness
//! and a stage that exist. Each link to another page, or to a heading, leads there.
//!
//! The blocks themselves run elsewhere: those of the README in `crates/cli/tests/readme.rs`, of the C
//! interface's README in `cargo xtask harness c readme`, of the gem's in
//! `bindings/ruby/test/readme_test.rs`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns what xtask prints, on either stream.
fn xtask(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .output()
        .expect("xtask does not start");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("xtask prints something other than text")
}

/// Returns the first words of a list's lines. An indented line continues the one above it.
fn first_words(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

/// Returns every page of the repository, but for the results, which are as they were.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            let skipped = name.starts_with("target") || name == ".git" || name == "results";
            if !skipped {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Returns the text without its code, in which a bracket means something else.
fn without_code(text: &str) -> String {
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2);
            prose.push_str(&outside.collect::<Vec<_>>().join("`"));
            prose.push('\n');
        }
    }
    prose
}

/// Returns the anchors of a page's headings, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let line = line.trim_start_matches('#').trim().to_lowercase();
        let kept = line.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Returns what follows `cargo xtask` in the code of a page: to the end of a code span or a line.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    text.split("cargo xtask")
        .skip(1)
        .map(|rest| {
            let line = rest.split(['`', '\n', '#', ';', ',', ')']).next().unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect()
        })
        .collect()
}

#[test]
fn the_command_lines_of_the_pages_exist() {
    let usage = xtask(&["help"]);
    let commands: BTreeSet<&str> = usage
        .lines()
        .filter_map(|line| line.strip_prefix("cargo xtask ")?.split_whitespace().next())
        .collect();
    let (harnesses, stages) = (xtask(&["harness"]), xtask(&["long", "--list"]));
    let (harnesses, stages) = (first_words(&harnesses), first_words(&stages));
    assert!(commands.contains("test"), "no command in {usage}");
    assert!(harnesses.contains("kill"), "no harness in {harnesses:?}");
    assert!(stages.contains("kill"), "no stage in {stages:?}");
    let mut found = Vec::new();
    pages(&root(), &mut found);
    let (mut lines, mut wrong) = (0, Vec::new());
    for page in found {
        let text = fs::read_to_string(&page).expect("a page");
        for words in command_lines(&text) {
            let Some(command) = words.first() else { continue };
            lines += 1;
            let rest = words.get(1).map(String::as_str);
            // Capital letters stand for a name of the reader's choice.
            let named = rest.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
            let exists = commands.contains(command.as_str())
                && named.is_none_or(|name| match command.as_str() {
                    "harness" => harnesses.contains(name),
                    "long" => stages.contains(name),
                    _ => true,
                });
            if !exists {
                wrong.push(format!("{}: cargo xtask {}", page.display(), words.join(" ")));
            }
        }
    }
    assert!(lines > 30, "only {lines} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    let mut found = Vec::new();
    pages(&root(), &mut found);
    let (mut links, mut wrong) = (0, Vec::new());
    for page in &found {
        let text = fs::read_to_string(page).expect("a page");
        for rest in without_code(&text).split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() {
                page.clone()
            } else {
                page.parent().expect("a folder").join(path)
            };
            let there = to.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&to).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !there {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
