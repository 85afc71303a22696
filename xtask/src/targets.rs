//! The tests on targets that the test command only checks or leaves out: Linux of 32 bits, musl,
//! arm64 under qemu, and Windows of 32 bits under Wine 10. Where this machine cannot run a target,
//! it is skipped, with the reason.

use crate::{
    harness, machine,
    process::{Done, Stop, cargo, command, run as run_program, worse},
    repo::{self, FEATURES, harness_target},
    windows::Bits,
    wine10::{self, TESTED, Wine},
};
use std::{path::Path, process::Command};

#[derive(Debug)]
struct Target {
    name: &'static str,
    run: fn() -> Done,
    about: &'static str,
}

const TABLE: &[Target] = &[
    Target {
        name: "i686-linux",
        run: i686_linux,
        about: "Linux of 32 bits, and processes of 32 and 64 bits on one map",
    },
    Target {
        name: "i686-windows",
        run: i686_windows,
        about: "Windows of 32 bits under Wine 10, and both widths on one map; takes root",
    },
    Target { name: "musl", run: musl, about: "Linux x86-64 with musl" },
    Target { name: "aarch64", run: aarch64, about: "Linux arm64 (musl) under qemu-user" },
];

/// Runs `cargo xtask targets`.
pub(crate) fn run(arguments: &[String]) -> Done {
    if arguments.iter().any(|it| it == "--list") {
        for Target { name, about, .. } in TABLE {
            println!("{name:14} {about}");
        }
        return Ok(());
    }
    if let Some(word) = arguments.iter().find(|it| TABLE.iter().all(|target| target.name != **it)) {
        return Err(Stop::Usage(format!("targets: no target {word:?}; --list lists them")));
    }
    let mut done = Ok(());
    for Target { name, run, about } in TABLE {
        if !arguments.is_empty() && !arguments.iter().any(|it| it == name) {
            continue;
        }
        println!("\n=== {name}: {about}");
        let ended = run();
        match &ended {
            Ok(()) => println!("--- {name}: passed"),
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(stop) => println!("--- {name}: {stop}"),
        }
        done = worse(done, ended);
    }
    done
}

// --- Linux of 32 bits ----------------------------------------------------------------------------

const I686: &str = "i686-unknown-linux-gnu";

fn i686_linux() -> Done {
    need_linux("x86_64")?;
    need_target(I686)?;
    machine::need("i686-linux-gnu-gcc", &["gcc-i686-linux-gnu", "libc6-dev-i386-cross"])?;
    // The loader and the libraries of 32-bit programs.
    let there = || Path::new("/lib/ld-linux.so.2").exists() && has_libgcc();
    if !there() {
        machine::install(&["libc6-i386", "lib32gcc-s1"])?;
    }
    if !there() {
        return Err(Stop::Skipped("there are no libraries for programs of 32 bits".into()));
    }
    let cargo = || {
        let mut cargo = cargo_for(I686);
        cargo.env("CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER", "i686-linux-gnu-gcc");
        cargo
    };
    test(cargo, &TESTED, &[])?;
    let other = harness_target().join(I686).join("release/mapvar-stress");
    let mut build = cargo();
    harness::run_mixed(
        |arguments| run_program(build.args(arguments).env("CARGO_TARGET_DIR", harness_target())),
        &other,
    )
}

fn has_libgcc() -> bool {
    ["/usr/lib32", "/lib32", "/usr/lib/i386-linux-gnu", "/lib/i386-linux-gnu"]
        .iter()
        .any(|folder| Path::new(folder).join("libgcc_s.so.1").exists())
}

// --- Windows of 32 bits --------------------------------------------------------------------------

fn i686_windows() -> Done {
    let wine = Wine::set_up()?;
    wine10::test_all_by(&wine, Bits::Of32)?;
    harness::run_mixed_in_wine(&wine)
}

// --- musl ----------------------------------------------------------------------------------------

const MUSL: &str = "x86_64-unknown-linux-musl";

fn musl() -> Done {
    need_linux("x86_64")?;
    need_target(MUSL)?;
    machine::need("cc", &["gcc", "libc6-dev"])?;
    // No C interface: musl's programs are linked statically, and its tests load a shared library.
    let packages = ["mapvar-os", "mapvar-marshal", "mapvar-engine", "mapvar-engine-sim", "mapvar"];
    test(|| cargo_for(MUSL), &packages, &[])
}

// --- arm64 ---------------------------------------------------------------------------------------

const AARCH64: &str = "aarch64-unknown-linux-musl";

fn aarch64() -> Done {
    need_linux("x86_64")?;
    need_target(AARCH64)?;
    machine::need("qemu-aarch64", &["qemu-user"])?;
    let enter = repo::root().join("ci/arm64");
    if let Err(stop) = run_program(command(&enter).arg("true")) {
        return Err(match stop {
            Stop::Failed(what) => Stop::Skipped(format!("programs for arm64 do not start: {what}")),
            stop => stop,
        });
    }
    let cargo = || {
        let mut inside = command(&enter);
        inside.arg("cargo").current_dir(repo::root()).env("CARGO_BUILD_TARGET", AARCH64);
        // Rust's own linker needs no C compiler for arm64, since musl comes with the target.
        inside.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
        inside
    };
    test(cargo, &["mapvar-marshal", "mapvar-engine", "mapvar-engine-sim"], &[])?;
    println!("SKIPPED, because qemu-user has neither robust lists nor seccomp:");
    let mut rest = vec!["--exact"];
    for name in NOT_IN_QEMU {
        println!("    {name}");
        rest.extend(["--skip", name]);
    }
    test(cargo, &["mapvar-os"], &rest)
}

/// Tests of mapvar-os that take locks, which survive their owner by the kernel's robust lists; one
/// that forbids a system call by seccomp.
const NOT_IN_QEMU: &[&str] = &[
    "a_child_of_fork_is_not_bound_by_the_locks_of_its_parents_threads",
    "a_fault_leaves_errno_as_it_was",
    "a_forged_owner_costs_time_and_no_more",
    "a_living_owner_keeps_its_lock",
    "a_lock_lets_one_in_at_a_time_of_threads_and_processes",
    "a_lock_word_out_of_place_is_refused",
    "a_mark_is_answered_and_its_end_lets_waiters_in",
    "a_thread_that_is_ending_can_lock",
    "a_view_under_a_lock_stays_mapped_until_the_thread_has_ended",
    "a_view_under_a_lock_stays_mapped_until_the_thread_has_unlocked",
    "a_wake_word_moves_on",
    "every_kind_of_access_survives",
    "of_many_waiters_one_recovers_and_all_go_on",
    "the_kernel_writes_to_no_memory_that_took_the_place_of_a_view",
    "the_lock_of_a_killed_holder_is_recovered_and_others_go_on",
    "the_lock_of_a_thread_that_ended_is_recovered",
    "unix::a_child_after_fork_takes_nothing_from_its_parent",
    "unix::a_view_that_is_dropped_under_a_lock_does_not_lose_it",
];

// --- Common parts --------------------------------------------------------------------------------

fn need_linux(arch: &str) -> Done {
    if cfg!(target_os = "linux") && std::env::consts::ARCH == arch {
        Ok(())
    } else {
        Err(Stop::Skipped(format!("this takes Linux on {arch}")))
    }
}

fn need_target(target: &str) -> Done {
    if machine::add_target(target)? {
        Ok(())
    } else {
        Err(Stop::Skipped(format!("no standard library for {target} can be had here")))
    }
}

fn cargo_for(target: &str) -> Command {
    let mut cargo = cargo();
    cargo.current_dir(repo::root()).env("CARGO_BUILD_TARGET", target);
    cargo
}

/// Runs the tests of some packages; `rest` goes to the test programs.
fn test(mut cargo: impl FnMut() -> Command, packages: &[&str], rest: &[&str]) -> Done {
    // One test runs the examples, which cargo does not build for it.
    if packages.contains(&"mapvar") {
        run_program(cargo().args(["build", "-p", "mapvar", "--examples", FEATURES]))?;
    }
    let mut tests = cargo();
    tests.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests", FEATURES]);
    for package in packages {
        tests.args(["-p", package]);
    }
    run_program(tests.arg("--").args(rest))
}
