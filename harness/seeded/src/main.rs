//! Plants the bugs of `bugs.txt`, one at a time, and sees each caught by the harness that is meant
//! for it. `ci/seeded` runs it.

mod run;
mod suite;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use suite::{Job, Programs};
use table::Bug;

const USAGE: &str = "\
ci/seeded [--short] [--times N] [--jobs N] [--check] [WORD]...
  --short    a handful, by the quickest harnesses
  --times N  each bug so often
  --jobs N   so many at a time (as many as there are processors)
  --check    only whether the table is of the bugs that the sources have
  WORD       only bugs that have such a word in their name or command";

/// What the goal is.
const GOAL: usize = 40;

#[derive(Debug)]
struct Options {
    short: bool,
    check: bool,
    times: usize,
    jobs: usize,
    words: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self { short: false, check: false, times: 1, jobs, words: Vec::new() };
        while let Some(arg) = args.next() {
            let mut number = || args.next()?.parse().ok().filter(|number| *number > 0);
            match arg.as_str() {
                "--short" => options.short = true,
                "--check" => options.check = true,
                "--times" => options.times = number()?,
                "--jobs" => options.jobs = number()?,
                _ if arg.starts_with('-') => return None,
                _ => options.words.push(arg),
            }
        }
        Some(options)
    }

    fn wants(&self, bug: &Bug) -> bool {
        let has = |word: &String| bug.name.contains(word) || bug.command.contains(word);
        (bug.short || !self.short) && (self.words.is_empty() || self.words.iter().any(has))
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let _ = ctrlc::set_handler(|| {
        run::end_all();
        std::process::exit(130);
    });
    match go(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("seeded: {what}");
            ExitCode::FAILURE
        }
    }
}

fn go(options: &Options) -> Result<bool, String> {
    // Where it was built: the table is in the sources, which the harnesses are built from anyway.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = folder.join("../..").canonicalize().map_err(|error| error.to_string())?;
    let all = table::read(&folder.join("bugs.txt"))?;
    let misfits = table::misfits(&root, &all);
    for misfit in &misfits {
        println!("MISFIT: {misfit}");
    }
    println!("{} bugs in the table, {} misfits", all.len(), misfits.len());
    if options.check {
        return Ok(misfits.is_empty());
    }

    let bugs: Vec<Bug> = all.into_iter().filter(|bug| options.wants(bug)).collect();
    if bugs.is_empty() {
        return Err("no bug has such a word".into());
    }
    let mut jobs = Vec::new();
    for command in bugs.iter().map(|bug| &bug.command).collect::<BTreeSet<_>>() {
        jobs.push(Job::parse(command)?);
    }
    let programs = Programs::build(&root, jobs.iter().map(|job| job.suite.clone()));
    for failed in &programs.failed {
        println!("FAILED: {failed}");
    }
    let outputs = target().join("seeded-output");
    std::fs::create_dir_all(&outputs).map_err(|error| error.to_string())?;
    let began = Instant::now();

    // Without a bug first: else a failure would prove nothing.
    let sound = baselines(&jobs, &programs, &root, &outputs, options.jobs);
    let (is_skipped, bugs): (Vec<Bug>, Vec<Bug>) = bugs.into_iter().partition(|bug| {
        matches!(sound.get(bug.command.as_str()), Some(Baseline::Skipped))
            || jobs.iter().any(|job| {
                job.command == bug.command && programs.skipped.contains(&job.suite.name())
            })
    });
    for bug in &is_skipped {
        println!("SKIPPED: {}: {} cannot be had here", bug.name, bug.command);
    }

    println!("{:<28} {:>6}  caught by", "bug", "s");
    let caught = Mutex::new((0, Duration::ZERO, Vec::new()));
    each(&bugs, options.jobs, |bug| {
        let told = match sound.get(bug.command.as_str()) {
            Some(Baseline::Sound(job)) => {
                plant(bug, job, &programs, &root, &outputs, options.times)
            }
            _ => Err("its harness is not sound without it".to_owned()),
        };
        let mut caught = caught.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok((took, word)) => {
                let seconds = took.as_secs_f64();
                println!("{:<28} {seconds:>6.1}  {}: {word}", bug.name, bug.command);
                caught.0 += 1;
                caught.1 = caught.1.max(took);
            }
            Err(why) => {
                println!("{:<28}      -  NOT CAUGHT by {}: {why}", bug.name, bug.command);
                caught.2.push(bug.name.clone());
            }
        }
    });
    let (count, slowest, missed) = caught.into_inner().unwrap_or_else(PoisonError::into_inner);

    println!(
        "{} bugs, {} skipped, in {} s after the builds",
        bugs.len(),
        is_skipped.len(),
        began.elapsed().as_secs()
    );
    let models =
        if options.short || !options.words.is_empty() { Some(()) } else { of_models(&root) };
    let skipped = match is_skipped.len() {
        0 => String::new(),
        some => format!(", {some} more SKIPPED"),
    };
    println!(
        "figure: planted bugs = {count} of {} caught{skipped}, slowest {:.1} s (goal all, {GOAL} at least, each within {} s)",
        bugs.len(),
        slowest.as_secs_f64(),
        run::LIMIT.as_secs()
    );
    for name in &missed {
        println!("not caught: {name}");
    }
    Ok(missed.is_empty() && misfits.is_empty() && programs.failed.is_empty() && models.is_some())
}

/// What a command is without a bug.
#[derive(Clone, Copy)]
enum Baseline<'a> {
    Sound(&'a Job),
    /// It cannot be run on this machine, and says so (exit code 77).
    Skipped,
    Unsound,
}

/// Runs each command without a bug.
fn baselines<'a>(
    jobs: &'a [Job],
    programs: &Programs,
    root: &Path,
    outputs: &Path,
    at_a_time: usize,
) -> BTreeMap<&'a str, Baseline<'a>> {
    let sound = Mutex::new(BTreeMap::new());
    each(jobs, at_a_time, |job| {
        let Some(program) = programs.built.get(&job.suite) else { return };
        let output = outputs.join(format!("baseline {}.txt", file_name(&job.command)));
        let ran = run::run(program.command(root, job), &output, run::BASELINE);
        let is_skipped = ran.as_ref().is_ok_and(run::Ran::is_skipped);
        let wrong = match &ran {
            _ if is_skipped => None,
            Err(error) => Some(error.to_string()),
            Ok(ran) if job.suite.is_test() && ran.output.contains("running 0 tests") => {
                Some("no test has such a name".into())
            }
            Ok(ran) => ran.failure().map(|failure| format!("{failure}\n    {}", ran.tail())),
        };
        if let Some(wrong) = &wrong {
            println!("WITHOUT A BUG {} fails: {wrong}", job.command);
        }
        let mut sound = sound.lock().unwrap_or_else(PoisonError::into_inner);
        let baseline = match wrong {
            _ if is_skipped => Baseline::Skipped,
            None => Baseline::Sound(job),
            Some(_) => Baseline::Unsound,
        };
        sound.insert(job.command.as_str(), baseline);
    });
    let sound = sound.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "without a bug {} of {} commands are well",
        sound.values().filter(|baseline| matches!(baseline, Baseline::Sound(_))).count(),
        jobs.len()
    );
    sound
}

/// Plants a bug so many times; answers how long the slowest took to be caught, and the line that says so.
fn plant(
    bug: &Bug,
    job: &Job,
    programs: &Programs,
    root: &Path,
    outputs: &Path,
    times: usize,
) -> Result<(Duration, String), String> {
    let program = programs.built.get(&job.suite).ok_or("it was not built")?;
    let output = outputs.join(format!("{}.txt", bug.name));
    let mut slowest = (Duration::ZERO, String::new());
    for _ in 0..times {
        let mut command = program.command(root, job);
        command.env("MAPVAR_SEEDED", &bug.name);
        let ran = run::run(command, &output, run::LIMIT).map_err(|error| error.to_string())?;
        let word = ran.caught(bug).map_err(|why| format!("{why}; see {}", output.display()))?;
        let line = ran.output.lines().find(|line| line.contains(word)).unwrap_or(word);
        slowest = slowest.max((ran.took, line.trim().chars().take(160).collect()));
    }
    Ok(slowest)
}

/// The models beside the engine have faults of their own, which they plant by themselves.
fn of_models(root: &Path) -> Option<()> {
    let mut well = Some(());
    // The simulator's faults with few runs of what has none: that is `ci/simulate`'s to show.
    for (name, args) in [("model", &[][..]), ("simulate", &["10000"])] {
        let mut command = Command::new(root.join("ci").join(name));
        // Where they build when they are called by themselves.
        let folder = target().parent().map(Path::to_owned).unwrap_or_default();
        let output = command.args(args).env("CARGO_TARGET_DIR", folder).output();
        let Ok(output) = output else {
            println!("FAILED: ci/{name} cannot be run");
            well = None;
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let caught = said
            .lines()
            .filter(|line| line.contains("fault caught") || line.contains(" s  caught"))
            .filter(|line| !line.contains("WRONG"))
            .count();
        println!("figure: faults that ci/{name} plants in its own model = {caught} caught");
        if !output.status.success() {
            println!("FAILED: ci/{name}\n{said}");
            well = None;
        }
    }
    well
}

/// The folder of builds, into which the script has put this program's own.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target/seeded".into(), PathBuf::from)
}

fn file_name(command: &str) -> String {
    command.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { ' ' }).collect()
}

/// Calls for each, so many at a time.
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
