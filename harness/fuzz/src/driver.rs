//! Runs seeds by the million: threads that run a target, and a watchdog that ends a hang. A failed
//! case is printed so that it can be repeated alone.

use crate::{guard, random::Random};
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// An execution that takes longer hangs: the slowest takes a tenth of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The low bits of a seed that differ between the cases of a batch; the others are the same.
pub const BATCH: u32 = 24;

/// One input.
#[derive(Debug)]
pub struct Case {
    /// The seed that determines the whole case.
    pub seed: u64,
    /// Bits of the parts that are used; fewer while the case is being made smaller.
    pub keep: u64,
    /// Descriptions of its steps, if they are to be printed.
    steps: Option<RefCell<Vec<String>>>,
}

impl Case {
    /// Returns the whole case of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, keep: u64::MAX, steps: None }
    }

    /// Returns whether part `number` is used.
    pub fn keeps(&self, number: usize) -> bool {
        number >= 64 || self.keep >> number & 1 == 1
    }

    /// Records a description of a step, if descriptions are wanted.
    #[inline]
    pub fn record(&self, what: impl FnOnce() -> String) {
        if let Some(steps) = &self.steps {
            steps.borrow_mut().push(what());
        }
    }
}

/// Something to be fuzzed; it fails by a panic.
pub trait Target {
    /// Runs one case; returns how many executions that was.
    fn run(&mut self, case: &Case) -> u64;
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that stores the message, so that the code that catches the panic can print
/// it.
pub fn hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload().downcast_ref::<String>().cloned();
        let text = text.or_else(|| info.payload().downcast_ref::<&str>().map(ToString::to_string));
        let place =
            info.location().map_or(String::new(), |at| format!(", {}:{}", at.file(), at.line()));
        let text = format!("{}{place}", text.unwrap_or_else(|| "a panic".into()));
        if guard::current().is_none() {
            println!("FAILED: {text}");
        }
        PANIC.with(|panic| *panic.borrow_mut() = Some(text));
    }));
}

/// Runs one case; returns the number of executions, or what went wrong.
fn attempt(called: &'static str, target: &mut dyn Target, case: &Case) -> Result<u64, String> {
    guard::note(called, case.seed);
    let (done, huge) = guard::measured(|| catch_unwind(AssertUnwindSafe(|| target.run(case))));
    match done {
        Ok(_) if huge != 0 => Err(format!("{huge} bytes of memory were asked for")),
        Ok(executions) => Ok(executions),
        Err(_) => Err(PANIC
            .with(|panic| panic.borrow_mut().take())
            .unwrap_or_else(|| "a panic without a word".into())),
    }
}

/// Returns the place in a message, without the message's numbers.
fn place(flaw: &str) -> &str {
    flaw.rsplit(", ").next().unwrap_or(flaw)
}

/// Makes a failed case as small as leaving out parts can; returns its steps as text.
fn made_smaller(called: &'static str, target: &mut dyn Target, seed: u64, flaw: &str) -> String {
    let (mut keep, began) = (u64::MAX, Instant::now());
    for bit in 0..64 {
        if began.elapsed() > Duration::from_secs(4) {
            break;
        }
        let fewer = Case { seed, keep: keep & !(1 << bit), steps: None };
        if attempt(called, target, &fewer).is_err_and(|other| place(&other) == place(flaw)) {
            keep = fewer.keep;
        }
    }
    let case = Case { seed, keep, steps: Some(RefCell::default()) };
    let _ = attempt(called, target, &case);
    let lines = case.steps.map(RefCell::into_inner).unwrap_or_default();
    lines.into_iter().map(|line| format!("    {line}\n")).collect()
}

/// The result of a target.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many executions there were.
    pub executions: u64,
    /// How long the target ran.
    pub took: Duration,
    /// How many cases failed.
    pub failures: u64,
}

/// The case that a thread runs, for the watchdog.
#[derive(Default)]
struct Desk {
    seed: AtomicU64,
    /// When the case began, in milliseconds since the start plus one; 0: no case is running.
    since: AtomicU64,
}

/// Runs a target in all threads for a given time; stops at the first case that fails.
pub fn drive(
    called: &'static str,
    make: impl Fn() -> Box<dyn Target> + Sync,
    seed: u64,
    time: Duration,
    threads: usize,
) -> Sum {
    // Builds the target once in advance, so that the threads find what it keeps for all of them.
    drop(make());
    let began = Instant::now();
    let (done, over, failures) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(0_u64));
    let desks: Vec<Desk> = (0..threads).map(|_| Desk::default()).collect();
    let now = || began.elapsed().as_millis() as u64 + 1;
    std::thread::scope(|scope| {
        let workers: Vec<_> = desks
            .iter()
            .enumerate()
            .map(|(number, desk)| {
                let (done, over, failures, make, now) = (&done, &over, &failures, &make, &now);
                scope.spawn(move || {
                    let mut target = make();
                    let mut seeds = Random::new(seed.wrapping_add(number as u64) << 8);
                    let (mut round, mut batch) = (0_u64, 0);
                    while !over.load(Relaxed) {
                        if round.is_multiple_of(64) && began.elapsed() >= time {
                            break;
                        }
                        round += 1;
                        if round % 64 == 1 {
                            batch = seeds.word() >> 40;
                        }
                        let case = Case::new(batch << BATCH | seeds.word() >> (64 - BATCH));
                        desk.seed.store(case.seed, Relaxed);
                        desk.since.store(now(), Relaxed);
                        match attempt(called, &mut *target, &case) {
                            Ok(executions) => {
                                done.fetch_add(executions, Relaxed);
                            }
                            Err(flaw) => {
                                over.store(true, Relaxed);
                                desk.since.store(0, Relaxed);
                                let mut failures =
                                    failures.lock().unwrap_or_else(PoisonError::into_inner);
                                *failures += 1;
                                let smaller = made_smaller(called, &mut *target, case.seed, &flaw);
                                println!(
                                    "FAILED: target {called}, seed {}: {flaw}\n{smaller}  again: \
                                     fuzz --one {called} --seed {}",
                                    case.seed, case.seed
                                );
                            }
                        }
                        desk.since.store(0, Relaxed);
                    }
                })
            })
            .collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
            for desk in &desks {
                let since = desk.since.load(Relaxed);
                if since != 0 && now().saturating_sub(since) > PATIENCE.as_millis() as u64 {
                    let seed = desk.seed.load(Relaxed);
                    println!(
                        "FAILED: target {called}, seed {seed}: it hangs, for more than {PATIENCE:?}\n  \
                         again: fuzz --one {called} --seed {seed}"
                    );
                    std::process::exit(1);
                }
            }
        }
    });
    let failures = *failures.lock().unwrap_or_else(PoisonError::into_inner);
    Sum { executions: done.load(Relaxed), took: began.elapsed(), failures }
}

/// Runs one case, and prints all its steps; returns whether it passed.
pub fn one(called: &'static str, target: &mut dyn Target, seed: u64) -> bool {
    let case = Case { seed, keep: u64::MAX, steps: Some(RefCell::default()) };
    let done = attempt(called, target, &case);
    for line in case.steps.map(RefCell::into_inner).unwrap_or_default() {
        println!("    {line}");
    }
    match done {
        Ok(_) => {
            println!("seed {seed} of {called} is well");
            true
        }
        Err(flaw) => {
            println!(
                "FAILED: {flaw}\n  as small as it gets:\n{}",
                made_smaller(called, target, seed, &flaw)
            );
            false
        }
    }
}
