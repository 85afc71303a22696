//! Every command of the repository: `cargo xtask`. `ci/` contains only what provisions a machine.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program speaks to a person at a terminal and to CI"
)]

// In the order of their layers: a module uses only those above it.
mod repo;
mod process;
mod machine;
mod windows;
mod wine10;
mod languages;
mod coverage;
mod dist;
mod fuzz;
mod harness;
mod targets;
mod test;
mod long;

use process::{Done, Stop};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [--quick]        what a change must pass; --quick: format, clippy and unit tests alone
cargo xtask harness NAME [ARGS]   one harness; `cargo xtask harness` lists them
cargo xtask harness --build       the programs of the harnesses, built and not run
cargo xtask long [STAGE]... [--record]
                                  every harness at its full size; `cargo xtask long --list` lists the stages
cargo xtask seeded [ARGS]         bugs planted one at a time, each to be caught; --check: only the table of bugs
cargo xtask windows ARGS          cargo for Windows by mingw and Wine, such as `windows test --workspace`
cargo xtask windows --setup       only set up what the line above needs
cargo xtask windows --wine10 [--32] ARGS
                                  the same under the Wine 10 of a Debian trixie in target/trixie, which the
                                  first run makes (2 GB, root); --32: as programs of 32 bits
cargo xtask targets [TARGET]...   the tests on 32 bits, musl and arm64; `cargo xtask targets --list` lists the targets
cargo xtask dist [--prefix PREFIX] [--dest FOLDER]
                                  installs the C library below PREFIX (/usr/local), or below FOLDER for a packager
cargo xtask dist zip [FILE]       the command and the C library for Windows, as a zip
cargo xtask bench [--quick] [--plan] [WORD]...
                                  mapvar beside its peers, as ratios and goals; a run without words is recorded
                                  in bench/record; --plan says how long it takes; docs/BENCHMARKS.md
cargo xtask bench charts          draws bench/charts/*.svg from the newest record of a full run

Exit code 77: this machine lacks something that cannot be installed, and the message names it.

CARGO_TARGET_DIR     where everything is built; default: target in the repository
WINEPREFIX           Wine's folder; default: target/wine in the repository
MAPVAR_WINDOWS_STD   rustup, debian, or auto (default: rustup; debian where rustup cannot add the target)
MAPVAR_STEP_LIMIT    the limit of a step of `test`; default: 30m
MAPVAR_STAGE_LIMIT   the limit of a stage of `long`; default: 25m
CI=true, MAPVAR_CI=1 a skipped step that CI requires is a failure
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = process::watch_interrupts().and_then(|()| dispatch(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(what)) => {
            if !what.is_empty() {
                eprintln!("xtask: {what}\n");
            }
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        Err(stop) => {
            eprintln!("xtask: {stop}");
            ExitCode::from(stop.exit_code())
        }
    }
}

fn dispatch(arguments: &[String]) -> Done {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Stop::Usage(String::new()));
    };
    match first.as_str() {
        "test" => test::run(rest),
        "harness" => harness::run(rest),
        "long" => long::run(rest),
        "seeded" => harness::run_seeded(rest),
        "windows" => match rest.split_first() {
            Some((first, rest)) if first == "--wine10" => wine10::run(rest),
            _ => windows::run(rest),
        },
        "targets" => targets::run(rest),
        "dist" => dist::run(rest),
        "bench" => harness::run_bench(rest),
        "--help" | "-h" | "help" => {
            print!("{USAGE}");
            Ok(())
        }
        // One step of `test`, which runs it as a separate process under the watchdog.
        "step" => test::run_step(rest),
        unknown => Err(Stop::Usage(format!("{unknown:?} is no command"))),
    }
}
