//! Waiting: no waiter of a variable sleeps once it has changed. Sleeps have no timeout here, so
//! that a lost wake is a deadlock, which loom reports.

use super::{Process, caught, covered, holds, model, process, set_thrice, without};
use crate::{
    check::{Body, Case},
    mem::{Op, Ways},
    setup::{Region, Vars, record},
    words::On,
};
use loom::thread;
use mapvar_engine::{
    handle::Handle,
    layout,
    mem::{Mem, Ordering},
    record::wait::Observed,
    variable::follow::Asked,
};
use std::time::Duration;

/// A sleep ends by a wake alone, whatever its timeout.
const FOR_EVER: Duration = Duration::MAX;
const CHANGES: u64 = layout::live::CHANGES_WAKE;

/// `a` and `b`, each at version 3.
fn region() -> Region {
    Region::new(|store| {
        set_thrice(store, "a");
        set_thrice(store, "b");
    })
    .values(record(0))
    .values(record(1))
    .wakes([0, 1].map(|number| record(number) + layout::record::WAKE))
    .wakes([CHANGES])
    .ring(3)
}

fn observed(handle: Handle, version: u64) -> Observed {
    Observed { id: handle.id, number: version, removed: false }
}

/// Waits for one variable until it is beyond `version`.
fn await_one(store: &Process, name: &str, version: u64) {
    let handle = store.handle(name).expect("it is there");
    let mut seen = observed(handle, 3);
    while seen.number <= version {
        while !store.sleep_once(handle, seen, FOR_EVER).expect("a sleep") {}
        let now = store.observed(handle).expect("a look").expect("it is there");
        assert!(now.number > seen.number, "BACK: {now:?} after {seen:?}");
        seen = now;
    }
}

/// Waits until `count` of the two variables are beyond version 3, as a watch of many does.
fn await_many(store: &Process, count: usize) {
    let handles = ["a", "b"].map(|name| store.handle(name).expect("it is there"));
    let mut next = store.changes_head().expect("the head");
    let mut to_look = handles.to_vec();
    let mut changed = Vec::new();
    loop {
        for handle in to_look.drain(..) {
            loop {
                match store.ask(handle).expect("a look") {
                    Asked::Told => break,
                    Asked::Busy => store.mem().sleep_until_free(handle.lock()),
                    Asked::Gone => panic!("GONE: {handle:?}"),
                }
            }
            if !store.is_unchanged(handle, observed(handle, 3)) && !changed.contains(&handle) {
                changed.push(handle);
            }
        }
        if changed.len() >= count {
            return;
        }
        let seen = store.mem().wakes(CHANGES).expect("a wake word");
        let head = store.changes_head().expect("the head");
        if head != next {
            let mut told = Vec::new();
            let whole = store.changes(next, head, |entry| told.push(entry.at)).expect("the ring");
            let is_told = |handle: &&Handle| !whole || told.contains(&handle.at);
            to_look.extend(handles.iter().filter(is_told).copied());
            next = head;
            continue;
        }
        store.mem().park(CHANGES, seen, FOR_EVER).expect("a sleep");
    }
}

/// `waiters` threads wait until `sets` writers have each set `a` once. If `any`, one of the waiters
/// waits for either variable.
fn body(waiters: u32, sets: u32, any: bool, ways: &Ways) -> Body {
    let ways = ways.clone();
    model(region(), move |shared, _| {
        let mut threads = Vec::new();
        for number in 0..waiters {
            let store = process(shared, 10 + number, &ways);
            threads.push(thread::spawn(move || {
                if any && number == 0 {
                    await_many(&store, 1);
                } else {
                    await_one(&store, "a", 2 + u64::from(sets));
                }
            }));
        }
        for number in 1..sets {
            let store = process(shared, number, &ways);
            threads.push(thread::spawn(move || {
                store.put("a", 1000).expect("nobody has the lock for long");
            }));
        }
        let store = process(shared, 5, &ways);
        store.put("a", 2000).expect("nobody has the lock for long");
        for thread in threads {
            thread.join().expect("it ends");
        }
    })
}

/// Two threads each set one of two variables, and a third waits for both.
fn both(ways: &Ways) -> Body {
    let ways = ways.clone();
    model(region(), move |shared, _| {
        let store = process(shared, 10, &ways);
        let waiter = thread::spawn(move || await_many(&store, 2));
        let store = process(shared, 1, &ways);
        let writer = thread::spawn(move || {
            store.put("b", 1000).expect("nobody has the lock for long");
        });
        let store = process(shared, 2, &ways);
        store.put("a", 2000).expect("nobody has the lock for long");
        writer.join().expect("it ends");
        waiter.join().expect("it ends");
    })
}

/// A writer dies at some step, and its successor sets the same variable. A third process waits for
/// it, or for one of `many`.
fn writer_dies(many: bool) -> Body {
    let ways = Ways::default();
    model(region(), move |shared, step| {
        let store = process(shared, 10, &ways);
        let waiter =
            thread::spawn(
                move || {
                    if many { await_many(&store, 1) } else { await_one(&store, "a", 3) }
                },
            );
        let mortal = process(shared, 1, &ways.clone().dies(step));
        let handle = mortal.handle("a").expect("it is there");
        let mortal = thread::spawn(move || {
            mortal.mem().mortal(|| mortal.put_by(handle, 1001));
        });
        mortal.join().expect("the mortal");
        let store = process(shared, 2, &ways);
        assert!(store.put_by(handle, 2001).is_some(), "LOST: the lock");
        waiter.join().expect("the waiter");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    let no_wake = &without(Op::Swap, On::Wake, Ordering::AcqRel);
    let no_look = &without(Op::Swap, On::Lock, Ordering::AcqRel);
    let no_head = &without(Op::Swap, On::Ring, Ordering::AcqRel);
    vec![
        holds("wait: a writer, two who wait", body(2, 1, false, as_is)).bound(3, 2),
        // With more switches a writer gives up on the lock.
        holds("wait: two writers, one who waits for both", body(1, 2, false, as_is)).bound(2, 2),
        holds("wait: for one, and for any", body(2, 1, true, as_is)).bound(3, 2),
        holds("wait: for both of two, of two writers", both(as_is)).bound(3, 2),
        holds("wait: the writer dies", writer_dies(false)).bound(3, 2).dies(),
        holds("wait: the writer dies, one waits for any", writer_dies(true)).bound(2, 2).dies(),
        // Loom's own word for a thread that sleeps for ever.
        caught("wait, wake word Relaxed", &["deadlock"], body(1, 1, true, no_wake)),
        caught("wait, look at the lock Relaxed", &["deadlock"], body(1, 1, false, no_look)),
        // The look at the record's lock orders the same. An Atomic, which has none, needs the head.
        covered("wait, head of the ring Relaxed", both(no_head)).bound(2, 2),
    ]
}
