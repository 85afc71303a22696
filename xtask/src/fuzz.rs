//! The fuzzers: with a victim built with `AddressSanitizer`, and under libFuzzer.

use crate::{
    machine,
    process::{Done, Scratch, Stop, cargo, command, failed, run as run_program, run_within, worse},
    repo,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

pub(crate) const PACKAGE: &str = "mapvar-fuzz";
const HOST: &str = "x86_64-unknown-linux-gnu";
const TARGETS: [&str; 4] = ["bytes", "loads", "sequences", "marshal"];

pub(crate) fn run(program: &mut Command, arguments: &[String]) -> Done {
    if let Some(victim) = build_victim()? {
        program.arg("--victim").arg(victim);
    }
    // The folder is in memory, and is removed however the run ends.
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let folder = Scratch::below(&base)?;
    program.env("MAPVAR_FUZZ_FOLDER", folder.path());
    run_program(program.args(arguments))
}

/// Builds the program with `AddressSanitizer`, if the toolchain has it. It is the victim: a peer
/// scribbles over its map.
pub(crate) fn build_victim() -> Done<Option<PathBuf>> {
    let host = machine::host()?;
    let runtime =
        machine::sysroot()?.join("lib/rustlib").join(&host).join("lib/librustc-stable_rt.asan.a");
    if host != HOST || !runtime.exists() {
        println!("AddressSanitizer SKIPPED: this toolchain has none for {host}");
        return Ok(None);
    }
    let mut cargo = cargo();
    cargo
        .args(["build", "--quiet", "--locked", "--profile", "checked", "--package", PACKAGE])
        // The flags apply to this target only, and its builds have a folder of its name.
        .args(["--target", HOST, "--manifest-path"])
        .arg(repo::harness_manifest())
        .env("CARGO_TARGET_DIR", repo::harness_target())
        // The stable compiler includes the sanitizer's runtime; its option is not stable yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address --cfg sanitized");
    run_program(&mut cargo)?;
    Ok(Some(repo::harness_target().join(HOST).join("checked").join(PACKAGE)))
}

/// Runs the same targets under libFuzzer, which follows coverage, for long runs. Failing inputs are
/// stored in `target/fuzz-libfuzzer/artifacts`.
pub(crate) fn run_libfuzzer(arguments: &[String]) -> Done {
    let mut words = arguments;
    let mut minutes = 10;
    if let Some((first, rest)) = arguments.split_first()
        && let Ok(number) = first.parse::<u64>()
    {
        (minutes, words) = (number, rest);
    }
    if machine::host()? != HOST {
        return Err(Stop::Skipped(format!("libFuzzer is used on {HOST} alone")));
    }
    // libFuzzer is written in C++.
    machine::need("g++", &["g++"])?;
    let out = repo::target().join("fuzz-libfuzzer");
    // The compiler flags of cargo-fuzz, in a form that a stable compiler takes.
    let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--locked", "--profile", "checked", "--package", PACKAGE]);
    cargo.args(["--features", "libfuzzer", "--target", HOST, "--manifest-path"]);
    cargo.arg(repo::harness_manifest()).env("CARGO_TARGET_DIR", &out).env("RUSTFLAGS", flags);
    for name in TARGETS {
        cargo.arg("--bin").arg(format!("libfuzzer-{name}"));
    }
    run_program(&mut cargo)?;

    let wanted =
        |name: &&str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let names: Vec<&str> = TARGETS.into_iter().filter(wanted).collect();
    if names.is_empty() {
        return Err(Stop::Usage(format!("fuzz: no target is called {}", words.join(" or "))));
    }
    let seconds = minutes * 60 / names.len() as u64;
    let mut done = Ok(());
    for name in names {
        done = worse(done, run_target(&out, name, seconds));
        if matches!(done, Err(Stop::Interrupted)) {
            break;
        }
    }
    done
}

fn run_target(out: &Path, name: &str, seconds: u64) -> Done {
    let corpus = out.join("corpus").join(name);
    let artifacts = out.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(failed(folder.display()))?;
    }
    let log = out.join(format!("{name}.log"));
    let file = fs::File::create(&log).map_err(failed(log.display()))?;
    let mut target = command(out.join(HOST).join("checked").join(format!("libfuzzer-{name}")));
    target
        .arg(corpus)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=30", "-rss_limit_mb=4096", "-malloc_limit_mb=64", "-max_len=512"])
        .args(["-print_final_stats=1", "-verbosity=0"])
        .stdin(Stdio::null())
        .stderr(file);
    let done = run_within(&mut target, Duration::from_secs(seconds + 300));
    let output = fs::read_to_string(&log).unwrap_or_default();
    let noise = ["INFO", "WARNING", "#####", "\"", " NEW_FUNC", "\tNEW_FUNC"];
    for line in output.lines().filter(|line| !noise.iter().any(|it| line.starts_with(it))) {
        println!("{line}");
    }
    let executions =
        output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executions = executions.map_or("none", str::trim);
    println!("figure: fuzz under libFuzzer, {name} = {executions} executions in {seconds} s");
    done
}
