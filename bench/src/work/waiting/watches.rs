//! Watches of many variables, and insertions into a watched map.

use crate::work::names::{Names, figure};
use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{Place, Store, ours::Ours},
};
use mapvar::{Map, Watch};
use std::{fmt::Write as _, time::Instant};

fn filled(count: usize, names: &Names) -> Result<Map> {
    // Space for what the legs insert.
    let mut store = Ours::create("watches", count * 2, 8, Place::Memory)?;
    store.fill(names.iter())?;
    Ok(store.map)
}

fn drained(mut watch: Watch) -> Result<Watch> {
    while watch.try_recv()?.is_some() {}
    Ok(watch)
}

/// One variable of a watch of `count` is set, outside the clock, and the watch reports it.
pub fn telling(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    let title = format!("told, watch of {}", figure(count));
    if !plan.wants(&title) {
        return Ok(Vec::new());
    }
    let names = Names::shuffled(count);
    let map = filled(count, &names)?;
    let mut watch = drained(map.watch_any(names.iter())?)?;
    let handles: Vec<_> = names.iter().take(1_000).map(|name| map.var::<u64>(name)).collect();
    let handles = handles.into_iter().collect::<mapvar::Result<Vec<_>>>()?;
    let mut turns = handles.into_iter().cycle();
    let mut number = 0_u64;
    Ok(vec![Leg::clocked(title, move |times| {
        let mut took = 0.0;
        for _ in 0..times {
            number += 1;
            let changed = turns.next().expect("endless");
            changed.set(number).expect("there");
            let began = Instant::now();
            let change = watch.try_recv().expect("readable").expect("a change");
            took += began.elapsed().as_nanos() as f64;
            assert_eq!(change.name(), changed.name(), "another variable");
        }
        took / times as f64
    })])
}

/// What the clock of an insertion covers.
#[derive(Clone, Copy)]
enum Clocked {
    Insertion,
    InsertionAndReport,
}

/// Returns work that inserts a variable, and receives that from the watch if there is one.
fn insert(map: Map, mut watch: Option<Watch>, clocked: Clocked) -> impl FnMut(u64) -> f64 {
    let (mut name, mut number) = (String::new(), 0_u64);
    move |count| {
        let mut took = 0.0;
        for _ in 0..count {
            name.clear();
            _ = write!(name, "plant.new.{number:07}.pressure");
            number += 1;
            let began = Instant::now();
            map.set(&name, number).expect("space");
            let inserted = began.elapsed();
            if let Some(watch) = &mut watch {
                let change = watch.try_recv().expect("readable").expect("a change");
                assert_eq!(change.name(), name, "another variable");
            }
            took += match clocked {
                Clocked::Insertion => inserted,
                Clocked::InsertionAndReport => began.elapsed(),
            }
            .as_nanos() as f64;
        }
        took / count as f64
    }
}

/// Insertions into a map that a watch of all watches, compared with one that is not watched; alone,
/// and with the `try_recv` that reports each.
pub fn inserting(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    let mut legs = Vec::new();
    for (what, clocked) in [
        ("insert, watched", Clocked::Insertion),
        ("insert and tell, watched", Clocked::InsertionAndReport),
    ] {
        let title = format!("{what}, {}", figure(count));
        if !plan.wants(&title) {
            continue;
        }
        let names = Names::shuffled(count);
        let map = filled(count, &names)?;
        let watch = drained(map.watch_all()?)?;
        let mut leg = Leg::clocked(title, insert(map, Some(watch), clocked));
        if plan.steps.is_none() {
            let unwatched = insert(filled(count, &names)?, None, Clocked::Insertion);
            leg = leg.beside_clocked("insert, unwatched", unwatched);
        }
        legs.push(leg);
    }
    Ok(legs)
}
