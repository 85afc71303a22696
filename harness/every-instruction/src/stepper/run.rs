//! The run: every operation, its figures, and what went wrong.

use super::{
    accept::{self, Found, accept},
    image::Pending,
    ops::{self, Op},
    oracle::{Oracle, after_takeover},
    stage::{self, Place, Stage},
    trace::{self, Stop, Tracee},
    walk::{At, name_of, walk},
};
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

/// Without progress for so long something hangs.
const STALLED: Duration = Duration::from_mins(1);

/// What came of an operation, or of all.
#[derive(Clone, Debug, Default)]
struct Figures {
    images: u64,
    distinct: u64,
    checked: u64,
    /// The same inside takeovers.
    takeovers: u64,
    pair_images: u64,
    pair_distinct: u64,
    pair_checked: u64,
    pair_bad: u64,
    /// Those among them too.
    bad: u64,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.distinct += other.distinct;
        self.checked += other.checked;
        self.takeovers += other.takeovers;
        self.pair_images += other.pair_images;
        self.pair_distinct += other.pair_distinct;
        self.pair_checked += other.pair_checked;
        self.pair_bad += other.pair_bad;
        self.bad += other.bad;
    }
}

struct Settings {
    short: bool,
    pairs: bool,
    /// Findings of one operation that are told before it is given up.
    most: u64,
    /// Whether the first finding ends the run.
    first: bool,
}

pub fn main(words: &[&str]) -> ExitCode {
    let mut settings = Settings { short: false, pairs: true, most: 3, first: false };
    let mut wanted = Vec::new();
    for word in words {
        match *word {
            "--short" => settings.short = true,
            "--no-pairs" => settings.pairs = false,
            "--first" => (settings.first, settings.most) = (true, 1),
            "--list" => {
                for op in ops::all() {
                    println!("{}", op.name);
                }
                return ExitCode::SUCCESS;
            }
            option if option.starts_with("--") => {
                eprintln!(
                    "no option {option}: --short, --no-pairs, --first, --list, and words of operations' names"
                );
                return ExitCode::from(2);
            }
            word => wanted.push(word),
        }
    }
    if let Err(why) = can_trace() {
        println!("SKIPPED: {why}");
        return ExitCode::from(SKIPPED);
    }
    let mut chosen: Vec<Op> = ops::all();
    chosen.retain(|op| {
        if wanted.is_empty() {
            !settings.short || op.short
        } else {
            wanted.iter().any(|word| op.name.contains(word))
        }
    });
    // Those that take longest come first.
    chosen.sort_by_key(|op| Reverse(op.pairs));
    watchdog::watch(STALLED, stage::clean_up);
    run_all(&chosen, &settings)
}

/// Whether this process may trace one that it started.
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
    let is_over = || settings.first && all.lock().unwrap_or_else(PoisonError::into_inner).bad > 0;
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
                        figures.images,
                        figures.distinct,
                        figures.checked,
                        figures.takeovers,
                        figures.pair_images,
                        figures.pair_distinct,
                        began.elapsed().as_secs_f32(),
                        if figures.bad == 0 { "" } else { "  BAD" }
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
        all.images,
        chosen.len(),
        all.distinct,
        all.bad - all.pair_bad
    );
    println!(
        "figure: every instruction, pairs (a second death inside the takeover after a first) = {} in {} \
         takeovers, {} distinct images, {} bad (goal 0 bad)",
        all.pair_images, all.takeovers, all.pair_distinct, all.pair_bad
    );
    println!("figure: every instruction, openings checked = {}", all.checked + all.pair_checked);
    if all.bad == 0 && !chosen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program in another part.
fn part(role: &str, op: &Op, stage: &Stage) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([role, op.name, stage.place.word(), &stage.target]).stdin(Stdio::piped());
    command
}

/// One operation.
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
        run.tell(&why);
    }
    run.figures
}

impl Run<'_> {
    fn tell(&mut self, why: &str) {
        self.figures.bad += 1;
        println!("BAD  {}: {why}", self.op.name);
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
                self.figures.distinct += 1;
                number += 1;
                let pending = Pending::of(image);
                // Where nothing is left behind there is nothing to take over in another order.
                let ways = if pending.is_any() { accept::WAYS } else { self.op.ways };
                let found = match self.check(image, &source, number, ways) {
                    Ok(found) => found,
                    Err(why) => {
                        self.tell(&format!("{} {why}", told(at)));
                        if self.figures.bad >= self.settings.most {
                            return Err("given up".into());
                        }
                        return Ok(());
                    }
                };
                known.insert(hash, found.clone());
                if let (true, Some(stride)) = (self.settings.pairs, self.op.pairs) {
                    // The short run looks into every fourth.
                    let stride = if self.settings.short { 4 * stride } else { stride };
                    if pending.is_any() || self.op.place == Place::Alone {
                        pending_number += 1;
                        if pending_number.is_multiple_of(stride)
                            && let Err(why) =
                                self.take_over(image, &source, &pending, &found, pending_number)
                        {
                            self.figures.pair_bad += 1;
                            self.tell(&format!("{} {why}", told(at)));
                            if self.figures.bad >= self.settings.most {
                                return Err("given up".into());
                            }
                        }
                    }
                }
                found
            };
            if let Some(last) = &last
                && let Err(why) = accept::never_back(&oracle, last, &found)
            {
                self.tell(&format!("{} {why}", told(at)));
            }
            last = Some(found);
            Ok(())
        })?;
        self.figures.images += images;
        // What has returned is done.
        let done = |found: &Found| {
            oracle.vars.iter().zip(found).all(|(var, state)| state + 1 == var.states.len())
        };
        if !last.as_ref().is_some_and(done) {
            return Err(format!("what has returned is not done: {last:?}"));
        }
        Ok(())
    }

    /// Opens an image in each place and way; answers in what state each variable is then.
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
                self.figures.checked += 1;
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

    /// Steps through the takeover of an image, and looks at each that comes of it.
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
                figures.pair_distinct += 1;
                figures.pair_checked += 1;
                let turn = figures.pair_distinct as usize;
                let (stage, way) = (&shown[turn % shown.len()], turn / shown.len() % accept::WAYS);
                stage.show(image, taken);
                let found = accept(stage, &oracle, way).map_err(|why| {
                    let place = stage.place.word();
                    format!("and then, in `{script}`, {} ({place}, way {way}): {why}", told(at))
                })?;
                known.insert(hash, found.clone());
                found
            };
            if let (Some(last), Some(found)) = (&last, &found) {
                accept::never_back(&oracle, last, found)
                    .map_err(|why| format!("and then, in `{script}`, {} {why}", told(at)))?;
            }
            last = found.or(last.take());
            Ok(())
        });
        match walked {
            Ok(images) => {
                figures.pair_images += images;
                match taker.go() {
                    Stop::Mark => Ok(()),
                    other => {
                        self.takers[which] = None;
                        Err(format!("`{script}`: {other:?} after its end"))
                    }
                }
            }
            Err(why) => {
                // It may be anywhere.
                self.takers[which] = None;
                Err(why)
            }
        }
    }
}

fn ask(taker: &mut Tracee, script: &str) {
    let input = taker.child().stdin.as_mut().expect("its input");
    // What comes of it is seen by its stops.
    let _ = writeln!(input, "{script} ");
}

fn told(at: At) -> String {
    format!("died after {} instructions, before {}:", at.step, name_of(at.instruction))
}

/// What takes over all that is pending: whoever needs the locks that the dead had.
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
