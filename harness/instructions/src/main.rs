//! Counts the instructions of the library's operations by valgrind's callgrind. A count does not
//! depend on how busy the machine is, so a test can hold it.
//!
//! `cargo xtask harness instructions [--write]`. A count that is more than 5 % above the recorded one
//! fails; `--write` records the counts in `harness/instructions/counts.txt`.

mod operations;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The runs whose difference is the cost of the operations alone, without the start of the process.
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

/// By how many percent a count may grow.
const MARGIN: u64 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["run", name, times] => times
            .parse()
            .map_err(Into::into)
            .and_then(|times| operations::run(name, times))
            .map(|()| true),
        [] | ["--short"] if !cfg!(target_arch = "x86_64") => {
            eprintln!("skipped: the recorded counts are of x86-64");
            return ExitCode::from(mapvar_harness::SKIPPED);
        }
        [] | ["--short"] => compare(),
        ["--write"] => record().map(|()| true),
        _ => Err("[--write]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

fn counts_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

/// Returns how many instructions one operation takes.
fn count(name: &str) -> Result<u64> {
    let instructions = |times: u64| -> Result<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["run", name, &times.to_string()])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
        match collected.map(|number| number.trim().parse()) {
            Some(Ok(number)) if output.status.success() => Ok(number),
            _ => Err(format!("valgrind counted nothing: {said}").into()),
        }
    };
    Ok((instructions(MANY)?.saturating_sub(instructions(FEW)?)) / (MANY - FEW))
}

fn recorded() -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(counts_file())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once('=').ok_or_else(|| format!("no count: {line}"))?;
            Ok((name.trim().to_owned(), count.trim().parse()?))
        })
        .collect()
}

fn compare() -> Result<bool> {
    let recorded = recorded()?;
    let mut grown = 0;
    for operation in operations::ALL {
        let (name, now) = (operation.name, count(operation.name)?);
        let before = recorded.get(name).copied();
        let verdict = match before {
            None => "has no recorded count: --write",
            Some(before) if now * 100 > before * (100 + MARGIN) => "GREW",
            Some(before) if now * 100 < before * (100 - MARGIN) => "shrank: --write",
            Some(_) => "as recorded",
        };
        grown += u32::from(before.is_none() || verdict == "GREW");
        println!("{name:<24} {now:>6} (recorded {:>6}) {verdict}", before.unwrap_or_default());
    }
    println!(
        "figure: instructions, operations whose count grew by more than {MARGIN} % = {grown} of {} (goal 0)",
        operations::ALL.len()
    );
    Ok(grown == 0)
}

fn record() -> Result<()> {
    let mut text = String::from(
        "# Instructions of one operation, loop included, on x86-64; a transaction or snapshot of 10 by the\n\
         # variable. `cargo xtask harness instructions --write` writes this file.\n",
    );
    for operation in operations::ALL {
        let count = count(operation.name)?;
        println!("{:<24} {count:>6}", operation.name);
        writeln!(text, "{} = {count}", operation.name)?;
    }
    fs::write(counts_file(), text)?;
    Ok(())
}
