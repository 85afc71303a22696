//! Runs every harness at its full size, one after the other, in about an hour on two cores, and
//! prints a table of the figures.

use crate::{
    machine,
    process::{Done, End, SKIPPED, Stop, cargo, command, failed, read_output, run_logged},
    repo,
};
use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

#[derive(Debug)]
struct Stage {
    name: &'static str,
    run: Run,
    about: &'static str,
    /// The stage takes long or needs much disk, so it runs only by its name.
    rare: bool,
}

#[derive(Debug)]
enum Run {
    /// A command of this program.
    Xtask(&'static [&'static str]),
    Load(Load),
}

/// The library's test `load`, at its full size.
#[derive(Debug)]
struct Load {
    seconds: u32,
    /// Bytes of the largest ordinary value, and (`huge`) of the one huge value.
    largest: u64,
    huge: u64,
    /// Bytes to which the map grows, and (`most`) its maximum size.
    grow: u64,
    most: u64,
    on: LoadOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoadOn {
    Disk,
    Name,
    NameInWine,
}

const GIB: u64 = 1 << 30;

const fn stage(name: &'static str, words: &'static [&'static str], about: &'static str) -> Stage {
    Stage { name, run: Run::Xtask(words), about, rare: false }
}

const fn load(name: &'static str, load: Load, about: &'static str) -> Stage {
    Stage { name, run: Run::Load(load), about, rare: true }
}

const STAGES: &[Stage] = &[
    stage(
        "kill",
        &["harness", "kill", "100000"],
        "100,000 processes killed, 3,000 more under Wine",
    ),
    stage(
        "recovery",
        &["harness", "kill", "--recovery"],
        "how long a death delays those that wait",
    ),
    stage(
        "histories",
        &["harness", "histories"],
        "10,000 histories by 8 processes, some of them killed, have an order",
    ),
    stage(
        "instructions",
        &["harness", "every-instruction"],
        "the memory after every machine instruction",
    ),
    stage(
        "power",
        &["harness", "power", "--minutes", "8"],
        "8 minutes of power cuts on the engine",
    ),
    stage(
        "disks",
        &["harness", "disks"],
        "2,400 states that power cuts leave of ext4, xfs and btrfs",
    ),
    stage(
        "fuzz",
        &["harness", "fuzz", "10"],
        "10 minutes of hostile bytes, loads, failures, peers",
    ),
    stage(
        "fuzz-marshal",
        &["harness", "fuzz", "5", "marshal"],
        "5 minutes of hostile bytes as Ruby's Marshal",
    ),
    stage("marshal", &["harness", "marshal"], "10,000 values each way beside Ruby's own Marshal"),
    stage("waits", &["harness", "waits"], "locks and watches under kills and stops"),
    stage("waits-wine", &["harness", "waits", "--wine"], "the same under Wine"),
    stage("bindings", &["harness", "bindings"], "the Ruby gem, here and on a Ruby for Windows"),
    stage("full", &["harness", "full"], "full disks, truncation, unbacked pages, limits"),
    stage("loom", &["harness", "loom"], "the engine in every order that its orderings allow"),
    stage("gem", &["harness", "gem"], "a minute beside a stand-in of the gem, and of ours"),
    stage("bridge", &["harness", "bridge"], "10 minutes of faults between three bridged maps"),
    stage("soak", &["harness", "soak", "4"], "64 processes, 5 kills a second, 4 minutes"),
    stage("soak-wine", &["harness", "soak", "2", "--wine"], "8 processes under Wine, 2 minutes"),
    stage("others", &["harness", "others"], "other users, squatted names"),
    stage("others-wine", &["harness", "others", "--wine"], "the same under Wine"),
    stage("reuse", &["harness", "reuse"], "process numbers forced to come back"),
    stage(
        "reuse-wine",
        &["harness", "reuse", "--wine"],
        "process numbers that come back under Wine",
    ),
    stage("wine10", &["step", "wine10-all"], "the tests for Windows under Wine 10, 64 and 32 bits"),
    stage(
        "targets",
        &["targets"],
        "the tests on 32 bits, musl and arm64; 32 and 64 bits on one map",
    ),
    stage("seeded", &["seeded"], "each planted bug, and the harness that catches it"),
    Stage {
        name: "load",
        run: Run::Load(Load {
            seconds: 20,
            largest: 2_000_000,
            huge: GIB,
            grow: 2 * GIB,
            most: 4 * GIB,
            on: LoadOn::Disk,
        }),
        about: "100 threads of 4 processes, values to 1 GiB, growth to 2 GiB",
        rare: false,
    },
    stage("many", &["harness", "many"], "ten million variables in one map"),
    stage(
        "install",
        &["harness", "c", "readme"],
        "the C library installed as its README says; the zip for Windows, and which DLLs it needs",
    ),
    stage("coverage", &["harness", "coverage"], "lines and branches that the tests reach"),
    load(
        "load-huge",
        Load {
            seconds: 30,
            largest: 2_000_000,
            huge: 4 * GIB,
            grow: 8 * GIB,
            most: 14 * GIB,
            on: LoadOn::Disk,
        },
        "the load with values to 4 GiB, growth to 8 GiB; takes 20 GB of disk",
    ),
    load("load-name", by_name(2_000_000, LoadOn::Name), "the load on a map with a name, to 1 GiB"),
    load("load-wine", by_name(1_000_000, LoadOn::NameInWine), "the same under Wine"),
];

const fn by_name(largest: u64, on: LoadOn) -> Load {
    Load { seconds: 20, largest, huge: GIB / 5, grow: GIB - GIB / 50, most: GIB, on }
}

impl Run {
    fn command(&self) -> Command {
        match self {
            Self::Xtask(words) => {
                let mut itself = machine::itself();
                itself.args(*words);
                itself
            }
            Self::Load(load) => load.command(),
        }
    }
}

impl Load {
    fn command(&self) -> Command {
        let mut cargo = if self.on == LoadOn::NameInWine {
            let mut windows = machine::itself();
            windows.arg("windows");
            windows
        } else {
            cargo()
        };
        cargo.args(["test", "--release", "--locked", "-p", "mapvar", "--test", "load"]);
        cargo.args(["--", "--nocapture"]).current_dir(repo::root());
        let on = if self.on == LoadOn::Disk { "MAPVAR_LOAD_ON_DISK" } else { "MAPVAR_LOAD_NAME" };
        cargo.env(on, "1").env("MAPVAR_LOAD_SECONDS", self.seconds.to_string());
        for (name, bytes) in [
            ("MAPVAR_LOAD_LARGEST", self.largest),
            ("MAPVAR_LOAD_HUGE", self.huge),
            ("MAPVAR_LOAD_GROW", self.grow),
            ("MAPVAR_LOAD_MAX", self.most),
        ] {
            cargo.env(name, bytes.to_string());
        }
        cargo
    }
}

/// The results of the stages so far.
#[derive(Debug, Default)]
struct Report {
    rows: String,
    failed: u32,
    missed: u32,
}

/// Runs `cargo xtask long`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let mut record = false;
    let mut names = Vec::new();
    for word in arguments {
        match word.as_str() {
            "--record" => record = true,
            "--list" => {
                for Stage { name, about, rare, .. } in STAGES {
                    println!("{name:14} {about}{}", if *rare { " (only by its name)" } else { "" });
                }
                return Ok(());
            }
            name if STAGES.iter().any(|stage| stage.name == name) => names.push(name),
            name => return Err(Stop::Usage(format!("long: no stage {name:?}"))),
        }
    }
    let wanted = |stage: &&Stage| {
        if names.is_empty() { !stage.rare } else { names.contains(&stage.name) }
    };
    let limit = machine::limit("MAPVAR_STAGE_LIMIT", Duration::from_mins(25))?;
    let logs = repo::target().join("long");
    fs::create_dir_all(&logs).map_err(failed(logs.display()))?;
    let began = Instant::now();
    let mut report = Report::default();
    for stage in STAGES.iter().filter(wanted) {
        report.run(stage, &logs.join(format!("{}.log", stage.name)), limit)?;
    }
    let table = report.table(began.elapsed());
    print!("\n{table}");
    let mut files = vec![logs.join("table.md")];
    if record {
        files.push(record_file()?);
    }
    for file in files {
        fs::write(&file, &table).map_err(failed(file.display()))?;
        println!("written to {}", file.display());
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Stop::Failed(format!("{failed} of the stages"))),
    }
}

impl Report {
    fn run(&mut self, stage: &Stage, log: &PathBuf, limit: Duration) -> Done {
        println!("\n=== {}: {}", stage.name, stage.about);
        let began = Instant::now();
        let mut verdict = match run_logged(&mut stage.run.command(), limit, log)? {
            End::Exited(status) if status.success() => "passed".to_owned(),
            End::Exited(status) if status.code() == Some(SKIPPED.into()) => "SKIPPED".to_owned(),
            End::Exited(status) => {
                self.failed += 1;
                format!("FAILED, {status}")
            }
            End::OutOfTime => {
                self.failed += 1;
                format!("FAILED: ended after {} s", limit.as_secs())
            }
        };
        let seconds = began.elapsed().as_secs();
        let said = fs::read(log).map_err(failed(log.display()))?;
        let said = String::from_utf8_lossy(&said);
        let figures = figures(&said);
        // The output shows parts that were skipped, and figures that missed their goals.
        if said.contains("SKIPPED") && verdict != "SKIPPED" {
            verdict += ", parts of it SKIPPED";
        }
        if figures.iter().any(|(_, figure)| figure.contains("MISSED")) {
            self.missed += 1;
            verdict += ", a goal MISSED";
        }
        let name = stage.name;
        let _ = writeln!(self.rows, "| {name} | {verdict} | {seconds} s |");
        for (what, figure) in figures {
            let _ = writeln!(self.rows, "| {name} | {what} | {figure} |");
        }
        Ok(())
    }

    fn table(&self, took: Duration) -> String {
        let minutes = took.as_secs() / 60;
        let minutes =
            if minutes > 60 { format!("{minutes} (goal 60, MISSED)") } else { minutes.to_string() };
        format!(
            "{}, {}; commit {}; {minutes} min in all; stages failed {}, with a goal missed {}\n\n\
             | stage | what | figure |\n| --- | --- | --- |\n{}",
            today(),
            processor(),
            commit(&["--dirty"]),
            self.failed,
            self.missed,
            self.rows
        )
    }
}

/// Returns the lines `figure: WHAT = FIGURE` of a stage's output.
fn figures(said: &str) -> Vec<(&str, &str)> {
    said.lines()
        .filter_map(|line| line.strip_prefix("figure: "))
        .map(|line| line.split_once(" = ").unwrap_or((line, "")))
        .collect()
}

fn record_file() -> Done<PathBuf> {
    let folder = repo::root().join("docs/results");
    fs::create_dir_all(&folder).map_err(failed(folder.display()))?;
    Ok(folder.join(format!("{}-{}.md", today(), commit(&[]))))
}

fn commit(options: &[&str]) -> String {
    let mut git = command("git");
    git.args(["describe", "--always", "--exclude=*"]).args(options);
    read_output(git.current_dir(repo::root())).map_or("unknown".into(), |it| it.trim().into())
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model);
    format!("{cores} cores, {model}, {}", std::env::consts::OS)
}

fn today() -> String {
    let days = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / 86_400;
    date(days)
}

/// Returns the date that many days after 1970-01-01. Its years begin in March, so that a leap day
/// is the last day of a year.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_786, "2026-11-29"),
            (20_818, "2026-12-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn figures_are_found_among_other_lines() {
        let said = "seed 7\nfigure: a wake, p99 = 20 µs (goal 50)\nno figure: x\nfigure: y";
        assert_eq!(figures(said), [("a wake, p99", "20 µs (goal 50)"), ("y", "")]);
    }

    #[test]
    fn each_stage_has_a_name_of_its_own() {
        for (at, stage) in STAGES.iter().enumerate() {
            assert!(STAGES.iter().skip(at + 1).all(|other| other.name != stage.name));
        }
    }
}
