//! Set: two processes write, one reads. An acknowledged value is there, and versions grow.

use super::{caught, holds, model, one_variable, process, read_on, without};
use crate::{
    check::{Body, Case},
    mem::{
        Op::{Store, Swap},
        Ways,
    },
    setup::{Got, Vars},
    words::On::Lock,
};
use loom::thread;
use mapvar_engine::{
    mem::Ordering::{Acquire, Release},
    version::Wrote,
};

fn version(wrote: Option<Wrote>) -> Option<u64> {
    match wrote {
        Some(Wrote::Version(version)) => Some(version),
        None => None,
        Some(wrote) => panic!("LOST: {wrote:?}"),
    }
}

fn body(sets: u64, reads: usize, ways: &Ways) -> Body {
    let ways = ways.clone();
    model(one_variable(), move |shared, _| {
        let set = |me: u64| {
            let store = process(shared, me as u32, &ways);
            move || -> Vec<(u64, u64)> {
                let handle = store.handle("a").expect("it is there");
                let values = (1..=sets).map(|number| me * 1000 + number);
                let mut last = 3;
                values
                    .filter_map(|value| {
                        let version = version(store.put_by(handle, value))?;
                        assert!(version > last, "VERSION: {version} after {last}");
                        last = version;
                        Some((version, value))
                    })
                    .collect()
            }
        };
        let other = thread::spawn(set(2));
        let store = process(shared, 3, &Ways::default());
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            read_on(&store, reads, |value, version| {
                seen.push((version, value));
                true
            });
            seen
        });
        let mut acknowledged = set(1)();
        acknowledged.extend(other.join().expect("a writer"));
        acknowledged.push((3, 103));
        acknowledged.sort_unstable();
        assert!(
            acknowledged.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "VERSION: one version twice: {acknowledged:?}"
        );
        for seen in reader.join().expect("a reader") {
            assert!(acknowledged.contains(&seen), "MIXED: {seen:?} of {acknowledged:?}");
        }
        let store = process(shared, 4, &Ways::default());
        let handle = store.handle("a").expect("it is there");
        let Got::Value(value, version) = store.get_by(handle) else { panic!("LOST: all") };
        assert!(
            acknowledged.last() == Some(&(version, value)),
            "LOST: {version} is {value} after {acknowledged:?}"
        );
    })
}

/// The fast paths: they give up if anything is in the way, and the caller then takes the slow ones.
fn fast(ways: &Ways) -> Body {
    let ways = ways.clone();
    model(one_variable(), move |shared, _| {
        let set = |me: u64| {
            let store = process(shared, me as u32, &ways);
            move || {
                let handle = store.handle("a").expect("it is there");
                [1, 2].map(|number| {
                    let value = me * 1000 + number;
                    let done = store.poke_by(handle, value)
                        || version(store.put_by(handle, value)).is_some();
                    if done { value } else { 0 }
                })
            }
        };
        let other = thread::spawn(set(2));
        let store = process(shared, 3, &ways);
        let reader = thread::spawn(move || {
            let handle = store.handle("a").expect("it is there");
            if let Some(value) = store.peek_by(handle) {
                let right = [103, 1001, 1002, 2001, 2002].contains(&value);
                assert!(right, "MIXED: {value}");
            }
        });
        let mine = set(1)();
        let its = other.join().expect("a writer");
        reader.join().expect("a reader");
        let store = process(shared, 4, &Ways::default());
        let handle = store.handle("a").expect("it is there");
        let Got::Value(value, version) = store.get_by(handle) else { panic!("LOST: all") };
        let acknowledged = mine.iter().chain(&its).filter(|value| **value != 0).count() as u64;
        assert!(version == 3 + acknowledged, "VERSION: {version} after {mine:?} and {its:?}");
        let last = |of: [u64; 2]| of.into_iter().rfind(|value| *value != 0);
        let right = [last(mine), last(its)].contains(&Some(value)) || acknowledged == 0;
        assert!(right, "LOST: {value} after {mine:?} and {its:?}");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    // Without the lock's orderings a writer takes an old state for the present one. It then reuses
    // a version, or writes over the slot to which readers are directed.
    let words: &[&str] = &["VERSION", "LOST", "TORN", "MIXED"];
    let (taken, freed) = (&without(Swap, Lock, Acquire), &without(Store, Lock, Release));
    vec![
        holds("set: two writers, a reader", body(1, 1, as_is)),
        holds("set: two writers of two values, a reader twice", body(2, 2, as_is)).bound(3, 1),
        holds("set: the fast paths", fast(as_is)).bound(3, 1),
        caught("set, lock Relaxed on the fast path", words, fast(taken)),
        caught("set, lock Relaxed", words, body(1, 1, taken)),
        caught("set, unlock Relaxed", words, body(1, 1, freed)),
    ]
}
