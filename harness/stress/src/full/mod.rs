//! mapvar where there is no free space.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the child alone is used there"))]

mod cases;
mod children;
#[cfg(target_os = "linux")]
mod linux;
mod report;
#[cfg(target_os = "linux")]
mod wine;

use crate::verdict;
use cases::Style;
use std::process::ExitCode;

fn act(words: &[&str]) -> Result<bool, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
    match words {
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

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts
    #[arg(value_parser = ["disks", "shorter", "limits", "wine"])]
    parts: Vec<String>,
    /// Only some of the sizes
    #[arg(long)]
    short: bool,
    /// Seed of the moments at which files are truncated
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The Windows build of this program, to be started under Wine
    #[arg(long)]
    wine: Option<String>,
    /// Runs one part in a private mount namespace
    #[arg(long, hide = true)]
    apart: Option<String>,
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    match act(words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("{}", report::NO_MAP);
            ExitCode::SUCCESS
        }
        Err(flaw) => {
            eprintln!("{flaw}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    verdict(legs(options))
}

#[cfg(not(target_os = "linux"))]
fn legs(_: &Options) -> bool {
    println!(
        "SKIPPED: file systems of any size are made on Linux alone; this program is the child there"
    );
    true
}

#[cfg(target_os = "linux")]
fn legs(options: &Options) -> bool {
    // This process runs in the private mount namespace, for one part.
    match options.apart.as_deref() {
        Some("disks") => return linux::disks(options).end(),
        Some("wine") => return wine::full(options).end(),
        _ => {}
    }
    let wanted = |leg: &str| options.parts.is_empty() || options.parts.iter().any(|it| it == leg);
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
