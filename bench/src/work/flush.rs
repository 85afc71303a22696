//! Changes that wait for the disk.

use super::names::{Names, figure};
use crate::{
    Result, machine,
    measure::{Leg, Plan},
    peers::{
        Durable, Place, Store,
        databases::{Lmdb, Redb, Sqlite},
        memory::Mapped,
        ours::Ours,
    },
};

const COUNT: usize = 10_000;

/// Returns work that changes `size` variables of `store` and waits for the disk.
fn change<P: Durable + 'static>(mut store: P, count: usize, size: usize) -> impl FnMut(u64) {
    let names: &'static Names = Box::leak(Names::shuffled(count).into());
    let names: Vec<&str> = names.iter().collect();
    let mut parts = 0;
    move |times| {
        for _ in 0..times {
            let at = parts * size % count;
            parts += 1;
            // A value that is not there yet: SQLite does not write one that is.
            store.change(&names[at..at + size], parts as u64 + (1 << 40));
        }
    }
}

fn filled<P: Store>(count: usize) -> Result<P> {
    let mut store = P::create("flush", count, 8, Place::Disk)?;
    store.fill(Names::ascending(count).iter())?;
    Ok(store)
}

/// A map in a file, flushed.
fn ours(count: usize) -> Result<Ours> {
    let ours: Ours = filled(count)?;
    ours.map.flush()?;
    Ok(ours)
}

fn beside<P: Store + Durable>(leg: Leg, size: usize) -> Result<Leg> {
    Ok(leg.beside(<P as Durable>::PEER, change(filled::<P>(COUNT)?, COUNT, size)))
}

pub fn legs(plan: &Plan, size: usize) -> Result<Vec<Leg>> {
    let title = format!("flush of {size}");
    if !plan.wants(&title) {
        return Ok(Vec::new());
    }
    let mut leg = Leg::new(title, change(ours(COUNT)?, COUNT, size));
    if plan.steps.is_none() {
        let mapped = Mapped::create("flush", COUNT)?;
        leg = leg.beside(Mapped::PEER, change(mapped, COUNT, size));
        leg = beside::<Lmdb>(leg, size)?;
        leg = beside::<Redb>(leg, size)?;
        leg = beside::<Sqlite>(leg, size)?;
    }
    Ok(vec![leg])
}

/// How many Atomics the large map has, at equal distances.
const ATOMICS: usize = 100;

/// One change in a large map that has Atomics, compared with one in a map of 1,000.
pub fn of_large(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    let title = format!("flush of 1 of {}, with Atomics", figure(count));
    let peer = "flush of 1 of 1 k";
    if !plan.wants(&title) {
        return Ok(Vec::new());
    }
    // A variable takes 400 bytes, and the first flush may need as much again.
    let needed = count as u64 * 800;
    if machine::disk()? < needed {
        let why = format!("skipped: needs {} GB of disk", (needed >> 30) + 1);
        plan.report.absent(&title, peer, &why);
        return Ok(Vec::new());
    }
    let mut large = Ours::create("flush", count, 8, Place::Disk)?;
    let names = Names::ascending(count);
    let mut rest = names.iter();
    for number in 0..ATOMICS {
        large.fill(rest.by_ref().take(count / ATOMICS))?;
        large.map.atomic_or(&format!("atomic.{number}"), 7_u64)?;
    }
    large.fill(rest)?;
    large.map.flush()?;
    let mut leg = Leg::new(title, change(large, count.min(1_000_000), 1));
    if plan.steps.is_none() {
        leg = leg.beside(peer, change(ours(1_000)?, 1_000, 1));
    }
    Ok(vec![leg])
}
