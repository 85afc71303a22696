//! One to eight threads that read or write one store of 1,000 variables by name at once.
//!
//! The threads are on all cores in turn, and run for as long as a round is. The figure is the time
//! divided by the operations of all threads: half of it is twice the throughput.

use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{
        Place, Shared, Store as _, User as _,
        databases::Lmdb,
        ours::Ours,
        threads::{Dash, Locked},
    },
    work::names::Names,
};
use core_affinity::CoreId;
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How many threads at once.
pub const SIZES: [usize; 4] = [1, 2, 4, 8];

const COUNT: usize = 1_000;

/// Operations between two looks at the clock's order.
const BATCH: usize = 64;

/// Long, so that threads that share a core have several turns each.
const ROUND: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Get,
    Set,
}

/// The order for the threads, and what they report; each has a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Default)]
struct Orders {
    /// The number of this round. A thread that finds a new one has a part in it.
    round: Line<AtomicU64>,
    running: Line<AtomicBool>,
    ends: Line<AtomicBool>,
    finished: Line<AtomicUsize>,
    operations: Line<AtomicU64>,
}

struct Crowd {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start<P: Shared>(cores: &[CoreId], verbs: &[(Verb, bool)]) -> Result<Self> {
        let mut store = P::create("crowd", COUNT, 8, Place::Memory)?;
        store.fill(Names::ascending(COUNT).iter())?;
        let names: &'static Names = Box::leak(Names::shuffled(COUNT).into());
        let names: Arc<[&str]> = names.iter().collect();
        let mut crowd = Self { orders: Arc::default(), threads: Vec::new() };
        for (number, &(verb, counted)) in verbs.iter().enumerate() {
            let (orders, names, mut user) = (crowd.orders.clone(), names.clone(), store.user()?);
            let core = cores[number % cores.len()];
            crowd.threads.push(thread::spawn(move || {
                core_affinity::set_for_current(core);
                // They start at different names.
                let mut names = names.iter().cycle().skip(number * 131 % COUNT);
                let mut value = 1 << 40;
                work(&orders, counted, || {
                    if verb == Verb::Get {
                        user.begin_reads();
                    }
                    for name in names.by_ref().take(BATCH) {
                        if verb == Verb::Get {
                            black_box(user.get(black_box(name)));
                        } else {
                            value += 1;
                            user.set(black_box(name), value);
                        }
                    }
                    if verb == Verb::Get {
                        user.end_reads();
                    }
                });
            }));
        }
        Ok(crowd)
    }

    fn wake(&self) {
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }

    /// Lets the threads work for a round; returns the nanoseconds of one operation.
    fn round(&self) -> f64 {
        let orders = &self.orders;
        orders.finished.0.store(0, Relaxed);
        orders.operations.0.store(0, Relaxed);
        orders.running.0.store(true, Relaxed);
        let began = Instant::now();
        orders.round.0.fetch_add(1, Relaxed);
        self.wake();
        thread::sleep(ROUND);
        orders.running.0.store(false, Relaxed);
        while orders.finished.0.load(Relaxed) < self.threads.len() {
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a thread failed");
            thread::yield_now();
        }
        let took = began.elapsed().as_nanos() as f64;
        took / orders.operations.0.load(Relaxed).max(1) as f64
    }
}

/// Runs batches whenever there is a round.
fn work(orders: &Orders, counted: bool, mut batch: impl FnMut()) {
    let mut seen = 0;
    while !orders.ends.0.load(Relaxed) {
        let round = orders.round.0.load(Relaxed);
        if round == seen {
            thread::park();
            continue;
        }
        seen = round;
        let mut operations = 0;
        while orders.running.0.load(Relaxed) {
            batch();
            operations += BATCH as u64;
        }
        if counted {
            orders.operations.0.fetch_add(operations, Relaxed);
        }
        orders.finished.0.fetch_add(1, Relaxed);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.orders.ends.0.store(true, Relaxed);
        self.wake();
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}

fn crowd<P: Shared>(
    cores: &[CoreId],
    verbs: &[(Verb, bool)],
) -> Result<impl FnMut(u64) -> f64 + use<P>> {
    let crowd = Crowd::start::<P>(cores, verbs)?;
    Ok(move |_| crowd.round())
}

/// All three kinds with so many threads.
pub fn legs(plan: &Plan, cores: &[CoreId], size: usize) -> Result<Vec<Leg>> {
    let under: Vec<_> =
        std::iter::repeat_n((Verb::Get, true), size).chain([(Verb::Set, false)]).collect();
    let kinds = [
        (format!("get by name, {size} at once"), vec![(Verb::Get, true); size]),
        (format!("set by name, {size} at once"), vec![(Verb::Set, true); size]),
        (format!("get by name, {size} under a writer"), under),
    ];
    let mut legs = Vec::new();
    for (title, verbs) in kinds {
        if plan.steps.is_some() || !plan.wants(&title) {
            continue;
        }
        legs.push(
            Leg::clocked(title, crowd::<Ours>(cores, &verbs)?)
                .beside_clocked(Dash::PEER, crowd::<Dash>(cores, &verbs)?)
                .beside_clocked(Locked::PEER, crowd::<Locked>(cores, &verbs)?)
                .beside_clocked(Lmdb::PEER, crowd::<Lmdb>(cores, &verbs)?)
                .briefly(),
        );
    }
    Ok(legs)
}
