//! Plants the bugs of `mutants` in a scratch tree, chooses one at a time, and checks that the
//! harness named in `bugs.txt` catches it. `cargo xtask seeded` runs it.

mod mutants;
mod places;
mod suite;
mod table;
mod run;
mod tree;

use clap::{Parser, value_parser};
use mutants::Mutants;
use places::Places;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use suite::{Job, Programs};
use table::Bug;

/// The goal for the number of bugs.
const GOAL: usize = 40;
/// The time within which each bug should be caught on an otherwise idle machine: a figure, not a
/// verdict.
const SOON: Duration = Duration::from_mins(1);

/// Plants bugs in a scratch tree: `cargo xtask seeded`
#[derive(Debug, Parser)]
struct Options {
    /// Only bugs with one of these words in their name or command
    words: Vec<String>,
    /// Run a handful, with the quickest harnesses
    #[arg(long)]
    short: bool,
    /// Number of runs of each bug
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    times: u32,
    /// Number of runs at a time (one for each processor)
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Only check that snippets, product and table fit
    #[arg(long)]
    check: bool,
    /// Only make the scratch tree, for a bug by hand
    #[arg(long)]
    tree: bool,
    /// Also print the lines of each run that report a failure
    #[arg(long)]
    show: bool,
}

impl Options {
    fn jobs(&self) -> usize {
        self.jobs.or(thread::available_parallelism().ok()).map_or(1, usize::from)
    }

    fn wants(&self, bug: &Bug) -> bool {
        let has = |word: &String| bug.name.contains(word) || bug.command.contains(word);
        (bug.short || !self.short) && (self.words.is_empty() || self.words.iter().any(has))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let places = match Places::new() {
        Ok(places) => Arc::new(places),
        Err(error) => {
            eprintln!("seeded: no temporary folder: {error}");
            return ExitCode::FAILURE;
        }
    };
    let of_handler = Arc::clone(&places);
    let handled = ctrlc::set_handler(move || {
        run::end_all();
        of_handler.remove();
        std::process::exit(130);
    });
    if let Err(error) = handled {
        eprintln!("seeded: Ctrl-C will leave folders behind: {error}");
    }
    let done = go(&options, &places);
    places.remove();
    match done {
        Ok(code) => code,
        Err(what) => {
            eprintln!("seeded: {what}");
            ExitCode::FAILURE
        }
    }
}

fn go(options: &Options, places: &Places) -> Result<ExitCode, String> {
    // The folder of the sources: the harnesses are built from them anyway.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = folder.join("../..").canonicalize().map_err(|error| error.to_string())?;
    let all = table::read(&folder.join("bugs.txt"))?;
    let mutants = Mutants::read(&root, &folder.join("mutants"))?;
    let misfits = table::misfits(&root, &all, &mutants);
    for misfit in &misfits {
        println!("MISFIT: {misfit}");
    }
    let names: BTreeSet<_> = all.iter().map(|bug| &bug.name).collect();
    println!("{} bugs in {} lines of the table, {} misfits", names.len(), all.len(), misfits.len());
    if options.check || !mutants.misfits.is_empty() {
        return Ok(if misfits.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let tree = target().join("tree");
    tree::lay_out(&root, &mutants, &tree)?;
    if options.tree {
        println!("{}", tree.display());
        return Ok(ExitCode::SUCCESS);
    }

    let bugs: Vec<Bug> = all.into_iter().filter(|bug| options.wants(bug)).collect();
    if bugs.is_empty() {
        return Err("no bug has such a word".into());
    }
    let mut jobs = Vec::new();
    for command in bugs.iter().map(|bug| &bug.command).collect::<BTreeSet<_>>() {
        jobs.push(Job::parse(command)?);
    }
    let programs = Programs::build(&tree, jobs.iter().map(|job| job.suite.clone()));
    for failed in &programs.failed {
        println!("FAILED: {failed}");
    }
    let outputs = target().join("seeded-output");
    std::fs::create_dir_all(&outputs).map_err(|error| error.to_string())?;
    let bench = Bench { options, places, programs: &programs, outputs: &outputs };
    let began = Instant::now();

    // Without a bug first: otherwise a failure would prove nothing.
    let baselines = bench.baselines(&jobs);
    let (skipped, run): (Vec<&Bug>, Vec<&Bug>) = bugs
        .iter()
        .partition(|bug| matches!(baselines.get(bug.command.as_str()), Some(Baseline::Skipped(_))));

    println!("{:<28} {:>6}  caught by", "bug", "s");
    let caught = Mutex::new((0, Duration::ZERO, Vec::new()));
    each(&run, options.jobs(), |bug| {
        let outcome = match baselines.get(bug.command.as_str()) {
            Some(Baseline::Well(job)) => bench.plant(bug, job),
            _ => Err("its harness is not sound without it".to_owned()),
        };
        let mut caught = caught.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok((took, line)) => {
                let seconds = took.as_secs_f64();
                println!("{:<28} {seconds:>6.1}  {}: {}", bug.name, bug.command, short(&line));
                caught.0 += 1;
                caught.1 = caught.1.max(took);
            }
            Err(why) => {
                println!("{:<28}      -  NOT CAUGHT by {}: {why}", bug.name, bug.command);
                caught.2.push(format!("{} by {}", bug.name, bug.command));
            }
        }
    });
    let (count, slowest, missed) = caught.into_inner().unwrap_or_else(PoisonError::into_inner);

    for bug in &skipped {
        let why = match baselines.get(bug.command.as_str()) {
            Some(Baseline::Skipped(why)) => why.as_str(),
            _ => "",
        };
        println!("SKIPPED: {} by {}: {why}", bug.name, bug.command);
    }
    for bug in &missed {
        println!("not caught: {bug}");
    }
    println!("{} lines in {} s after the builds", bugs.len(), began.elapsed().as_secs());
    println!(
        "figure: planted bugs = caught {count} of {} run, {} skipped{}, slowest {:.1} s (goal all, {GOAL} at least, each within {} s)",
        run.len(),
        skipped.len(),
        by_suite(&skipped, &jobs),
        slowest.as_secs_f64(),
        SOON.as_secs()
    );
    let well = missed.is_empty() && misfits.is_empty() && programs.failed.is_empty();
    Ok(match (well, run.is_empty()) {
        (false, _) => ExitCode::FAILURE,
        // Nothing was proved.
        (true, true) => ExitCode::from(77),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// Returns the number of lines that each harness skipped, in words.
fn by_suite(skipped: &[&Bug], jobs: &[Job]) -> String {
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    for bug in skipped {
        if let Some(job) = jobs.iter().find(|job| job.command == bug.command) {
            *of.entry(job.suite.name()).or_default() += 1;
        }
    }
    let each: Vec<String> = of.iter().map(|(suite, count)| format!("{suite} {count}")).collect();
    if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) }
}

/// The outcome of a command without a bug.
#[derive(Debug)]
enum Baseline<'a> {
    Well(&'a Job),
    /// It cannot run here, and why.
    Skipped(String),
    Unsound,
}

/// The common parameters of all runs.
struct Bench<'a> {
    options: &'a Options,
    places: &'a Places,
    programs: &'a Programs,
    outputs: &'a Path,
}

impl Bench<'_> {
    fn run(&self, job: &Job, bug: Option<&Bug>, output: &Path) -> Result<run::Ran, String> {
        let program = self.programs.built.get(&job.suite).ok_or("it was not built")?;
        let temporary = self.places.temporary().map_err(|error| error.to_string())?;
        let mut command = program.command(job, self.places, &temporary);
        if let Some(bug) = bug {
            command.env("MAPVAR_SEEDED", &bug.name);
        }
        run::run(command, output).map_err(|error| error.to_string())
    }

    /// Runs each command without a bug.
    fn baselines<'a>(&self, jobs: &'a [Job]) -> BTreeMap<&'a str, Baseline<'a>> {
        let baselines = Mutex::new(BTreeMap::new());
        each(jobs, self.options.jobs(), |job| {
            let output = self.outputs.join(format!("baseline {}.txt", file_name(&job.command)));
            let came = match self.programs.skipped.get(&job.suite) {
                Some(why) => Baseline::Skipped(why.clone()),
                None => self.baseline(job, &output),
            };
            let mut baselines = baselines.lock().unwrap_or_else(PoisonError::into_inner);
            baselines.insert(job.command.as_str(), came);
        });
        let baselines = baselines.into_inner().unwrap_or_else(PoisonError::into_inner);
        let count = |wanted: fn(&Baseline<'_>) -> bool| {
            baselines.values().filter(|baseline| wanted(baseline)).count()
        };
        println!(
            "without a bug {} of {} commands are well, {} are skipped, {} fail",
            count(|it| matches!(it, Baseline::Well(_))),
            jobs.len(),
            count(|it| matches!(it, Baseline::Skipped(_))),
            count(|it| matches!(it, Baseline::Unsound))
        );
        baselines
    }

    fn baseline<'a>(&self, job: &'a Job, output: &Path) -> Baseline<'a> {
        let ran = self.run(job, None, output);
        if let Some(why) = ran.as_ref().ok().and_then(|ran| ran.skipped(job)) {
            return Baseline::Skipped(why.to_owned());
        }
        let wrong = match ran {
            Err(error) => Some(error),
            Ok(ran) if job.suite.is_test() && ran.output.contains("running 0 tests") => {
                Some("no test has such a name".into())
            }
            Ok(ran) => ran.failure().map(|failure| format!("{failure}\n    {}", ran.tail())),
        };
        match wrong {
            None => Baseline::Well(job),
            Some(wrong) => {
                println!("WITHOUT A BUG {} fails: {wrong}", job.command);
                Baseline::Unsound
            }
        }
    }

    /// Plants a bug as often as required; returns the time of the slowest catch, and its line.
    fn plant(&self, bug: &Bug, job: &Job) -> Result<(Duration, String), String> {
        // Named by the whole command: two lines of one bug may run at a time.
        let output = format!("{} by {}.txt", bug.name, file_name(&job.command));
        let output = self.outputs.join(output);
        let mut slowest = (Duration::ZERO, String::new());
        for _ in 0..self.options.times {
            let ran = self.run(job, Some(bug), &output)?;
            if self.options.show {
                for line in ran.verdicts().iter().take(8) {
                    println!("  shown: {}: {}", bug.name, short(line));
                }
            }
            let line = ran.caught(bug).map_err(|why| format!("{why}; see {}", output.display()))?;
            slowest = slowest.max((ran.took, line.to_owned()));
        }
        Ok(slowest)
    }
}

/// Shortens a line, so that one screen shows many.
fn short(line: &str) -> String {
    let cut: String = line.trim().chars().take(200).collect();
    if cut.len() < line.trim().len() { format!("{cut}...") } else { cut }
}

/// Returns the folder of builds, which `cargo xtask seeded` sets.
pub fn target() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/seeded");
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from);
    // An absolute path, since builds run in the scratch tree.
    std::path::absolute(&folder).unwrap_or(folder)
}

fn file_name(command: &str) -> String {
    command.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { ' ' }).collect()
}

/// Calls `call` for each item, `at_a_time` in parallel.
fn each<'a, T: Sync>(of: &'a [T], at_a_time: usize, call: impl Fn(&'a T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(one) = of.get(next.fetch_add(1, Relaxed)) {
                    call(one);
                }
            });
        }
    });
}
