//! Power cuts on the engine of mapvar itself: README.md says what a run is and what it shows.

mod files;
mod map;
mod one;
mod several;

use map::Counts;
use std::{
    cell::RefCell,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

thread_local! {
    /// Where the last panic of this thread was, and why.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// History number `seed`.
fn history(seed: u64) -> Result<Counts, String> {
    let run = || if seed % 2 == 1 { several::history(seed) } else { one::history(seed) };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done,
        Err(_) => Err(PANIC.with(RefCell::take)),
    }
}

/// What the watchdog looks at: the history that a thread is at, and since when.
struct Watched {
    seed: AtomicU64,
    since: AtomicU64,
}

/// Longer than any history takes, on a machine that does much else.
const HANGS: Duration = Duration::from_mins(2);

struct Run {
    began: Instant,
    next: AtomicU64,
    watched: Vec<Watched>,
    active: AtomicUsize,
}

/// The histories of these seeds, in their order, on so many threads, until `enough` says so or one goes
/// wrong; returns what was seen, and the seeds that went wrong.
fn histories(
    seeds: Range<u64>,
    threads: usize,
    enough: impl Fn(&Counts) -> bool + Sync,
) -> (Counts, Vec<(u64, String)>) {
    let run = Run {
        began: Instant::now(),
        next: AtomicU64::new(seeds.start),
        watched: (0..threads)
            .map(|_| Watched { seed: AtomicU64::new(0), since: AtomicU64::new(u64::MAX) })
            .collect(),
        active: AtomicUsize::new(threads),
    };
    let all = Mutex::new((Counts::default(), Vec::new()));
    let locked = || all.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for watched in &run.watched {
            let (run, enough, locked) = (&run, &enough, &locked);
            scope.spawn(move || {
                loop {
                    if !locked().1.is_empty() || enough(&locked().0) {
                        break;
                    }
                    // A seed that was given out is run to its end: the first that goes wrong is always
                    // among those that are reported, whatever the threads do meanwhile.
                    let seed = run.next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    watched.seed.store(seed, Relaxed);
                    watched.since.store(run.began.elapsed().as_millis() as u64, Relaxed);
                    match history(seed) {
                        Ok(counts) => locked().0.add(counts),
                        Err(wrong) => locked().1.push((seed, wrong)),
                    }
                }
                watched.since.store(u64::MAX, Relaxed);
                run.active.fetch_sub(1, Relaxed);
            });
        }
        while run.active.load(Relaxed) > 0 {
            thread::sleep(Duration::from_millis(2));
            let now = run.began.elapsed().as_millis() as u64;
            for watched in &run.watched {
                let since = watched.since.load(Relaxed);
                if now.saturating_sub(since) > HANGS.as_millis() as u64 {
                    let seed = watched.seed.load(Relaxed);
                    eprintln!("watchdog: the history of seed {seed} hangs for {HANGS:?}");
                    std::process::exit(101);
                }
            }
        }
    });
    let (counts, mut wrong) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The first is the same whatever the threads did.
    wrong.sort_unstable_by_key(|(seed, _)| *seed);
    (counts, wrong)
}

struct Options {
    cuts: u64,
    time: Duration,
    /// So many histories, in place of cuts and time.
    histories: Option<u64>,
    seed: u64,
    short: bool,
    threads: usize,
    legs: Vec<String>,
}

const USAGE: &str = "cargo xtask harness power [N] [--short] [--minutes M] [--histories H] [--seed S] [--threads T] [cuts] [files]";

fn options() -> Result<Options, String> {
    let mut cuts = None;
    let mut minutes = None;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut options = Options {
        cuts: 0,
        time: Duration::ZERO,
        histories: None,
        seed: now.map_or(1, |it| it.as_secs() << 24),
        short: false,
        threads: thread::available_parallelism().map_or(2, usize::from),
        legs: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value; {USAGE}"));
        match word.as_str() {
            "--short" => options.short = true,
            "--minutes" => minutes = Some(next()?.parse::<f64>().map_err(|it| it.to_string())?),
            "--seed" => options.seed = next()?.parse().map_err(|_| USAGE)?,
            "--threads" => options.threads = next()?.parse().map_err(|_| USAGE)?,
            "--histories" => options.histories = Some(next()?.parse().map_err(|_| USAGE)?),
            "cuts" | "files" => options.legs.push(word),
            _ => cuts = Some(word.parse().map_err(|_| format!("what is {word}? {USAGE}"))?),
        }
    }
    let given = cuts.is_some();
    options.cuts = cuts.unwrap_or(if options.short { 8_000 } else { 500_000 });
    // So many, or so long, if only one of the two is said; else both.
    let minutes = minutes.unwrap_or(if options.short || given { 0.0 } else { 8.0 });
    options.time = Duration::from_secs_f64(minutes * 60.0);
    Ok(options)
}

fn wanted(options: &Options, leg: &str) -> bool {
    options.legs.is_empty() || options.legs.iter().any(|it| it == leg)
}

fn cuts(options: &Options) -> bool {
    let began = Instant::now();
    let (first, count) = (options.seed, options.histories);
    let end = count.map_or(u64::MAX, |count| first.saturating_add(count));
    let (counts, wrong) = histories(first..end, options.threads, |counts| {
        count.is_none() && counts.cuts >= options.cuts && began.elapsed() >= options.time
    });
    let took = began.elapsed().as_secs_f64();
    for (seed, what) in &wrong {
        println!("WRONG: seed {seed}: {what}");
        println!("  again: cargo xtask harness power 1 --threads 1 --seed {seed} cuts");
    }
    println!(
        "{} histories of {} on, {} deaths, {} values compared, {} power cuts in the midst of a recovery, {took:.0} s",
        counts.histories, options.seed, counts.deaths, counts.values, counts.cuts_in_recovery
    );
    let what = match wrong.len() {
        0 => "0 flushed values lost, 0 torn, 0 back, 0 leaked".into(),
        bad => format!("{bad} histories WRONG"),
    };
    let rate = counts.cuts as f64 / took;
    println!("figure: power cuts = {}, {rate:.0} a second, {what} (goal 500000, 0)", counts.cuts);
    wrong.is_empty()
}

/// Processes killed on real files, and disks made of what they left.
fn files(options: &Options) -> bool {
    let (kills, images) = if options.short { (25, 10) } else { (200, 20) };
    let began = Instant::now();
    let done = AtomicU64::new(0);
    let (counts, wrong) = thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Relaxed) == 0 {
                thread::sleep(Duration::from_millis(20));
                let alive = Duration::from_millis(files::ALIVE.load(Relaxed));
                if began.elapsed().saturating_sub(alive) > HANGS {
                    eprintln!("watchdog: the files of seed {} on hang for {HANGS:?}", options.seed);
                    std::process::exit(101);
                }
            }
        });
        let all = files::run(options.seed, kills, images);
        done.store(1, Relaxed);
        all
    });
    for (seed, what) in &wrong {
        println!(
            "WRONG: seed {seed}: {what}\n  about: cargo xtask harness power --seed {seed} files"
        );
    }
    println!(
        "figure: power cuts on real files = {} disks ({} of them mixed) of {} killed processes, {} values compared, \
         {} disks wrong, {:.0} s (goal 0 wrong)",
        counts.images,
        counts.mixed,
        counts.kills,
        counts.values,
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    wrong.is_empty()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, path, seed] = words.as_slice()
        && role == "--writer"
    {
        return match files::writer(path, seed.parse().unwrap_or(0)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the writer: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match options() {
        Ok(options) => options,
        Err(told) => {
            eprintln!("{told}");
            return ExitCode::from(2);
        }
    };
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| drop(panic.replace(info.to_string())));
    }));
    println!("seed {}", options.seed);
    let mut well = true;
    if wanted(&options, "cuts") {
        well &= cuts(&options);
    }
    if wanted(&options, "files") {
        well &= files(&options);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
