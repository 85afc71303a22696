//! mapvar where there is no room: README.md says what each part is and what it shows.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the child alone is used there"))]

mod cases;
mod children;
#[cfg(target_os = "linux")]
mod linux;
mod report;
#[cfg(target_os = "linux")]
mod wine;

use cases::Style;
use report::Options;
use std::process::ExitCode;

const USAGE: &str = "ci/full [--short] [--seed S] [disks] [shorter] [limits] [wine]";

fn role(arguments: &[String]) -> Result<bool, String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
    match arguments.as_slice() {
        ["fill", style, what] => cases::fill_one(what, Style::of(style)?),
        ["fill-lossy", style, what] => cases::fill_lossy(what, Style::of(style)?),
        ["room-again", path] => cases::room_again(path),
        ["recover", path] => cases::recover(path),
        ["while-truncated", path] => cases::while_truncated(path),
        ["view-truncated", path, pages] => cases::view_truncated(path, number(pages)? as usize),
        #[cfg(target_os = "linux")]
        ["limit", kind, pages, style, what] => {
            linux::limited(kind, number(pages)?, Style::of(style)?, what)
        }
        #[cfg(target_os = "linux")]
        ["hole", path, page, pages] => linux::hole(path, number(page)?, number(pages)?),
        #[cfg(target_os = "linux")]
        ["hole-on-full", path] => linux::hole_on_full(path),
        other => Err(format!("no role {other:?}")),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, arguments @ ..] = words.as_slice()
        && first == "--role"
    {
        return match role(arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => {
                println!("no room for a map");
                ExitCode::SUCCESS
            }
            Err(told) => {
                eprintln!("{told}");
                ExitCode::FAILURE
            }
        };
    }
    let mut options = Options { short: false, seed: 1, legs: Vec::new(), wine: None };
    let mut apart = None;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => options.short = true,
            "--seed" => options.seed = words.next().and_then(|it| it.parse().ok()).unwrap_or(1),
            "--wine" => options.wine = words.next(),
            "--apart" => apart = words.next(),
            "disks" | "shorter" | "limits" | "wine" => options.legs.push(word),
            _ => {
                eprintln!("what is {word}? {USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if legs(&options, apart.as_deref()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn legs(_: &Options, _: Option<&str>) -> bool {
    println!(
        "SKIPPED: file systems of any size are made on Linux alone; this program is the child there"
    );
    true
}

#[cfg(target_os = "linux")]
fn legs(options: &Options, apart: Option<&str>) -> bool {
    // In the place of its own, for one part.
    match apart {
        Some("disks") => return linux::disks(options).end(),
        Some("wine") => return wine::full(options).end(),
        _ => {}
    }
    let wanted = |leg: &str| options.legs.is_empty() || options.legs.iter().any(|it| it == leg);
    let mut well = true;
    let how = linux::apart();
    for leg in ["disks", "wine"] {
        if !wanted(leg) || (leg == "wine" && options.wine.is_none()) {
            continue;
        }
        match &how {
            None => println!(
                "{leg} SKIPPED: this user may not mount a file system (unshare -m, unshare -Urm)"
            ),
            Some(how) => well &= linux::begin_apart(how, leg),
        }
    }
    if wanted("shorter") {
        well &= linux::shorter(options).end();
    }
    if wanted("limits") {
        for figure in linux::limits(options) {
            well &= figure.end();
        }
    }
    well
}
