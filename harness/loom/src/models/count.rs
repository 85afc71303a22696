//! The number of variables without a walk. A count is one that was right at some moment while it was
//! taken, or none; and whoever has seen a variable come or go counts it so.

use super::{caught, holds, model, process, set_thrice, structure, without};
use crate::{
    check::{Body, Case},
    mem::{
        Op::{Load, Store, Swap},
        Ways,
    },
    setup::{Got, Region, Vars, record},
    words::On::{Other, Turns},
};
use loom::thread;
use mapvar_engine::{
    handle::Handle,
    mem::Ordering::{Acquire, Release, SeqCst},
    value::Raw,
    version::Wrote,
};
use std::sync::Arc;

fn region() -> Region {
    let region = Region::new(|store| ["a", "b"].iter().for_each(|name| set_thrice(store, name)));
    (0..2).fold(region, |region, number| region.descriptions(record(number))).count()
}

/// Publishes a tombstone, and leaves the record.
fn bury(store: &super::Process, handle: Handle) {
    match store.write(handle, &Raw::TOMBSTONE) {
        Ok(Wrote::Version(_)) => {}
        other => panic!("LOST: {other:?}"),
    }
}

/// Returns the count, if there is one at this moment.
fn counted(store: &super::Process) -> Option<u64> {
    store.count_now().expect("the words are there")
}

/// One thread removes a variable, and gives it a value again if `back`; another reads, and counts.
fn turn(back: bool, [turning, counting]: [&Ways; 2]) -> Body {
    let [turning, counting] = [turning, counting].map(Clone::clone);
    model(region(), move |shared, _| {
        let counter = process(shared, 2, &counting);
        let counter = thread::spawn(move || {
            let handle = counter.handle("a").expect("it is there");
            let gone = counter.get_by(handle) == Got::Absent;
            let count = counted(&counter);
            assert!([None, Some(1), Some(2)].contains(&count), "COUNT: {count:?}");
            assert!(back || !gone || count != Some(2), "COUNT: {count:?} without a");
            if count == Some(1) && !back {
                assert!(counter.get_by(handle) == Got::Absent, "COUNT: 1 with a");
            }
        });
        let store = process(shared, 1, &turning);
        let handle = store.handle("a").expect("it is there");
        bury(&store, handle);
        if back {
            assert!(matches!(store.put_by(handle, 201), Some(Wrote::Version(_))), "LOST: 201");
        }
        counter.join().expect("a counter");
        let count = counted(&process(shared, 3, &Ways::default()));
        assert!(count == Some(1 + u64::from(back)), "COUNT: {count:?} at the end");
    })
}

/// Two threads of one process remove a variable each.
fn two_turns() -> Body {
    model(region(), move |shared, _| {
        let store = Arc::new(process(shared, 1, &Ways::default()));
        let other = process(shared, 2, &Ways::default());
        let remover = {
            let store = Arc::clone(&store);
            thread::spawn(move || bury(&store, store.handle("b").expect("it is there")))
        };
        let counter = thread::spawn(move || {
            let handles = ["a", "b"].map(|name| other.handle(name).expect("it is there"));
            let gone = handles.map(|handle| u64::from(other.get_by(handle) == Got::Absent));
            let count = counted(&other);
            let most = 2 - gone.iter().sum::<u64>();
            assert!(count.is_none_or(|count| count <= most), "COUNT: {count:?} without {gone:?}");
        });
        bury(&store, store.handle("a").expect("it is there"));
        remover.join().expect("a remover");
        counter.join().expect("a counter");
        let count = counted(&process(shared, 3, &Ways::default()));
        assert!(count == Some(0), "COUNT: {count:?} at the end");
    })
}

/// One process inserts a variable, another reads it, and counts.
fn birth([making, counting]: [&Ways; 2]) -> Body {
    let [making, counting] = [making, counting].map(Clone::clone);
    model(structure::region().count(), move |shared, _| {
        let counter = process(shared, 2, &counting);
        let counter = thread::spawn(move || {
            let born = matches!(counter.glance_or_get("b"), Got::Value(..));
            let count = counted(&counter);
            assert!([None, Some(1), Some(2)].contains(&count), "COUNT: {count:?}");
            assert!(!born || count != Some(1), "COUNT: {count:?} with b");
        });
        let store = process(shared, 1, &making);
        let made = store.put("b", 201);
        counter.join().expect("a counter");
        let count = counted(&process(shared, 3, &Ways::default()));
        assert!(made.is_none() || count == Some(2), "COUNT: {count:?} at the end");
    })
}

/// One process inserts `b`. Another removes `x` once it has read `b`. There were never three
/// variables, and never none.
fn birth_and_turn() -> Body {
    model(structure::region().count(), move |shared, _| {
        let remover = process(shared, 2, &Ways::default());
        let remover = thread::spawn(move || {
            if matches!(remover.glance_or_get("b"), Got::Value(..)) {
                bury(&remover, remover.handle("x").expect("it is there"));
            }
        });
        let counter = process(shared, 3, &Ways::default());
        let counter = thread::spawn(move || {
            let count = counted(&counter);
            assert!([None, Some(1), Some(2)].contains(&count), "COUNT: {count:?}");
        });
        let _ = process(shared, 1, &Ways::default()).put("b", 201);
        remover.join().expect("a remover");
        counter.join().expect("a counter");
    })
}

pub fn cases() -> Vec<Case> {
    let whole = Ways::default();
    vec![
        holds("count: beside a removal", turn(false, [&whole; 2])),
        holds("count: beside a removal and a revival", turn(true, [&whole; 2])),
        holds("count: beside removals by two threads of a process", two_turns()),
        holds("count: beside an insertion", birth([&whole; 2])),
        holds("count: beside an insertion and a removal", birth_and_turn()),
        caught(
            "count: a bit cleared without an ordering",
            &["COUNT"],
            turn(false, [&without(Swap, Turns, SeqCst), &whole]),
        ),
        caught(
            "count: an insertion ends without an ordering",
            &["COUNT"],
            birth([&without(Store, Other, Release), &whole]),
        ),
        caught(
            "count: seats loaded without an ordering",
            &["COUNT"],
            turn(false, [&whole, &without(Load, Turns, Acquire)]),
        ),
    ]
}
