//! Filling a store, walking it, and the memory that it takes then.

use super::names::{Names, figure};
use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{
        Place, Store, Walk, Weighed,
        databases::{Lmdb, Redb, Sqlite},
        hash::Std,
        ours::Ours,
    },
    record::{Row, Unit},
    scratch,
};
use std::{hint::black_box, rc::Rc, time::Instant};

/// Returns work of which a round fills a new store; the figure is that of one variable.
fn insert<P: Store>(count: usize, names: &Rc<Names>) -> impl FnMut(u64) -> f64 + use<P> {
    let names = names.clone();
    move |times| {
        let mut took = 0.0;
        for _ in 0..times {
            let mut store = P::create("insert", count, 8, Place::Memory).expect("created");
            let began = Instant::now();
            store.fill(names.iter()).expect("filled");
            took += began.elapsed().as_nanos() as f64;
            drop(store);
            // Nothing else of this leg has files.
            scratch::clear().expect("removed");
        }
        took / times as f64 / count as f64
    }
}

/// Returns work that visits all variables; the figure is that of one.
fn walk<P: Walk>(count: usize, names: &Names) -> Result<impl FnMut(u64) -> f64 + use<P>> {
    let mut store = P::create("walk", count, 8, Place::Memory)?;
    store.fill(names.iter())?;
    assert_eq!(store.walk(), count as u64, "{}", P::PEER);
    Ok(move |times| {
        let began = Instant::now();
        for _ in 0..times {
            black_box(store.walk());
        }
        began.elapsed().as_nanos() as f64 / times as f64 / count as f64
    })
}

pub fn inserting(plan: &Plan, count: usize) -> Vec<Leg> {
    let title = format!("insert, {}", figure(count));
    if !plan.wants(&title) {
        return Vec::new();
    }
    let names = &Rc::new(Names::shuffled(count));
    let mut leg = Leg::clocked(title, insert::<Ours>(count, names));
    if plan.steps.is_none() {
        leg = leg.beside_clocked(Std::PEER, insert::<Std>(count, names));
        if count <= 1_000_000 {
            leg = leg.beside_clocked(Lmdb::PEER, insert::<Lmdb>(count, names));
        }
        if count < 1_000_000 || (count == 1_000_000 && !plan.quick) {
            leg = leg.beside_clocked(Redb::PEER, insert::<Redb>(count, names));
            leg = leg.beside_clocked(Sqlite::PEER, insert::<Sqlite>(count, names));
        }
    }
    // The largest takes seconds a round.
    vec![if count > 1_000_000 { leg.briefly() } else { leg }]
}

pub fn walking(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    let title = format!("walk, {}", figure(count));
    if !plan.wants(&title) {
        return Ok(Vec::new());
    }
    let names = &Names::shuffled(count);
    let mut leg = Leg::clocked(title, walk::<Ours>(count, names)?);
    if plan.steps.is_none() {
        leg = leg.beside_clocked(Std::PEER, walk::<Std>(count, names)?);
        if count <= 1_000_000 {
            leg = leg.beside_clocked(Lmdb::PEER, walk::<Lmdb>(count, names)?);
        }
        if count < 1_000_000 || (count == 1_000_000 && !plan.quick) {
            leg = leg.beside_clocked(Redb::PEER, walk::<Redb>(count, names)?);
            leg = leg.beside_clocked(Sqlite::PEER, walk::<Sqlite>(count, names)?);
        }
    }
    Ok(vec![leg])
}

const TEXT: usize = 100;

/// Returns the bytes that a variable takes; `bytes` are those of its value.
fn weight<P: Weighed>(count: usize, names: &Names, bytes: usize) -> Result<f64> {
    let mut store = P::create("memory", count, bytes, Place::Memory)?;
    if bytes == TEXT {
        store.fill_text(names.iter(), &"x".repeat(TEXT))?;
    } else {
        store.fill(names.iter())?;
    }
    let each = store.bytes()? / count as f64;
    drop(store);
    scratch::clear()?;
    Ok(each)
}

/// Weighs each store once, since the figure does not vary; adds its rows itself.
pub fn weighing(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    for (what, bytes) in [("u64", 8), ("100 B of text", TEXT)] {
        let title = format!("memory a variable, {what}, {}", figure(count));
        if plan.steps.is_some() || !plan.wants(&title) {
            continue;
        }
        let names = &Names::shuffled(count);
        let ours = weight::<Ours>(count, names, bytes)?;
        let row = Row::new(&title, Unit::Bytes, ours);
        plan.report.add(row.clone());
        let beside = |peer, theirs: f64| {
            plan.report.add(row.clone().beside(peer, theirs, ours / theirs));
        };
        beside(Std::PEER, weight::<Std>(count, names, bytes)?);
        beside(Lmdb::PEER, weight::<Lmdb>(count, names, bytes)?);
        beside(Redb::PEER, weight::<Redb>(count, names, bytes)?);
        beside(Sqlite::PEER, weight::<Sqlite>(count, names, bytes)?);
    }
    Ok(Vec::new())
}
