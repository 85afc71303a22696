//! One life: the order for a process that is to be killed, and the code that it runs.

use super::{
    shared::{Shared, word},
    work::{Flaw, Op, Worker},
};
use crate::region::Place;
use mapvar_harness::Random;
use std::{
    io,
    time::{Duration, Instant},
};

/// How long a process may take to open the map.
pub(crate) const START: Duration = Duration::from_secs(20);

/// When the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After a delay that begins when it was started.
    Started,
    /// After a delay that begins when it had opened the map.
    Ready,
    /// After it has opened the map, as soon as the run gives the command.
    Told,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) actor: usize,
    pub(crate) life: u64,
    /// The operation that the process does nearly always.
    pub(crate) only: Option<Op>,
    pub(crate) passing: u64,
    pub(crate) when: When,
    pub(crate) delay: Duration,
    pub(crate) target: Place,
}

impl Order {
    pub(crate) fn to_line(&self) -> String {
        let Self { seed, actor, life, only, passing, when, delay, target } = self;
        let only = only.map_or(-1, |op| op as i64);
        let (when, delay) = (*when as u64, delay.as_nanos());
        format!("{seed}\t{actor}\t{life}\t{only}\t{passing}\t{when}\t{delay}\t{}", target.text())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim_end_matches('\n').splitn(8, '\t');
        let mut number = || fields.next()?.parse::<i128>().ok();
        let (seed, actor, life) = (number()? as u64, number()? as usize, number()? as u64);
        let only =
            usize::try_from(number()?).ok().and_then(|op| Op::ALL.get(op)).map(|(op, _)| *op);
        let passing = number()? as u64;
        let when = match number()? {
            0 => When::Started,
            1 => When::Ready,
            _ => When::Told,
        };
        let delay = Duration::from_nanos(number()? as u64);
        let target = Place::of(fields.next()?);
        Some(Self { seed, actor, life, only, passing, when, delay, target })
    }
}

/// Works until the process is killed; returns only with a flaw.
pub(crate) fn live(order: &Order, shared: &Shared) -> Flaw {
    let run = || {
        let actor = shared.actor(order.actor);
        let random = Random::new(order.seed);
        let mut worker = Worker::open(&order.target, actor, order.life, order.passing, random)?;
        actor.put(word::READY, order.life);
        worker.work(order.only, |_| true)
    };
    match run() {
        Ok(()) => Flaw::Other("it came to an end".into()),
        Err(flaw) => flaw,
    }
}

/// How a process ended that was to be killed.
#[derive(Debug)]
pub(crate) enum Ended {
    Killed,
    /// It ended by itself; says how.
    Otherwise(String),
}

/// Starts processes and kills them.
pub(crate) trait Killer: Send {
    /// Runs a process to its end. For [`When::Told`] it calls `ready` once the process has the map
    /// open, and then kills the process.
    fn run(&mut self, order: &Order, shared: &Shared, ready: &mut dyn FnMut())
    -> io::Result<Ended>;
}

/// Waits until the moment to kill the process. `gone` returns whether the process has ended by
/// itself; `nap` is the sleep between two polls.
pub(crate) fn await_moment(
    order: &Order,
    shared: &Shared,
    nap: Duration,
    mut gone: impl FnMut() -> bool,
) {
    let began = Instant::now();
    if order.when != When::Started {
        let actor = shared.actor(order.actor);
        let mut polls = 0_u32;
        while actor.get(word::READY) != order.life && began.elapsed() < START {
            polls += 1;
            if polls.is_multiple_of(64) && gone() {
                return;
            }
            std::thread::sleep(nap);
        }
    }
    if !order.delay.is_zero() {
        std::thread::sleep(order.delay);
    }
}
