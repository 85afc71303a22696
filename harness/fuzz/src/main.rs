//! `ci/fuzz`: see README.md.

use mapvar_fuzz::{
    bytes::Bytes,
    driver::{self, Sum, Target},
    files::Files,
    guard::Counting,
    loads::Loads,
    marshal::{self, Marshal},
    random::Random,
    scribble,
    sequences::Sequences,
};
use mapvar_harness::seed_of_clock;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const USAGE: &str = "ci/fuzz [MINUTES] [--short] [--seed S] [--one TARGET --seed S] [target words]

Targets: bytes, files, loads, sequences, marshal, scribbler. MINUTES, 10 unless given, are for all of them.";

struct Wanted {
    time: Duration,
    seed: u64,
    one: Option<String>,
    /// The program that is the victim of the scribbler, built with a sanitizer.
    victim: Option<PathBuf>,
    words: Vec<String>,
}

impl Wanted {
    fn of(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            time: Duration::from_mins(10),
            seed: seed_of_clock(),
            one: None,
            victim: None,
            words: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--short" => wanted.time = Duration::from_secs(14),
                "--seed" => wanted.seed = next()?.parse().map_err(|_| "no number".to_owned())?,
                "--one" => wanted.one = Some(next()?),
                "--victim" => wanted.victim = Some(next()?.into()),
                other => match other.parse::<f64>() {
                    Ok(minutes) if minutes > 0.0 => {
                        wanted.time = Duration::from_secs_f64(minutes * 60.0);
                    }
                    _ if other.starts_with('-') => return Err(format!("{other}?")),
                    _ => wanted.words.push(argument),
                },
            }
        }
        Ok(wanted)
    }

    fn wants(&self, target: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| target.contains(word.as_str()))
    }
}

/// The targets, and which hundredths of the time each has.
const SHARES: [(&str, u32); 6] = [
    ("bytes", 26),
    ("files", 4),
    ("loads", 26),
    ("sequences", 22),
    ("marshal", 10),
    ("scribbler", 12),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let role = arguments.next_if(|first| first == "peer" || first == "victim");
    let rest: Vec<String> = if role.is_some() { arguments.by_ref().collect() } else { Vec::new() };
    match (role.as_deref(), rest.as_slice()) {
        (Some("peer"), [what, seed]) => {
            return match scribble::peer(what, seed.parse().unwrap_or(1)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("the peer: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        (Some("victim"), [peer, seed, millis]) => {
            let time = Duration::from_millis(millis.parse().unwrap_or(1_000));
            scribble::victim(Path::new(peer), seed.parse().unwrap_or(1), time);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted = match Wanted::of(arguments) {
        Ok(wanted) => wanted,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if wanted.one.as_deref() != Some("scribbler") {
        driver::hook();
    }
    if run(&wanted) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(wanted: &Wanted) -> bool {
    let seed = wanted.seed;
    if let Some(one) = &wanted.one {
        let mut target: Box<dyn Target> = match one.as_str() {
            "bytes" => Box::new(Bytes::new()),
            "files" => Box::new(Files::new()),
            "loads" => Box::new(Loads::new()),
            "sequences" => Box::new(Sequences::new()),
            "marshal" => Box::new(Marshal::new()),
            "scribbler" => {
                return scribbled(wanted, Duration::from_secs(20)).is_some_and(|it| it.0);
            }
            _ => {
                eprintln!("no target {one}\n{USAGE}");
                return false;
            }
        };
        return driver::one(&mut *target, seed);
    }
    println!("seed {seed}; repeat with: ci/fuzz --seed {seed}");
    let all: u32 =
        SHARES.iter().filter(|(name, _)| wanted.wants(name)).map(|(_, share)| share).sum();
    if all == 0 {
        eprintln!("no target has such a name\n{USAGE}");
        return false;
    }
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut sums: Vec<(&'static str, Sum)> = Vec::new();
    let mut scribbler = None;
    let mut well = true;
    for (name, share) in SHARES {
        if !wanted.wants(name) {
            continue;
        }
        let time = wanted.time * share / all;
        let seed = Random::new(seed ^ u64::from(share) << 56).word() >> 16;
        let sum = match name {
            "bytes" => driver::drive(name, Bytes::new, seed, time, threads),
            "files" => driver::drive(name, Files::new, seed, time, threads),
            "loads" => driver::drive(name, Loads::new, seed, time, threads),
            "sequences" => driver::drive(name, Sequences::new, seed, time, threads),
            "marshal" => {
                marshal::patterns();
                driver::drive(name, Marshal::new, seed, time, threads)
            }
            _ => {
                scribbler = scribbled(wanted, time);
                well &= scribbler.as_ref().is_none_or(|it| it.0);
                continue;
            }
        };
        let rate = sum.executions as f64 / sum.took.as_secs_f64();
        println!(
            "{name:9} {:>11} executions in {:5.1} s, {rate:>7.0} a second, {} failed",
            sum.executions,
            sum.took.as_secs_f64(),
            sum.failures
        );
        well &= sum.failures == 0;
        sums.push((name, sum));
    }
    let executions: u64 = sums.iter().map(|(_, sum)| sum.executions).sum();
    let took: f64 = sums.iter().map(|(_, sum)| sum.took.as_secs_f64()).sum();
    let failures: u64 = sums.iter().map(|(_, sum)| sum.failures).sum();
    let each: Vec<String> =
        sums.iter().map(|(name, sum)| format!("{name} {}", sum.executions)).collect();
    if !sums.is_empty() {
        println!(
            "figure: fuzz, executions = {executions} in {:.1} min ({}), {failures} panics, 0 hangs \
             (goal 20 million in 10 min, 0, 0)",
            took / 60.0,
            each.join(", ")
        );
    }
    if let Some((_, sum)) = sums.iter().find(|(name, _)| *name == "marshal") {
        println!(
            "figure: fuzz, Marshal = {} executions in {:.1} min, {} failures, at most {:.1} bytes of \
             memory for each byte beside 64 KiB (goal 5 min, 0, 64)",
            sum.executions,
            sum.took.as_secs_f64() / 60.0,
            sum.failures,
            marshal::worst()
        );
    }
    if let Some((_, figure)) = scribbler {
        println!("{figure}");
    }
    well
}

/// Runs a victim and its peer; whether all was well, and the figure. `None` where it was skipped.
fn scribbled(wanted: &Wanted, time: Duration) -> Option<(bool, String)> {
    if !cfg!(target_os = "linux") {
        println!("scribbler SKIPPED: it looks for its mappings in /proc/self/maps");
        return None;
    }
    let own = std::env::current_exe().expect("this program");
    let victim = wanted.victim.clone().unwrap_or_else(|| {
        println!("scribbler: no program with AddressSanitizer, so only the guard pages look");
        own.clone()
    });
    let mut child = Command::new(&victim)
        .arg("victim")
        .arg(&own)
        .args([wanted.seed.to_string(), time.as_millis().to_string()])
        // An address space as large as a map sets aside is no leak; and where it aborts, at once.
        .env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0:exitcode=99")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the victim starts");
    let mut said = String::new();
    if let Some(out) = child.stdout.as_mut() {
        let _ = std::io::Read::read_to_string(out, &mut said);
    }
    let status = child.wait().expect("the victim ends");
    let line = said.lines().find_map(|line| line.strip_prefix("victim: "));
    let numbers: Vec<&str> = line.unwrap_or_default().splitn(6, ' ').collect();
    if let (true, [written, operations, errors, lives, guards, sanitizer]) =
        (status.success(), numbers.as_slice())
    {
        println!(
            "scribbler: {lives} maps, {guards} guards beside their mappings; {errors} of the \
             operations were refused"
        );
        let figure = format!(
            "figure: fuzz, scribbler = {written} hostile writes, {operations} operations under \
             {sanitizer}, 0 reports (goal 0 reports)"
        );
        return Some((true, figure));
    }
    scribble::reap(child.id());
    println!(
        "FAILED: target scribbler, seed {}: the victim ended with {status}\n  again: ci/fuzz --one \
         scribbler --seed {} (it is a race: the same seed may need several runs)",
        wanted.seed, wanted.seed
    );
    Some((false, "figure: fuzz, scribbler = 1 report (goal 0 reports)".into()))
}
