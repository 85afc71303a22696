//! A process that is not killed: it reads and writes all the time, while other processes die beside
//! it.

use super::{
    leaks,
    shared::{Shared, word},
    work::{Flaw, Op, Worker, options},
};
use crate::region::{LIMIT, Place};
use mapvar_harness::Random;
use std::{
    io,
    path::Path,
    process::{Child, ExitCode},
    thread,
    time::Duration,
};

/// One thread each: one does everything, one reads, one reads by a read-only handle.
pub(crate) const THREADS: usize = 3;
/// The pause between two operations, which leaves the processor to the processes that are killed.
const PAUSE: Duration = Duration::from_micros(100);

pub(crate) fn start(
    shared: &Path,
    first: usize,
    seed: u64,
    passing: u64,
    target: &Place,
) -> io::Result<Child> {
    let numbers = [first.to_string(), seed.to_string(), passing.to_string()];
    let target = target.text();
    let [first, seed, passing] = &numbers;
    super::process::start("survivor", shared, &[first, seed, passing, &target])
}

/// Runs the process until its block contains the order to end.
pub(crate) fn run(shared: &Path, arguments: &[&str]) -> io::Result<ExitCode> {
    let shared = Shared::open(shared)?;
    let parsed = || {
        let [first, seed, passing, target] = arguments else { return None };
        let numbers = (first.parse().ok()?, seed.parse().ok()?, passing.parse().ok()?);
        Some((numbers, Place::of(target)))
    };
    let ((first, seed, passing), target): ((usize, u64, u64), _) =
        parsed().ok_or_else(|| io::Error::other("no survivor"))?;
    let before = leaks::handles();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..THREADS)
            .map(|number| {
                let (shared, target) = (&shared, &target);
                let live = move || survive(shared, first, number, seed, passing, target);
                scope.spawn(live)
            })
            .collect();
        // The survivor also ends when its parent closes the pipe.
        let _ = scope.spawn(|| {
            let _ = io::Read::read(&mut io::stdin(), &mut [0]);
            shared.actor(first).put(word::STOP, 1);
            thread::sleep(LIMIT * 2);
            std::process::exit(4);
        });
        let mut code = ExitCode::SUCCESS;
        for handle in handles {
            match handle.join() {
                Ok(Ok(())) => {}
                Ok(Err(flaw)) => {
                    eprintln!("a survivor: {flaw}");
                    std::process::exit(3);
                }
                Err(_) => code = ExitCode::from(101),
            }
        }
        if code != ExitCode::SUCCESS {
            std::process::exit(101);
        }
        // All handles are closed again. (On Windows threads keep handles of their own.)
        let after = leaks::handles();
        if cfg!(unix) && after != before {
            eprintln!("{}", Flaw::Leaked(format!("handles: {before:?} before, {after:?} after")));
            std::process::exit(3);
        }
        std::process::exit(0);
    })
}

fn survive(
    shared: &Shared,
    first: usize,
    number: usize,
    seed: u64,
    passing: u64,
    target: &Place,
) -> Result<(), Flaw> {
    let actor = shared.actor(first + number);
    let random = Random::new(seed + number as u64);
    let mut worker = Worker::open(target, actor, 1, passing, random)?;
    if number == 2 {
        worker.map = options(target).read_only(true).open()?;
    }
    actor.put(word::READY, 1);
    let only = [None, Some(Op::ReadCommon), Some(Op::ReadCommon)][number];
    if number < 2 {
        worker.work(only, |_| {
            thread::sleep(PAUSE);
            shared.actor(first).get(word::STOP) == 0
        })?;
    } else {
        while shared.actor(first).get(word::STOP) == 0 {
            worker.only_read()?;
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}
