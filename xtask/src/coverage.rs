//! Measures which lines and branches of the library the workspace's tests reach. It prints figures,
//! and no figure fails. The runs of the harnesses, which reach more, are not counted. Neither are
//! processes that a test kills, since they never write their counters.

use crate::{
    machine,
    process::{Done, Stop, cargo, command, failed, read_output, run as run_program, run_within},
    repo,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

/// The tests and the simulated memories, which are not counted.
const IGNORED: &str = r"(/tests/|/tests\.rs|crates/engine-sim/)";
const PACKAGES: [&str; 5] = [
    "--package=mapvar-os",
    "--package=mapvar-marshal",
    "--package=mapvar-engine",
    "--package=mapvar-engine-sim",
    "--package=mapvar",
];

/// `cargo xtask harness coverage`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let mut options = vec!["--branch", "--ignore-filename-regex", IGNORED];
    match arguments {
        [] => {}
        [lines] if lines == "--lines" => options.push("--show-missing-lines"),
        _ => return Err(Stop::Usage("coverage: say --lines or nothing".into())),
    }
    let tools = repo::target().join("tools");
    if !tools.join("bin/cargo-llvm-cov").exists() {
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--root"]).arg(&tools);
        run_program(install.arg("cargo-llvm-cov").env_remove("CARGO_TARGET_DIR"))?;
    }
    let llvm = llvm_tools()?;
    let target = repo::target().join("coverage");
    fs::create_dir_all(&target).map_err(failed(target.display()))?;
    let tool = || {
        let mut tool = command(tools.join("bin/cargo-llvm-cov"));
        tool.arg("llvm-cov").current_dir(repo::root());
        // The stable compiler has the option that counts branches, but marks it as unstable.
        tool.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target);
        tool.envs(llvm.iter().map(|(name, path)| (*name, path)));
        tool
    };
    test(&mut tool(), &target.join("tests.log"))?;
    // A process that a test kills may leave half a profile, which is passed over.
    let whole = ["--failure-mode", "all"];
    let table = read_output(tool().arg("report").args(whole).args(options).args(PACKAGES))?;
    print!("{table}");
    print!("{}", figures(&table));
    Ok(())
}

fn test(tool: &mut Command, log: &Path) -> Done {
    let file = File::create(log).map_err(failed(log.display()))?;
    let second = file.try_clone().map_err(failed(log.display()))?;
    tool.args(["test", "--quiet", "--branch"]).args(PACKAGES);
    tool.args(["--lib", "--tests", "--no-report", "--"]);
    // The examples run in processes of their own, and only a run with doctests builds them.
    tool.args(["--skip", "file_reads_what_it_wrote", "--skip", "client_reads_what_server_set"]);
    let done = run_program(tool.stdout(file).stderr(second));
    if done.is_err() {
        let output = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        println!("{}", lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n"));
    }
    done
}

/// Returns the paths of LLVM's tools in the compiler's version: the component of rustup (empty), or
/// else Debian's package.
fn llvm_tools() -> Done<Vec<(&'static str, std::path::PathBuf)>> {
    let tool = machine::sysroot()?
        .join("lib/rustlib")
        .join(machine::host()?)
        .join("bin")
        .join(format!("llvm-cov{}", std::env::consts::EXE_SUFFIX));
    if tool.exists() {
        return Ok(Vec::new());
    }
    let mut rustup = command("rustup");
    rustup.args(["component", "add", "llvm-tools"]);
    if machine::has("rustup") && run_within(&mut rustup, Duration::from_mins(2)).is_ok() {
        return Ok(Vec::new());
    }
    let output = read_output(command("rustc").arg("-vV"))?;
    let version = output.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let version = version.and_then(|it| it.split('.').next()).unwrap_or_default();
    let (cov, profdata) = (format!("llvm-cov-{version}"), format!("llvm-profdata-{version}"));
    machine::need(&cov, &[&format!("llvm-{version}")])?;
    let path = |name: &str| {
        machine::find(name).ok_or_else(|| Stop::Skipped(format!("there is no {name}")))
    };
    Ok(vec![("LLVM_COV", path(&cov)?), ("LLVM_PROFDATA", path(&profdata)?)])
}

/// The number of lines and of missed lines, then the same for branches.
type Counts = [f64; 4];

/// The table's columns are regions, functions, lines and branches; for each it gives the number,
/// the missed number and the reached share.
fn figures(table: &str) -> String {
    let mut sums: BTreeMap<&str, Counts> = BTreeMap::new();
    for line in table.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let number = |column: usize| columns.get(column)?.parse::<f64>().ok();
        let (Some(&file), Some(counts)) =
            (columns.first(), [7, 8, 10, 11].map(number).into_iter().collect::<Option<Vec<_>>>())
        else {
            continue;
        };
        // TOTAL sorts first; it is the only row without a folder.
        let name = if file == "TOTAL" { "" } else { file.split('/').next().unwrap_or(file) };
        for (sum, count) in sums.entry(name).or_default().iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let mut text = String::new();
    for (name, [lines, lines_missed, branches, branches_missed]) in sums {
        let of = if name.is_empty() { String::new() } else { format!(", {name}") };
        for (what, all, missed) in
            [("lines", lines, lines_missed), ("branches", branches, branches_missed)]
        {
            if all > 0.0 {
                let share = 100.0 - 100.0 * missed / all;
                let _ = writeln!(
                    text,
                    "figure: {what} that the tests reach{of} = {share:.2}% of {all}"
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_table() {
        let table = "Filename Regions Missed Cover Functions Missed Executed Lines Missed Cover Branches Missed Cover\n\
            ------\n\
            mapvar/src/a.rs 10 1 90% 4 0 100% 50 10 80.00% 8 2 75.00%\n\
            mapvar/src/b.rs 10 1 90% 4 0 100% 50 0 100.00% 0 0 -\n\
            os/src/c.rs 10 1 90% 4 0 100% 100 0 100.00% 0 0 -\n\
            TOTAL 30 3 90% 12 0 100% 200 10 95.00% 8 2 75.00%\n";
        assert_eq!(
            figures(table),
            "figure: lines that the tests reach = 95.00% of 200\n\
             figure: branches that the tests reach = 75.00% of 8\n\
             figure: lines that the tests reach, mapvar = 90.00% of 100\n\
             figure: branches that the tests reach, mapvar = 75.00% of 8\n\
             figure: lines that the tests reach, os = 100.00% of 100\n"
        );
    }
}
