//! Growth of a store while it is used: this thread inserts into a store that was created small, and
//! a thread on another core reads one variable by its name. Each insertion and each read is timed
//! alone, with the clock, which takes some 30 ns.

use crate::{
    Result,
    measure::{Leg, Plan, median, quantiles},
    peers::{
        Place, Shared, Store, User as _,
        ours::Ours,
        threads::{Dash, Locked},
    },
    record::{Row, Unit},
    work::names::{Names, figure},
};
use core_affinity::CoreId;
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

/// What each run yields.
const FIGURES: [&str; 5] = [
    "insert, p50",
    "insert, p99",
    "insert, longest",
    "read meanwhile, p99",
    "read meanwhile, longest",
];

/// No more reads are remembered, but for the longest.
const READS: usize = 1 << 22;

/// Fills a new store, and returns the [`FIGURES`].
fn grow<P: Shared>(core: CoreId, names: &Names) -> Result<[f64; 5]> {
    let mut store = P::create("grow", 1, 8, Place::Memory)?;
    let first = names.iter().next().ok_or("no names")?;
    store.fill(std::iter::once(first))?;
    let (first, mut user) = (first.to_owned(), store.user()?);
    let ends = Arc::new(AtomicBool::new(false));
    let theirs = ends.clone();
    let reader = thread::spawn(move || {
        core_affinity::set_for_current(core);
        let (mut reads, mut longest) = (Vec::new(), 0.0_f64);
        while !theirs.load(Relaxed) {
            let began = Instant::now();
            black_box(user.get(black_box(&first)));
            let took = began.elapsed().as_nanos() as f64;
            longest = longest.max(took);
            if reads.len() < READS {
                reads.push(took);
            }
        }
        (reads, longest)
    });
    let insert = |name| -> Result<f64> {
        let began = Instant::now();
        store.fill(std::iter::once(name))?;
        Ok(began.elapsed().as_nanos() as f64)
    };
    let inserts: Result<Vec<f64>> = names.iter().skip(1).map(insert).collect();
    // Also after a failure, so that the reader ends.
    ends.store(true, Relaxed);
    let (reads, longest) = reader.join().map_err(|_| "the reader failed")?;
    let inserts = inserts?;
    let [half, most, worst] = quantiles(inserts, [0.5, 0.99, 1.0]);
    let [read] = quantiles(reads, [0.99]);
    Ok([half, most, worst, read, longest])
}

/// Adds its rows itself, since one run yields several figures.
pub fn legs(plan: &Plan, cores: &[CoreId], count: usize) -> Result<Vec<Leg>> {
    let titles = FIGURES.map(|what| format!("grow to {}, {what}", figure(count)));
    if plan.steps.is_some() || !plan.wants_any(&titles) {
        return Ok(Vec::new());
    }
    let [core, _, ..] = *cores else {
        for title in titles {
            plan.report.absent(&title, Dash::PEER, "left out: one core");
        }
        return Ok(Vec::new());
    };
    let names = Names::shuffled(count);
    let (mut ours, mut dash, mut locked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..if plan.quick { 3 } else { 9 } {
        ours.push(grow::<Ours>(core, &names)?);
        dash.push(grow::<Dash>(core, &names)?);
        locked.push(grow::<Locked>(core, &names)?);
    }
    for (at, title) in titles.iter().enumerate() {
        let of = |runs: &[[f64; 5]]| runs.iter().map(|run| run[at]).collect::<Vec<f64>>();
        let figures = of(&ours);
        let row = Row::new(title, Unit::Nanoseconds, median(&figures));
        for (peer, runs) in [(Dash::PEER, &dash), (Locked::PEER, &locked)] {
            let theirs = of(runs);
            let ratios: Vec<f64> =
                figures.iter().zip(&theirs).map(|(us, them)| us / them).collect();
            plan.report.add(row.clone().beside(peer, median(&theirs), median(&ratios)));
        }
    }
    Ok(Vec::new())
}
