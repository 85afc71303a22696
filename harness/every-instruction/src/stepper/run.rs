//! The run: every operation, its figures, and its findings.

use super::{
    accept::{self, Found, accept},
    image::Pending,
    ops::{self, Op},
    oracle::{Oracle, after_takeover},
    stage::{self, Place, Stage},
    trace::{self, Stop, Tracee},
    walk::{At, name_of, walk},
};
use clap::Parser;
use mapvar_harness::{SKIPPED, peer, watchdog};
use std::{
    cmp::Reverse,
    collections::HashMap,
    io::Write as _,
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use xxhash_rust::xxh3::xxh3_128;

/// Without progress for this long, something hangs.
const STALLED: Duration = Duration::from_mins(1);

/// The counts of walks through operations, or through takeovers.
#[derive(Clone, Debug, Default)]
struct Sum {
    images: u64,
    distinct: u64,
    checked: u64,
    bad: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.distinct += other.distinct;
        self.checked += other.checked;
        self.bad += other.bad;
    }
}

/// The counts of one operation, or of all.
#[derive(Clone, Debug, Default)]
struct Figures {
    first: Sum,
    /// Inside takeovers.
    pairs: Sum,
    takeovers: u64,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.first.add(&other.first);
        self.pairs.add(&other.pairs);
        self.takeovers += other.takeovers;
    }

    fn bad(&self) -> u64 {
        self.first.bad + self.pairs.bad
    }
}

/// A death after each machine instruction: `cargo xtask harness every-instruction`.
#[derive(Parser)]
struct Settings {
    /// Only operations whose names contain one of these words
    words: Vec<String>,
    /// Some operations, and a quarter of their pairs
    #[arg(long)]
    short: bool,
    /// No second deaths
    #[arg(long)]
    no_pairs: bool,
    /// End the run at the first finding
    #[arg(long)]
    first: bool,
    /// Only print the names of the operations
    #[arg(long)]
    list: bool,
}

impl Settings {
    /// Returns the number of findings after which an operation is given up.
    fn most(&self) -> u64 {
        if self.first { 1 } else { 3 }
    }

    fn wants(&self, op: &Op) -> bool {
        let is_named = |word: &String| op.name.contains(word);
        if self.words.is_empty() {
            !self.short || op.short
        } else {
            self.words.iter().any(is_named)
        }
    }
}

pub fn main() -> ExitCode {
    let settings = Settings::parse();
    let mut chosen: Vec<Op> = ops::all();
    if settings.list {
        for op in chosen {
            println!("{}", op.name);
        }
        return ExitCode::SUCCESS;
    }
    if let Err(why) = can_trace() {
        println!("SKIPPED: {why}");
        return ExitCode::from(SKIPPED);
    }
    chosen.retain(|op| settings.wants(op));
    // The longest come first.
    chosen.sort_by_key(|op| Reverse(op.pairs));
    watchdog::watch(STALLED, stage::clean_up);
    run_all(&chosen, &settings)
}

/// Fails if this process may not trace one that it started.
fn can_trace() -> Result<(), String> {
    if !std::path::Path::new("/dev/shm").is_dir() {
        return Err("/dev/shm is not there; mount a tmpfs on it".into());
    }
    match peer::this(["probe"]).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("no process can be traced here (ptrace): {other:?}")),
    }
}

fn run_all(chosen: &[Op], settings: &Settings) -> ExitCode {
    let began = Instant::now();
    println!(
        "{:<52} {:>9} {:>8} {:>8} {:>9} {:>10} {:>9} {:>7}",
        "operation", "images", "distinct", "checks", "takeovers", "pairs", "distinct", "s"
    );
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Figures::default());
    let is_over = || settings.first && all.lock().unwrap_or_else(PoisonError::into_inner).bad() > 0;
    thread::scope(|scope| {
        for number in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (next, all, is_over) = (&next, &all, &is_over);
            scope.spawn(move || {
                trace::stay_on(number);
                while let Some(op) = chosen.get(next.fetch_add(1, Relaxed))
                    && !is_over()
                {
                    let began = Instant::now();
                    let figures = run(op, settings);
                    println!(
                        "{:<52} {:>9} {:>8} {:>8} {:>9} {:>10} {:>9} {:>7.1}{}",
                        op.name,
                        figures.first.images,
                        figures.first.distinct,
                        figures.first.checked,
                        figures.takeovers,
                        figures.pairs.images,
                        figures.pairs.distinct,
                        began.elapsed().as_secs_f32(),
                        if figures.bad() == 0 { "" } else { "  BAD" }
                    );
                    all.lock().unwrap_or_else(PoisonError::into_inner).add(&figures);
                }
            });
        }
    });
    stage::clean_up();
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} operations in {} s", chosen.len(), began.elapsed().as_secs());
    println!(
        "figure: every instruction, images = {} over {} operations, {} distinct, {} bad (goal 0 bad)",
        all.first.images,
        chosen.len(),
        all.first.distinct,
        all.first.bad
    );
    println!(
        "figure: every instruction, pairs (a second death inside the takeover after a first) = {} in {} \
         takeovers, {} distinct images, {} bad (goal 0 bad)",
        all.pairs.images, all.takeovers, all.pairs.distinct, all.pairs.bad
    );
    println!(
        "figure: every instruction, openings checked = {}",
        all.first.checked + all.pairs.checked
    );
    if all.bad() == 0 && !chosen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns a command that runs this program in another role.
fn part(role: &str, op: &Op, stage: &Stage) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([role, op.name, stage.place.word(), &stage.target]).stdin(Stdio::piped());
    command
}

/// The state of one operation's run.
struct Run<'a> {
    op: &'a Op,
    settings: &'a Settings,
    oracle: Oracle,
    /// Where images are opened, and where takeovers are stepped through.
    shown: Vec<Stage>,
    taken: Vec<Stage>,
    takers: Vec<Option<Tracee>>,
    figures: Figures,
}

fn run(op: &Op, settings: &Settings) -> Figures {
    let places: &[Place] = match op.place {
        Place::Named => &[Place::Named],
        Place::Alone | Place::Peer if op.beside => &[Place::Alone, Place::Peer],
        Place::Alone | Place::Peer => &[Place::Alone],
    };
    let stages = || places.iter().map(|place| Stage::new(*place, 1, 1 << 20)).collect();
    let mut run = Run {
        op,
        settings,
        oracle: op.oracle.clone(),
        shown: stages(),
        taken: stages(),
        takers: places.iter().map(|_| None).collect(),
        figures: Figures::default(),
    };
    if let Err(why) = run.step_through() {
        let _ = run.record_bad(&why);
    }
    run.figures
}

impl Run<'_> {
    fn record_bad(&mut self, why: &str) -> Result<(), String> {
        self.figures.first.bad += 1;
        self.show(why)
    }

    /// Prints a finding; fails once an operation has too many of them.
    fn show(&self, why: &str) -> Result<(), String> {
        println!("BAD  {}: {why}", self.op.name);
        if self.figures.bad() < self.settings.most() { Ok(()) } else { Err("given up".into()) }
    }

    fn step_through(&mut self) -> Result<(), String> {
        let source = Stage::new(self.op.place, self.op.size, self.op.max);
        let tracee = Tracee::start(&mut part("act", self.op, &source));
        match tracee.await_first() {
            Stop::Mark => {}
            other => return Err(format!("the traced process came to {other:?} before it began")),
        }
        let mut known: HashMap<u128, Found> = HashMap::new();
        let mut last: Option<Found> = None;
        let (mut number, mut pending_number) = (0_usize, 0_usize);
        let oracle = self.oracle.clone();
        let images = walk(&tracee, &source, |image, at| {
            watchdog::step();
            let hash = xxh3_128(image);
            let found = if let Some(found) = known.get(&hash) {
                found.clone()
            } else {
                self.figures.first.distinct += 1;
                number += 1;
                let pending = Pending::of(image);
                // Without unfinished work there is nothing to take over in another order.
                let ways = if pending.is_any() { accept::WAYS } else { self.op.ways };
                let found = match self.check(image, &source, number, ways) {
                    Ok(found) => found,
                    Err(why) => return self.record_bad(&format!("{} {why}", death_at(at))),
                };
                known.insert(hash, found.clone());
                if let (false, Some(stride)) = (self.settings.no_pairs, self.op.pairs) {
                    // The short run tests every fourth pair.
                    let stride = if self.settings.short { 4 * stride } else { stride };
                    if pending.is_any() || self.op.place == Place::Alone {
                        pending_number += 1;
                        if pending_number.is_multiple_of(stride)
                            && let Err(why) =
                                self.take_over(image, &source, &pending, &found, pending_number)
                        {
                            self.figures.pairs.bad += 1;
                            self.show(&format!("{} {why}", death_at(at)))?;
                        }
                    }
                }
                found
            };
            if let Some(last) = &last
                && let Err(why) = accept::never_back(&oracle, last, &found)
            {
                self.record_bad(&format!("{} {why}", death_at(at)))?;
            }
            last = Some(found);
            Ok(())
        })?;
        self.figures.first.images += images;
        // An operation that returned is done.
        let done = |found: &Found| {
            oracle.vars.iter().zip(found).all(|(var, state)| state + 1 == var.states.len())
        };
        if !last.as_ref().is_some_and(done) {
            return Err(format!("what has returned is not done: {last:?}"));
        }
        Ok(())
    }

    /// Opens an image in each place and way; returns the resulting state of each variable.
    fn check(
        &mut self,
        image: &[u8],
        of: &Stage,
        number: usize,
        ways: usize,
    ) -> Result<Found, String> {
        let mut found: Option<Found> = None;
        for stage in &self.shown {
            for way in 0..ways {
                let way = if ways < accept::WAYS { number % accept::WAYS } else { way };
                stage.show(image, of);
                self.figures.first.checked += 1;
                let now = accept(stage, &self.oracle, way)
                    .map_err(|why| format!("({}, way {way}): {why}", stage.place.word()))?;
                if let (Some(found), Some(now)) = (&found, &now)
                    && found != now
                {
                    return Err(format!(
                        "({}, way {way}): {found:?} or {now:?}",
                        stage.place.word()
                    ));
                }
                found = now.or(found);
            }
        }
        Ok(found.unwrap_or_else(|| vec![0; self.oracle.vars.len()]))
    }

    /// Steps through the takeover of an image, and checks each image on the way.
    fn take_over(
        &mut self,
        image: &[u8],
        of: &Stage,
        pending: &Pending,
        recovered: &Found,
        number: usize,
    ) -> Result<(), String> {
        let which = number % self.taken.len();
        let script = script(pending, &self.oracle, self.taken[which].place);
        let oracle = after_takeover(&self.oracle, recovered, &script);
        if self.takers[which].is_none() {
            let taker = Tracee::start(&mut part("take-over", self.op, &self.taken[which]));
            match taker.await_first() {
                Stop::Mark => self.takers[which] = Some(taker),
                other => return Err(format!("who takes over came to {other:?} before he began")),
            }
        }
        self.taken[which].show(image, of);
        if let Some(taker) = &mut self.takers[which] {
            ask(taker, &script);
            let stop = taker.go();
            if stop != Stop::Mark {
                self.takers[which] = None;
                return Err(format!("`{script}`: {stop:?} before it began"));
            }
        }
        let (taken, shown) = (&self.taken[which], &self.shown);
        let Some(taker) = &self.takers[which] else { return Ok(()) };
        let mut known: HashMap<u128, Option<Found>> = HashMap::new();
        let mut last: Option<Found> = None;
        let figures = &mut self.figures;
        figures.takeovers += 1;
        let walked = walk(taker, taken, |image, at| {
            watchdog::step();
            let hash = xxh3_128(image);
            let found = if let Some(found) = known.get(&hash) {
                found.clone()
            } else {
                figures.pairs.distinct += 1;
                figures.pairs.checked += 1;
                let turn = figures.pairs.distinct as usize;
                let (stage, way) = (&shown[turn % shown.len()], turn / shown.len() % accept::WAYS);
                stage.show(image, taken);
                let found = accept(stage, &oracle, way).map_err(|why| {
                    let place = stage.place.word();
                    format!("and then, in `{script}`, {} ({place}, way {way}): {why}", death_at(at))
                })?;
                known.insert(hash, found.clone());
                found
            };
            if let (Some(last), Some(found)) = (&last, &found) {
                accept::never_back(&oracle, last, found)
                    .map_err(|why| format!("and then, in `{script}`, {} {why}", death_at(at)))?;
            }
            last = found.or(last.take());
            Ok(())
        });
        match walked {
            Ok(images) => {
                figures.pairs.images += images;
                match taker.go() {
                    Stop::Mark => Ok(()),
                    other => {
                        self.takers[which] = None;
                        Err(format!("`{script}`: {other:?} after its end"))
                    }
                }
            }
            Err(why) => {
                // The process may be at any instruction.
                self.takers[which] = None;
                Err(why)
            }
        }
    }
}

fn ask(taker: &mut Tracee, script: &str) {
    let input = taker.child().stdin.as_mut().expect("its input");
    // Its stops show the result.
    let _ = writeln!(input, "{script} ");
}

fn death_at(at: At) -> String {
    format!("died after {} instructions, before {}:", at.step, name_of(at.instruction))
}

/// Returns the operations that take over all unfinished work: they need the dead process's locks.
fn script(pending: &Pending, oracle: &Oracle, place: Place) -> String {
    let mut script = Vec::new();
    for (number, var) in oracle.vars.iter().enumerate() {
        let is_it = |name: &Vec<u8>| !name.is_empty() && var.name.as_bytes().starts_with(name);
        if pending.records.iter().any(is_it) {
            script.push(format!("s{number}"));
        }
    }
    if pending.structure {
        script.push("i".into());
    }
    if pending.transaction
        && let Some(number) = oracle.vars.iter().position(|var| !var.atomic)
    {
        script.push(format!("t{number}"));
    }
    if pending.flush && place != Place::Named {
        script.push("f".into());
    }
    script.join(" ")
}
