//! cargo for Windows, whose programs run under Wine 10. That is Debian trixie's, in a folder that
//! `ci/trixie` makes. Wine 10 has what Windows 10 has and Wine 8 lacks (placeholders), and runs
//! programs of 32 bits too.

use crate::{
    process::{Done, Stop, command, failed, run as run_program, run_within, worse},
    repo::{self, FEATURES},
    windows::{self, Bits, Library},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Runs `cargo xtask windows --wine10`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let (bits, rest) = match arguments.split_first() {
        Some((first, rest)) if first == "--32" => (Bits::Of32, rest),
        _ => (Bits::Of64, arguments),
    };
    if rest.is_empty() {
        return Err(Stop::Usage("windows --wine10: say what cargo is to do, or --setup".into()));
    }
    let wine = Wine::set_up()?;
    if rest.first().is_some_and(|it| it == "--setup") {
        return wine.run(command("wine").arg("--version"));
    }
    wine.cargo(bits, rest)
}

/// Runs a short part of the tests, where the folder is there: the contract of the system's layer,
/// and the library's second processes, by 64 and by 32 bits.
pub(crate) fn test_shortly() -> Done {
    let wine = Wine::if_there()?;
    let os: &[&str] = &["test", "-p", "mapvar-os", "--lib", "--test", "contract"];
    let mapvar: &[&str] = &["test", "-p", "mapvar", "--test", "processes"];
    both(|bits| {
        let mut done = Ok(());
        for words in [os, mapvar] {
            let words: Vec<String> =
                words.iter().chain(&["--no-fail-fast", FEATURES]).map(|&it| it.into()).collect();
            match wine.cargo(bits, &words) {
                Err(Stop::Interrupted) => return Err(Stop::Interrupted),
                other => done = worse(done, other),
            }
        }
        done
    })
}

/// Runs all tests of the packages that 32-bit programs use, by 64 and by 32 bits.
pub(crate) fn test_all() -> Done {
    let wine = Wine::set_up()?;
    both(|bits| test_all_by(&wine, bits))
}

/// Runs something for both widths, and the second one after a failure of the first one.
fn both(run: impl Fn(Bits) -> Done) -> Done {
    match run(Bits::Of64) {
        Err(Stop::Interrupted) => Err(Stop::Interrupted),
        done => worse(done, run(Bits::Of32)),
    }
}

pub(crate) fn test_all_by(wine: &Wine, bits: Bits) -> Done {
    // One test runs the examples, which cargo does not build for it.
    let examples = ["build", "-p", "mapvar", "--examples", FEATURES];
    wine.cargo(bits, &examples.map(String::from))?;
    let mut words = vec!["test", "--no-fail-fast", "--lib", "--bins", "--tests", FEATURES];
    for package in TESTED {
        words.extend(["-p", package]);
    }
    wine.cargo(bits, &words.into_iter().map(String::from).collect::<Vec<_>>())
}

/// The packages that programs of 32 bits use, and the engine's tests.
pub(crate) const TESTED: [&str; 6] =
    ["mapvar-os", "mapvar-marshal", "mapvar-engine", "mapvar-engine-sim", "mapvar", "mapvar-c"];

/// Wine 10, ready to run programs.
#[derive(Debug)]
pub(crate) struct Wine(());

impl Wine {
    /// Makes the folder, and Wine's own in it, unless they are there.
    pub(crate) fn set_up() -> Done<Self> {
        if cfg!(not(target_os = "linux")) {
            return Err(Stop::Skipped("Wine 10 is set up on Linux alone".into()));
        }
        run_program(script().arg("make").arg(folder()))?;
        let wine = Self(());
        let ready = prefix().join(".mapvar-ready");
        if !ready.exists() {
            fs::create_dir_all(prefix()).map_err(failed(prefix().display()))?;
            eprintln!("making a prefix of Wine 10 in {}", prefix().display());
            let mut boot = wine.enter();
            boot.args(["sh", "-c", "\"$@\" wineboot -i && \"$@\" wineserver -w", "sh"]);
            boot.arg(script_path()).arg("run").arg(folder());
            boot.env("WINEDLLOVERRIDES", windows::LEFT_OUT);
            windows::in_prefix(&mut boot, &prefix());
            run_within(&mut boot, Duration::from_mins(10))?;
            fs::write(&ready, "").map_err(failed(ready.display()))?;
        }
        Ok(wine)
    }

    pub(crate) fn if_there() -> Done<Self> {
        if folder().join(".mapvar-ready").exists() {
            Self::set_up()
        } else {
            let what =
                "there is no Wine 10; `cargo xtask windows --wine10 --setup` makes it, as root";
            Err(Stop::Skipped(what.into()))
        }
    }

    /// Runs cargo, whose programs run under Wine.
    fn cargo(&self, bits: Bits, words: &[String]) -> Done {
        let library = Library::set_up(bits)?;
        let runner = format!("{} run {} wine", script_path().display(), folder().display());
        let mut cargo = library.cargo(repo::target(), bits, &runner);
        cargo.args(words);
        if bits == Bits::Of32 {
            // A backtrace ends the process, without the message: Wine's `dbghelp` faults when it
            // reads the debug information of a 32-bit program.
            cargo.env("RUST_BACKTRACE", "0");
        }
        let mut inside = self.enter();
        inside.arg(cargo.get_program()).args(cargo.get_args());
        for (name, value) in cargo.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        windows::in_prefix(&mut inside, &prefix());
        run_program(&mut inside)
    }

    /// Builds programs for Windows, without Wine; returns the folder of those of a profile.
    pub(crate) fn build(
        bits: Bits,
        target: &Path,
        profile: &str,
        words: &[String],
    ) -> Done<PathBuf> {
        let library = Library::set_up(bits)?;
        let mut cargo = library.cargo(target, bits, "wine");
        run_program(cargo.args(words).current_dir(repo::root()))?;
        Ok(library.folder(target).join(bits.target()).join(profile))
    }

    /// Runs a program of the folder.
    pub(crate) fn run(&self, program: &Command) -> Done {
        let mut inside = self.enter();
        inside.arg(script_path()).arg("run").arg(folder());
        inside.arg(program.get_program()).args(program.get_args());
        windows::in_prefix(&mut inside, &prefix());
        run_program(&mut inside)
    }

    /// Returns a command that runs the program of its further arguments, while the folder has its
    /// mounts.
    #[allow(clippy::unused_self, reason = "the folder is there if there is a value")]
    fn enter(&self) -> Command {
        let mut enter = script();
        enter.arg("enter").arg(folder()).arg(repo::root()).arg(repo::target()).arg("--");
        enter
    }
}

fn folder() -> PathBuf {
    repo::target().join("trixie")
}

fn prefix() -> PathBuf {
    repo::target().join("wine10")
}

fn script_path() -> PathBuf {
    repo::root().join("ci/trixie")
}

fn script() -> Command {
    let mut script = command(script_path());
    if !std::env::current_dir().is_ok_and(|folder| folder.starts_with(repo::root())) {
        script.current_dir(repo::root());
    }
    script
}
