//! Everything that a change must pass: `cargo xtask test`, and its first part for contributors,
//! `--quick`.

mod steps;

use crate::{
    machine,
    process::{Done, Stop, cargo, command, run as run_program, succeeds},
    repo::{self, FEATURES, PRODUCT},
    windows, wine10,
};
use std::{path::Path, process::Command};
use steps::{May, Steps};

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Includes the tests of the product's layers and modules, which read only its sources.
const OF_XTASK: &str = "Tests of xtask, layers, modules";

/// Targets that no other step builds for, each with its C compiler, which the bridge needs.
const CHECKED_TARGETS: [(&str, &str); 4] = [
    ("x86_64-pc-windows-msvc", "cl"),
    ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc"),
    ("aarch64-apple-darwin", "xcrun"),
    ("i686-unknown-linux-gnu", "i686-linux-gnu-gcc"),
];

/// Harnesses that can find something in a few seconds; `cargo xtask long` runs all of them at their
/// full size.
const SHORT_HARNESSES: [&str; 17] = [
    "bindings",
    "loom",
    "kill",
    "histories",
    "instructions",
    "waits",
    "every-instruction",
    "power",
    "disks",
    "fuzz",
    "marshal",
    "full",
    "soak",
    "others",
    "reuse",
    "gem",
    "bridge",
];

/// Runs `cargo xtask test`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let quick = match arguments {
        [] => false,
        [word] if word == "--quick" => true,
        _ => return Err(Stop::Usage("test: say --quick or nothing".into())),
    };
    let mut steps = Steps::new()?;
    steps.step("Set-up", May::BeSkipped, &mut step("set-up", &[]))?;
    steps.step("Format", May::BeSkipped, cargo_here().args(["fmt", "--all", "--check"]))?;
    steps.step(
        "Clippy",
        May::BeSkipped,
        cargo_here().args(["clippy", "--workspace", "--all-targets", FEATURES]).args(DENY_WARNINGS),
    )?;
    if quick {
        let mut unit_tests = tests();
        unit_tests.args(PRODUCT).args([FEATURES, "--lib", "--bins"]);
        steps.step("Unit tests", May::BeSkipped, &mut unit_tests)?;
        steps.step(OF_XTASK, May::BeSkipped, tests().args(["--package", "xtask"]))?;
        return steps.finish();
    }
    // Users get the features that they ask for, and not all of them.
    let mut plain = cargo_here();
    plain.args(["clippy", "-p", "mapvar", "--tests"]);
    steps.step("Clippy without features", May::BeSkipped, plain.args(DENY_WARNINGS))?;
    steps.step("Tests", May::BeSkipped, tests().args(PRODUCT).arg(FEATURES))?;
    steps.step(OF_XTASK, May::BeSkipped, tests().args(["--package", "xtask"]))?;
    let mut plain = cargo_here();
    plain.args(["test", "-p", "mapvar", "--test", "no_gem"]);
    steps.step("Tests without features", May::BeSkipped, &mut plain)?;
    test_documents(&mut steps)?;
    let wine = cfg!(target_os = "linux").then(windows::prefix);
    // A Wine server that was running before must keep running.
    let wine = wine.filter(|prefix| !windows::has_server(prefix));
    let done = test_other_systems(&mut steps).and_then(|()| test_harnesses(&mut steps));
    if let Some(prefix) = wine {
        windows::end_server(&prefix);
    }
    done?;
    steps.finish()
}

/// Runs `cargo xtask step`: the steps that are not plain cargo commands.
pub(crate) fn run_step(arguments: &[String]) -> Done {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["set-up"] => set_up(),
        ["check", target] => check_for(target),
        ["wine10"] => wine10::test_shortly(),
        ["wine10-all"] => wine10::test_all(),
        ["check-bench"] => check_bench(),
        _ => Err(Stop::Usage("step: a part of `test`".into())),
    }
}

fn step(name: &str, arguments: &[&str]) -> Command {
    let mut step = machine::itself();
    step.args(["step", name]).args(arguments);
    step
}

fn cargo_here() -> Command {
    let mut cargo = cargo();
    cargo.current_dir(repo::root());
    if machine::is_ci() {
        // In CI a clone is built once, so incremental files would only double the disk use.
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Returns the command that runs tests. cargo-nextest runs them in parallel, each in a process of
/// its own, but no examples of the documentation.
fn tests() -> Command {
    let mut cargo = cargo_here();
    if machine::has_nextest() {
        cargo.args(["nextest", "run"]);
    } else {
        cargo.arg("test");
    }
    cargo.arg("--no-fail-fast");
    cargo
}

fn test_documents(steps: &mut Steps) -> Done {
    // Without nextest the previous step has run these.
    if machine::has_nextest() {
        let mut examples = cargo_here();
        examples.args(["test", "--doc", "--no-fail-fast", FEATURES]).args(PRODUCT);
        steps.step("Tests in the documentation", May::BeSkipped, &mut examples)?;
    }
    let mut pages = cargo_here();
    pages.args(["doc", "--no-deps", "--workspace", FEATURES]);
    steps.step("Documentation", May::BeSkipped, pages.env("RUSTDOCFLAGS", "-D warnings"))
}

fn test_other_systems(steps: &mut Steps) -> Done {
    let leg = |name: &str| {
        let mut leg = machine::itself();
        leg.args(["harness", "c", name]);
        leg
    };
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    for (title, arguments) in [
        ("Windows: set-up of mingw and Wine", &["--setup"][..]),
        (
            "Windows: clippy",
            &["clippy", "--workspace", "--all-targets", FEATURES, "--", "-D", "warnings"],
        ),
        // Without doctests cargo builds no examples by itself, but one test runs them.
        (
            "Windows: examples",
            &["build", "--workspace", "--exclude", "xtask", "--examples", FEATURES],
        ),
        (
            "Windows: tests under Wine",
            &[
                "test",
                "--workspace",
                "--exclude",
                "xtask",
                "--no-fail-fast",
                "--lib",
                "--bins",
                "--tests",
                FEATURES,
            ],
        ),
    ] {
        let mut windows = machine::itself();
        windows.arg("windows").args(arguments);
        steps.step(title, May::NotBeSkipped, &mut windows)?;
    }
    steps.step("Windows: tests under Wine 10, short", May::BeSkipped, &mut step("wine10", &[]))?;
    for (target, _) in CHECKED_TARGETS {
        let title = format!("Check for {target}");
        steps.step(&title, May::BeSkipped, &mut step("check", &[target]))?;
    }
    steps.step("C interface, on Linux", May::BeSkipped, &mut leg("linux"))?;
    steps.step("C interface, under Wine", May::NotBeSkipped, &mut leg("windows"))
}

fn test_harnesses(steps: &mut Steps) -> Done {
    let manifest = repo::harness_manifest();
    let of_harnesses = |words: &[&str]| {
        let mut cargo = cargo_here();
        cargo.args(words).arg("--manifest-path").arg(&manifest);
        cargo.env("CARGO_TARGET_DIR", repo::harness_target());
        cargo
    };
    let xtask = |words: &[&str]| {
        let mut xtask = machine::itself();
        xtask.args(words);
        xtask
    };
    let mut format = of_harnesses(&["fmt", "--all", "--check"]);
    steps.step("Harnesses: format", May::BeSkipped, &mut format)?;
    steps.step(
        "Harnesses: clippy",
        May::BeSkipped,
        of_harnesses(&["clippy", "--workspace", "--all-targets", "--locked"]).args(DENY_WARNINGS),
    )?;
    steps.step("Seeded bugs: check", May::BeSkipped, &mut xtask(&["seeded", "--check"]))?;
    steps.step("Harnesses: build", May::BeSkipped, &mut xtask(&["harness", "--build"]))?;
    for name in SHORT_HARNESSES {
        let title = format!("Harness {name}, short");
        steps.step(&title, May::BeSkipped, &mut xtask(&["harness", name, "--short"]))?;
    }
    steps.step("Bench: check", May::BeSkipped, &mut step("check-bench", &[]))
}

fn set_up() -> Done {
    if cfg!(target_os = "linux") {
        // A test counts system calls by strace (docs/INVARIANTS.md, I21), and reports it if strace
        // is missing.
        if let Err(Stop::Skipped(why)) = machine::need("strace", &["strace"]) {
            println!("{why}");
        }
    }
    if machine::has("rustup") {
        for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
            if !succeeds(cargo_here().args([tool, "--version"])) {
                run_program(command("rustup").args(["component", "add", component]))?;
            }
        }
    }
    run_program(cargo_here().arg("--version"))?;
    run_program(cargo_here().args(["clippy", "--version"]))?;
    if !machine::has_nextest() {
        println!("no cargo-nextest: cargo test runs the tests");
    }
    // This fails if Cargo.lock does not match the manifests.
    run_program(cargo_here().args(["fetch", "--locked"]))
}

fn check_for(target: &str) -> Done {
    if !machine::add_target(target)? {
        return Err(Stop::Skipped(format!("no standard library for {target} can be had here")));
    }
    let mut cargo = cargo_here();
    cargo.args(["check", "--workspace", "--lib", "--bins", "--tests", FEATURES]);
    let compiler = CHECKED_TARGETS.iter().find(|(checked, _)| *checked == target);
    if let Some((_, compiler)) = compiler.filter(|(_, compiler)| !machine::has(compiler)) {
        println!(
            "mapvar-bridge is NOT CHECKED for {target}: ring, on which its TLS stands, needs {compiler}"
        );
        cargo.args(["--exclude", "mapvar-bridge"]);
    }
    run_program(cargo.args(["--target", target]))
}

fn check_bench() -> Done {
    // bindgen, a dependency of a peer in the bench, reads C headers by libclang.
    if cfg!(target_os = "linux") && !has_libclang() {
        machine::install(&["libclang-dev"])?;
    }
    let manifest = repo::root().join("bench/Cargo.toml");
    run_program(cargo_here().args(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
    let mut cargo = cargo_here();
    cargo.args(["check", "--all-targets", "--locked", "--manifest-path"]).arg(&manifest);
    run_program(cargo.env("CARGO_TARGET_DIR", repo::target().join("bench")))
}

fn has_libclang() -> bool {
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    files(Path::new("/usr/lib")).iter().any(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("llvm-")
            && files(&folder.join("lib")).iter().any(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("libclang") && name.contains(".so")
            })
    })
}
