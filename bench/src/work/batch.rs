//! Transactions and snapshots of several variables, in a store of 1,000.

use super::names::Names;
use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{
        Batch, Place, Store,
        databases::{Lmdb, Redb, Redis, Sqlite, redis},
        ours::{Ours, Single},
    },
    process,
};
use std::hint::black_box;

/// How many variables at once.
pub const SIZES: [usize; 4] = [1, 10, 100, 500];

const COUNT: usize = 1_000;

/// A store, and its names in another order than that of their insertion.
struct Filled<P> {
    store: P,
    names: Vec<&'static str>,
}

fn filled<P: Batch>() -> Result<Filled<P>> {
    let mut store = P::create("batch", COUNT, 8, Place::Memory)?;
    store.fill(Names::ascending(COUNT).iter())?;
    let names: &'static Names = Box::leak(Names::shuffled(COUNT).into());
    Ok(Filled { store, names: names.iter().collect() })
}

fn transaction<P: Batch>(size: usize) -> Result<impl FnMut(u64)> {
    let Filled { mut store, names } = filled::<P>()?;
    let mut parts = 0;
    Ok(move |count| {
        for _ in 0..count {
            let at = parts * size % COUNT;
            parts += 1;
            // A value that is not there yet: SQLite does not write one that is.
            let value = black_box(parts as u64 + (1 << 40));
            store.transaction(black_box(&names[at..at + size]), value);
        }
    })
}

fn snapshot<P: Batch>(size: usize) -> Result<impl FnMut(u64)> {
    let Filled { mut store, names } = filled::<P>()?;
    let mut parts = 0;
    Ok(move |count| {
        for _ in 0..count {
            let at = parts * size % COUNT;
            parts += 1;
            black_box(store.snapshot(black_box(&names[at..at + size])));
        }
    })
}

fn beside<P: Batch>([writes, reads]: [Leg; 2], size: usize) -> Result<[Leg; 2]> {
    Ok([
        writes.beside(P::PEER, transaction::<P>(size)?),
        reads.beside(P::PEER, snapshot::<P>(size)?),
    ])
}

pub fn legs(plan: &Plan, size: usize) -> Result<Vec<Leg>> {
    let titles = ["transaction", "snapshot"].map(|what| format!("{what} of {size}"));
    if !plan.wants_any(&titles) {
        return Ok(Vec::new());
    }
    let [writes, reads] = titles;
    let mut legs =
        [Leg::new(writes, transaction::<Ours>(size)?), Leg::new(reads, snapshot::<Ours>(size)?)];
    if plan.steps.is_none() {
        legs = beside::<Single>(legs, size)?;
        legs = beside::<Lmdb>(legs, size)?;
        legs = beside::<Redb>(legs, size)?;
        legs = beside::<Sqlite>(legs, size)?;
    }
    if plan.steps.is_none() && !plan.quick {
        if process::version(redis::PROGRAM).is_some() {
            legs = beside::<Redis>(legs, size)?;
        } else {
            for leg in &legs {
                plan.report.absent(leg.operation(), <Redis as Store>::PEER, "not installed");
            }
        }
    }
    Ok(legs.into())
}
