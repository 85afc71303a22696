//! Two readers of one variable, beside two readers of different ones.
//!
//! Three legs take turns: this thread alone; with another on the other core that reads another
//! variable (the control: two busy cores slow each other on some machines); with another that reads
//! the same one. The ratio is same / different.

use crate::{
    Result,
    handles::{self, Blackboard},
    measure::{Leg, Plan, line, median},
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

/// What the other reader is told, and how far it got; a cache line each.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicUsize);

#[derive(Default)]
struct Shared {
    order: Line,
    batches: Line,
}

/// Reads in one batch, between two looks at the order.
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
    goal: Option<f64>,
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
        // Until the other one is at it.
        for _ in 0..2 {
            while order != IDLE && shared.batches.0.load(Relaxed) == seen {
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
        // A round in which the other one did not run tells nothing.
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
    let control = format!("different variables (alone {:.2})", median(&alone));
    line(title, median(&together), Some((&control, median(&apart), median(&ratios), goal)));
    if ratios.len() < plan.rounds / 2 {
        println!("    (the other reader ran in {} of {} rounds)", ratios.len(), plan.rounds);
    }
}

/// Prints its lines itself: they are of another form.
pub fn legs(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let titles = ["same Atomic<u64>", "same Var<u64>", "same iceoryx2 entry"];
    if plan.steps.is_some() || !titles.iter().any(|title| plan.wants(title)) {
        return Ok(Vec::new());
    }
    let [core, _, ..] = cores else {
        println!("two readers: one core only, nothing to see");
        return Ok(Vec::new());
    };
    println!("two readers, a core each: the same variable / different ones");
    let map = handles::map("readers", 1 << 16)?;

    let one = map.atomic_or("atomic.one", 1_u64)?;
    let (again, two) = (map.atomic::<u64>("atomic.one")?, map.atomic_or("atomic.two", 2_u64)?);
    measure(
        plan,
        *core,
        titles[0],
        Some(1.1),
        move || _ = black_box(black_box(&one).get().expect("there")),
        move || _ = black_box(black_box(&again).get().expect("there")),
        move || _ = black_box(black_box(&two).get().expect("there")),
    );

    let one = map.var_or("one", 1_u64)?;
    let (again, two) = (map.var::<u64>("one")?, map.var_or("two", 2_u64)?);
    measure(
        plan,
        *core,
        titles[1],
        Some(1.1),
        move || _ = black_box(black_box(&one).get().expect("there")),
        move || _ = black_box(black_box(&again).get().expect("there")),
        move || _ = black_box(black_box(&two).get().expect("there")),
    );

    let board = Blackboard::new()?;
    // Far enough from each other to share no cache line.
    let (one, again, two) =
        (board.reader::<u64>(1)?, board.reader::<u64>(1)?, board.reader::<u64>(20)?);
    measure(
        plan,
        *core,
        titles[2],
        None,
        move || _ = black_box(black_box(&one).get()),
        move || _ = black_box(black_box(&again).get()),
        move || _ = black_box(black_box(&two).get()),
    );
    Ok(Vec::new())
}
