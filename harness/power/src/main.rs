//! Power cuts on the engine of mapvar itself. README.md says what a run is and what it shows.

mod map;
mod files;
mod one;
mod several;

use clap::Parser;
use map::Counts;
use mapvar_harness::watchdog;
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
    /// Location and message of this thread's last panic.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs history number `seed`.
fn history(seed: u64) -> Result<Counts, String> {
    let run = || if seed % 2 == 1 { several::history(seed) } else { one::history(seed) };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done,
        Err(_) => Err(PANIC.with(RefCell::take)),
    }
}

/// The state that the watchdog checks: the history that a thread runs, and since when.
struct Watched {
    seed: AtomicU64,
    since: AtomicU64,
}

/// Longer than any history takes on a busy machine.
const HANGS: Duration = Duration::from_mins(2);

/// Runs the histories of these seeds in order, on `threads` threads, until `enough` returns true or
/// a history fails. Returns the counts, and the failed seeds.
fn histories(
    seeds: Range<u64>,
    threads: usize,
    enough: impl Fn(&Counts) -> bool + Sync,
) -> (Counts, Vec<(u64, String)>) {
    let (next, active) = (AtomicU64::new(seeds.start), AtomicUsize::new(threads));
    let idle = || Watched { seed: AtomicU64::new(0), since: AtomicU64::new(u64::MAX) };
    let watched: Vec<Watched> = (0..threads).map(|_| idle()).collect();
    let began = Instant::now();
    let now = || began.elapsed().as_millis() as u64;
    let all = Mutex::new((Counts::default(), Vec::new()));
    let locked = || all.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for watched in &watched {
            let (next, active, now) = (&next, &active, &now);
            let (enough, locked) = (&enough, &locked);
            scope.spawn(move || {
                loop {
                    if !locked().1.is_empty() || enough(&locked().0) {
                        break;
                    }
                    // A seed that was handed out is run to its end. So the first failing seed is
                    // always reported, whatever the threads do meanwhile.
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    watched.seed.store(seed, Relaxed);
                    watched.since.store(now(), Relaxed);
                    match history(seed) {
                        Ok(counts) => locked().0.add(counts),
                        Err(wrong) => locked().1.push((seed, wrong)),
                    }
                }
                watched.since.store(u64::MAX, Relaxed);
                active.fetch_sub(1, Relaxed);
            });
        }
        while active.load(Relaxed) > 0 {
            thread::sleep(Duration::from_millis(2));
            for watched in &watched {
                let since = watched.since.load(Relaxed);
                if now().saturating_sub(since) > HANGS.as_millis() as u64 {
                    let seed = watched.seed.load(Relaxed);
                    eprintln!("watchdog: the history of seed {seed} hangs for {HANGS:?}");
                    std::process::exit(101);
                }
            }
        }
    });
    let (counts, mut wrong) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The first is the same whatever the order of the threads.
    wrong.sort_unstable_by_key(|(seed, _)| *seed);
    (counts, wrong)
}

/// Power cuts on the engine: `cargo xtask harness power`.
#[derive(Parser)]
struct Options {
    /// Number of cuts (500,000), and the legs to run: cuts, files (both)
    words: Vec<String>,
    /// Some thousands of cuts
    #[arg(long)]
    short: bool,
    /// Minimum time for the cuts (8, or 0 if a number of cuts is given)
    #[arg(long)]
    minutes: Option<f64>,
    /// Number of histories, in place of cuts and time
    #[arg(long)]
    histories: Option<u64>,
    /// Seed of the first history
    #[arg(long, default_value_t = first_seed())]
    seed: u64,
    /// Number of threads (one for each processor)
    #[arg(long)]
    threads: Option<usize>,
}

/// Returns a first seed, so far from other runs' that their seeds do not overlap.
fn first_seed() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |it| it.as_secs() << 24)
}

impl Options {
    fn wants(&self, leg: &str) -> bool {
        let mut legs = self.words.iter().filter(|word| LEGS.contains(&word.as_str())).peekable();
        legs.peek().is_none() || legs.any(|it| it == leg)
    }

    /// Returns the number of cuts and their minimum time; `None` if a word is invalid.
    fn amount(&self) -> Option<(u64, Duration)> {
        let mut given = None;
        for word in self.words.iter().filter(|word| !LEGS.contains(&word.as_str())) {
            given = Some(word.parse().ok()?);
        }
        // If only one of number and time is given, only that one counts; else both do.
        let minutes = if self.short || given.is_some() { 0.0 } else { 8.0 };
        let time = Duration::from_secs_f64(self.minutes.unwrap_or(minutes) * 60.0);
        Some((given.unwrap_or(if self.short { 8_000 } else { 500_000 }), time))
    }
}

const LEGS: [&str; 2] = ["cuts", "files"];

fn cuts(options: &Options, (least, time): (u64, Duration)) -> bool {
    let began = Instant::now();
    let (first, count) = (options.seed, options.histories);
    let end = count.map_or(u64::MAX, |count| first.saturating_add(count));
    let threads = options.threads.or(thread::available_parallelism().ok().map(usize::from));
    let (counts, wrong) = histories(first..end, threads.unwrap_or(2), |counts| {
        count.is_none() && counts.cuts >= least && began.elapsed() >= time
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

/// Kills processes on real files, and makes disks of the remains.
fn files(options: &Options) -> bool {
    let (kills, images) = if options.short { (25, 10) } else { (200, 20) };
    let began = Instant::now();
    watchdog::watch(HANGS, || ());
    watchdog::doing(format!("the files of seed {} on", options.seed));
    let (counts, wrong) = files::run(options.seed, kills, images);
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
    let options = Options::parse();
    let Some(amount) = options.amount() else {
        eprintln!("{:?}: a number of cuts, `cuts` and `files` are all there is", options.words);
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| drop(panic.replace(info.to_string())));
    }));
    println!("seed {}", options.seed);
    let mut well = true;
    if options.wants("cuts") {
        well &= cuts(&options, amount);
    }
    if options.wants("files") {
        well &= files(&options);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
