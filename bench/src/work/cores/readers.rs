//! Two readers of one variable, compared with two readers of different variables.
//!
//! Three legs take turns. In the first, this thread reads alone. In the second, a thread on the
//! other core reads another variable (the control: two busy cores slow each other on some
//! machines). In the third, that thread reads the same variable. The ratio is same / different.

use crate::{
    Result,
    measure::{Leg, Plan, median},
    peers::{
        Cell as _,
        board::{Blackboard, Entry},
    },
    record::{Row, Unit},
    values,
};
use core_affinity::CoreId;
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

const IDLE: usize = 0;
const DIFFERENT: usize = 1;
const SAME: usize = 2;
const END: usize = 3;

/// The order for the other reader, and its progress; each has a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicUsize);

#[derive(Default)]
struct Shared {
    order: Line,
    batches: Line,
}

/// Reads in one batch, between two loads of the order.
const BATCH: usize = 256;

fn other(shared: &Shared, mut same: impl FnMut(), mut different: impl FnMut()) {
    loop {
        match shared.order.0.load(Relaxed) {
            SAME => (0..BATCH).for_each(|_| same()),
            DIFFERENT => (0..BATCH).for_each(|_| different()),
            END => return,
            _ => {
                thread::yield_now();
                continue;
            }
        }
        shared.batches.0.fetch_add(1, Relaxed);
    }
}

fn measure(
    plan: &Plan,
    core: CoreId,
    title: &str,
    mut read: impl FnMut(),
    same: impl FnMut() + Send + 'static,
    different: impl FnMut() + Send + 'static,
) {
    if !plan.wants(title) {
        return;
    }
    let shared = Arc::new(Shared::default());
    let theirs = shared.clone();
    let thread = thread::spawn(move || {
        core_affinity::set_for_current(core);
        other(&theirs, same, different);
    });
    let mut round = |order, count: u64| {
        shared.order.0.store(order, Relaxed);
        let mut seen = shared.batches.0.load(Relaxed);
        // Waits until the other reader is running.
        for _ in 0..2 {
            while order != IDLE && shared.batches.0.load(Relaxed) == seen {
                assert!(!thread.is_finished(), "the other reader failed");
                std::hint::spin_loop();
            }
            seen = shared.batches.0.load(Relaxed);
        }
        let began = Instant::now();
        for _ in 0..count {
            read();
        }
        let took = began.elapsed().as_nanos() as f64;
        let batches = shared.batches.0.load(Relaxed) - seen;
        // A round in which the other reader did not run is discarded.
        let ran = order == IDLE || batches as u64 * BATCH as u64 * 4 > count;
        shared.order.0.store(IDLE, Relaxed);
        ran.then_some(took / count as f64)
    };
    let mut count = 1000;
    while round(IDLE, count).is_some_and(|ns| ns * (count as f64) < plan.round.as_nanos() as f64) {
        count *= 2;
    }
    let (mut alone, mut apart, mut together, mut ratios) = (vec![], vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let [a, d, s] = [IDLE, DIFFERENT, SAME].map(|order| round(order, count));
        if let (Some(a), Some(d), Some(s)) = (a, d, s) {
            alone.push(a);
            apart.push(d);
            together.push(s);
            ratios.push(s / d);
        }
    }
    shared.order.0.store(END, Relaxed);
    let _ = thread.join();
    let row = Row::new(title, Unit::Nanoseconds, median(&together));
    plan.report.add(row.clone().beside("different variables", median(&apart), median(&ratios)));
    let of_alone: Vec<f64> =
        together.iter().zip(&alone).map(|(ours, alone)| ours / alone).collect();
    plan.report.add(row.beside("one reader", median(&alone), median(&of_alone)));
    if ratios.len() < plan.rounds / 2 {
        println!("    (the other reader ran in {} of {} rounds)", ratios.len(), plan.rounds);
    }
}

#[inline]
fn read(entry: &Entry<u64>) {
    black_box(black_box(entry).get());
}

/// Measures the two readers; prints its own lines, which have another form, and returns no legs.
pub fn legs(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let titles = ["same Atomic<u64>", "same Var<u64>", "same iceoryx2 entry"];
    if plan.steps.is_some() || !titles.iter().any(|title| plan.wants(title)) {
        return Ok(Vec::new());
    }
    let [core, _, ..] = cores else {
        for title in titles {
            plan.report.absent(title, "different variables", "left out: one core");
        }
        return Ok(Vec::new());
    };
    let map = values::handles::map("readers", 1 << 16)?;

    let one = map.atomic_or("atomic.one", 1_u64)?;
    let (again, two) = (map.atomic::<u64>("atomic.one")?, map.atomic_or("atomic.two", 2_u64)?);
    measure(
        plan,
        *core,
        titles[0],
        move || _ = black_box(black_box(&one).load().expect("there")),
        move || _ = black_box(black_box(&again).load().expect("there")),
        move || _ = black_box(black_box(&two).load().expect("there")),
    );

    let one = map.var_or("one", 1_u64)?;
    let (again, two) = (map.var::<u64>("one")?, map.var_or("two", 2_u64)?);
    measure(
        plan,
        *core,
        titles[1],
        move || _ = black_box(black_box(&one).get().expect("there")),
        move || _ = black_box(black_box(&again).get().expect("there")),
        move || _ = black_box(black_box(&two).get().expect("there")),
    );

    let board = Blackboard::new()?;
    // Keys far enough apart to share no cache line.
    let (one, again, two) = (board.read::<u64>(1)?, board.read::<u64>(1)?, board.read::<u64>(20)?);
    measure(plan, *core, titles[2], move || read(&one), move || read(&again), move || read(&two));
    Ok(Vec::new())
}
