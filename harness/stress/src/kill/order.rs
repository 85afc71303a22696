//! One life: the order for a process that is to be killed, and the code that it runs.

use super::{
    shared::{Shared, word},
    ways::{self, Look, Way},
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
    pub(crate) way: Way,
    /// How long it is stopped, or what outlives it lives.
    pub(crate) linger: Duration,
    pub(crate) target: Place,
}

impl Order {
    pub(crate) fn to_line(&self) -> String {
        let Self { seed, actor, life, only, passing, when, delay, way, linger, target } = self;
        let only = only.map_or(-1, |op| op as i64);
        let (when, delay) = (*when as u64, delay.as_nanos());
        let (way, linger, target) = (*way as usize, linger.as_nanos(), target.text());
        format!(
            "{seed}\t{actor}\t{life}\t{only}\t{passing}\t{when}\t{delay}\t{way}\t{linger}\t{target}"
        )
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim_end_matches('\n').splitn(10, '\t');
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
        let way = Way::of(number()? as usize);
        let linger = Duration::from_nanos(number()? as u64);
        let target = Place::of(fields.next()?);
        Some(Self { seed, actor, life, only, passing, when, delay, way, linger, target })
    }
}

/// Works until the process is killed; ends it with a flaw.
pub(crate) fn live(order: &Order, shared: &Shared) -> ! {
    let actor = shared.actor(order.actor);
    let open = || {
        let random = Random::new(order.seed);
        let mut worker = Worker::open(&order.target, actor, order.life, order.passing, random)?;
        if order.way == Way::Forked {
            // So that the second open file of the map, with the locks, is opened before the fork:
            // one that another thread opens during a fork is out of the fork handler's reach.
            worker.claim_seat()?;
        }
        Ok(worker)
    };
    let fail = |flaw: Flaw| -> ! {
        eprintln!("{flaw}");
        std::process::exit(3);
    };
    let mut worker = open().unwrap_or_else(|flaw| fail(flaw));
    actor.put(word::READY, order.life);
    std::thread::scope(|scope| {
        ways::begin(scope, order, actor);
        match worker.work(order.only, |_| true) {
            Ok(()) => fail(Flaw::Other("it came to an end".into())),
            Err(flaw) => fail(flaw),
        }
    })
}

/// How a process ended that was to be killed.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As ordered. Whether a process that it started lived longer.
    Killed { outlived: bool },
    /// In another way; says how.
    Otherwise(String),
}

/// Starts processes and kills them.
pub(crate) trait Killer: Send {
    /// Runs a process to its end, and calls `look` in each phase that its way has. For
    /// [`When::Told`] it does so once the process has the map open, and then kills the process.
    fn run(&mut self, order: &Order, shared: &Shared, look: Look<'_>) -> io::Result<Ended>;

    /// Waits until what outlived its processes is gone.
    fn rest(&mut self) -> io::Result<()>;
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
