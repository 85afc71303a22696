//! Insertion and collection: a name is found whole or not at all. A process that takes the
//! structure lock after a death finishes or undoes the unfinished operation.
//!
//! The Release of an index word and the Release of the id that follows it cover each other for a
//! record that is used for the first time. `identity` shows where the id's alone is needed. The
//! id's also covers those of `state` and `version` before it.

use super::{Process, caught, covered, holds, model, process, without};
use crate::{
    check::{Body, Case},
    mem::{Op::Store, Ways},
    setup::{Got, Region, Vars, names, record},
    words::On::{Id, Index, State, Version},
};
use loom::{sync::atomic::AtomicBool, thread};
use mapvar_engine::{
    layout,
    mem::Ordering::{Acquire, Release},
};
use std::sync::Arc;

const RECORD: u64 = layout::record_bytes(1) as u64;
/// The block class of a name of more than 32 bytes.
const BLOCK: u64 = layout::BLOCK_CLASSES[0] as u64;
const LONG: &str = "a name that is longer than a record's line has room for";

/// `x` in record 0; the other records were never used.
pub fn region() -> Region {
    let region = Region::new(|store| assert_eq!(store.put("x", 1), Some(1)));
    (0..4).fold(region, |region, number| region.identity(record(number))).index(0..5).structure()
}

/// One process, or two, set a new variable; another looks it up.
fn insert(both: bool, ways: [&Ways; 2]) -> Body {
    let [making, reading] = ways.map(Clone::clone);
    model(region(), move |shared, _| {
        let reader = process(shared, 3, &reading);
        let acknowledged = Arc::new(AtomicBool::new(false));
        let acknowledge = Arc::clone(&acknowledged);
        let reader = thread::spawn(move || {
            let mut last = Got::Absent;
            for _ in 0..2 {
                let known = acknowledged.load(Acquire);
                match (last, reader.glance_or_get("b")) {
                    (_, Got::Absent) if known => panic!("LOST: b, and it was said to be there"),
                    (Got::Absent, got @ Got::Value(201 | 202, 1..=2)) => last = got,
                    (Got::Absent, Got::Absent) | (_, Got::Busy) => {}
                    (Got::Value(_, one), got @ Got::Value(201 | 202, two)) if two >= one => {
                        last = got;
                    }
                    (last, got) => panic!("MIXED: {got:?} after {last:?}"),
                }
            }
        });
        let other = both.then(|| {
            let other = process(shared, 2, &making);
            thread::spawn(move || other.put("b", 202))
        });
        let store = process(shared, 1, &making);
        let mine = store.put("b", 201);
        acknowledge.store(mine.is_some(), Release);
        let its = other.and_then(|other| other.join().expect("another"));
        reader.join().expect("a looker");
        let after = process(shared, 4, &Ways::default());
        let last = match (mine, its) {
            (Some(mine), Some(its)) => {
                assert!(mine != its, "VERSION: {mine} twice");
                Some(if mine > its { 201 } else { 202 })
            }
            (Some(_), None) => Some(201),
            (None, Some(_)) => Some(202),
            (None, None) => None,
        };
        let got = after.glance_or_get("b");
        if let Some(last) = last {
            assert!(matches!(got, Got::Value(value, _) if value == last), "LOST: {got:?}");
        }
        let used = after.space().expect("space").used;
        assert!(used <= 2 * RECORD, "LEAKED: {used} bytes for two variables");
    })
}

/// One process removes `x` while another sets it, both by name.
fn remove() -> Body {
    let ways = Ways::default();
    model(region(), move |shared, _| {
        let remover = process(shared, 2, &ways);
        let remover = thread::spawn(move || remover.take("x"));
        let store = process(shared, 1, &ways);
        let set = store.put("x", 201);
        let removed = remover.join().expect("a remover");
        let after = process(shared, 3, &Ways::default());
        let got = after.glance_or_get("x");
        // A timeout may occur after the tombstone was published.
        let right = match got {
            Got::Value(201, _) => true,
            Got::Value(1, 1) => set.is_none() && removed != Some(true),
            Got::Absent => removed != Some(false),
            _ => false,
        };
        assert!(right, "LOST: x is {got:?} after {set:?} {removed:?}");
        assert!(after.take("x").is_some() && after.glance_or_get("x") == Got::Absent, "STUCK");
        let used = after.space().expect("space").used;
        assert!(used == 0, "LEAKED: {used} bytes for no variable");
    })
}

/// The operation of a mortal process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It creates `b`.
    Insert,
    /// It removes `x`.
    Remove,
}

impl Deed {
    /// Returns the variable's name, its old value and its new one.
    pub fn changes(self) -> (&'static str, Got, Got) {
        match self {
            Self::Insert => ("b", Got::Absent, Got::Value(201, 1)),
            Self::Remove => ("x", Got::Value(1, 1), Got::Absent),
        }
    }

    /// Runs the operation; returns whether it succeeded in time.
    pub fn run(self, store: &Process) -> bool {
        let (name, ..) = self.changes();
        match self {
            Self::Insert => store.put(name, 201).is_some(),
            Self::Remove => store.take(name).is_some(),
        }
    }
}

/// Asserts the end of a history with a deed, after which `c` may have been created. Acknowledged
/// (`done`, `made`) or seen changes are there, and nothing leaks. Returns the deed's variable.
pub fn judge(after: &Process, deed: Deed, done: bool, made: bool, seen: bool) -> &'static str {
    let (name, old, new) = deed.changes();
    // Takes the structure lock, which replays unfinished work.
    assert!(after.put("d", 401).is_some(), "STUCK");
    let got = after.get(name);
    assert!(got == old || got == new, "MIXED: {got:?}");
    assert!(!done || got == new, "LOST: {name} is {got:?}, acknowledged");
    assert!(!seen || got == new, "VANISHED: {name} is {got:?}");
    assert!(!made || after.glance_or_get("c") == Got::Value(301, 1), "LOST: c");
    // A tombstone that no process collected goes with the next removal.
    if let (Deed::Remove, Got::Absent) = (deed, got) {
        assert!(after.take("x").is_some(), "STUCK");
    }
    let names = ["x", "b", "c", "d"];
    let there = names.iter().filter(|name| after.get(name) != Got::Absent).count() as u64;
    let used = after.space().expect("space").used;
    assert!(used == there * RECORD, "LEAKED: {used} bytes for {there} variables");
    name
}

/// The mortal process does its deed; the successor creates `c`, which replays; another process
/// looks up the deed's variable.
fn death(deed: Deed, successor: bool, reading: &Ways) -> Body {
    let (ways, reading) = (Ways::default(), reading.clone());
    let (name, old, new) = deed.changes();
    model(region(), move |shared, step| {
        let reader = process(shared, 3, &reading);
        let handle = reader.handle("x").expect("it is there");
        let mortal = process(shared, 1, &ways.clone().dies(step));
        let mortal = thread::spawn(move || mortal.mem().mortal(|| deed.run(&mortal)) == Some(true));
        let reader = thread::spawn(move || {
            let read = |seen: bool| {
                let got = match reader.get(name) {
                    // The record was collected between the lookup and the read.
                    Got::Stale if deed == Deed::Remove => Got::Absent,
                    got => got,
                };
                assert!(got == old || got == new || got == Got::Busy, "MIXED: {got:?}");
                assert!(!seen || got != old, "BACK: {got:?} of {name}");
                seen || got == new
            };
            // Each lookup multiplies the executions, and a successor adds many.
            let seen = match (successor, deed) {
                (true, Deed::Remove) => false,
                (true, Deed::Insert) => read(false),
                (false, _) => read(read(false)),
            };
            let got = reader.get_by(handle);
            let right = matches!(got, Got::Value(1, 1) | Got::Absent | Got::Stale | Got::Busy);
            assert!(right, "MIXED: {got:?}");
            seen
        });
        let store = process(shared, 2, &ways);
        let made = successor && store.put("c", 301).is_some();
        let done = mortal.join().expect("the mortal");
        let seen = reader.join().expect("a looker");

        let after = process(shared, 4, &ways);
        let name = judge(&after, deed, done, made, seen);
        // Nothing prevents the same deed again.
        assert!(after.put(name, 501).is_some(), "STUCK");
        assert!(matches!(after.get(name), Got::Value(501, _)), "LOST: {name}");
        assert!(after.take(name) == Some(true) && after.get(name) == Got::Absent, "STUCK");
    })
}

/// The same without other processes, and with a name that has a block of its own.
fn long_death(deed: Deed) -> Body {
    let region = Region::new(|store| {
        let other = LONG.to_uppercase();
        assert_eq!(store.put(&other, 1), Some(1));
        if deed == Deed::Remove {
            assert_eq!(store.put(LONG, 201), Some(1));
        }
    })
    // The chunk of blocks was formatted before that of the records.
    .identity(record(0) + layout::CHUNK)
    .identity(record(1) + layout::CHUNK);
    let block = (layout::CHUNK * 2 + layout::CHUNK_HEADER + BLOCK) as usize / 8;
    let region =
        region.cold(names(record(1) + layout::CHUNK)).cold(block..block + BLOCK as usize / 8);
    model(region.index(0..4).structure(), move |shared, step| {
        let mortal = process(shared, 1, &Ways::default().dies(step));
        let done = mortal.mem().mortal(|| match deed {
            Deed::Insert => mortal.put(LONG, 201).is_some(),
            Deed::Remove => mortal.take(LONG).is_some(),
        });
        let after = process(shared, 2, &Ways::default());
        // Takes the structure lock twice, and leaves no trace.
        let left = if after.get(LONG) == Got::Absent {
            assert!(after.put(LONG, 301).is_some(), "STUCK");
            Deed::Remove
        } else {
            assert!(after.get(LONG) == Got::Value(201, 1), "MIXED: {:?}", after.get(LONG));
            Deed::Insert
        };
        assert!(after.take(LONG) == Some(true), "STUCK");
        assert!(done.is_none() || deed == left, "LOST");
        let used = after.space().expect("space").used;
        assert!(used == RECORD + BLOCK, "LEAKED: {used} bytes");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    let no_index = without(Store, Index, Release);
    let one = |making: &Ways| insert(false, [making, as_is]);
    let words: &[&str] = &["TORN", "MIXED", "TROUBLE"];
    vec![
        holds("insert: one makes it, one looks", one(as_is)).bound(6, 3),
        holds("insert: two make it, one looks", insert(true, [as_is, as_is])).bound(3, 2),
        holds("remove: one removes it, one sets it", remove()).bound(6, 3),
        covered("insert, index word Relaxed", one(&no_index)),
        covered("insert, id.store Relaxed on a fresh record", one(&without(Store, Id, Release))),
        covered(
            "insert, state and version stored Relaxed",
            one(&without(Store, State, Release).weak(Store, Version, Release)),
        ),
        caught(
            "insert, index word and id.store Relaxed",
            words,
            one(&no_index.weak(Store, Id, Release)),
        ),
        holds("death in insert, one looks", death(Deed::Insert, false, as_is)).bound(5, 2).dies(),
        holds("death in insert, another inserts, one looks", death(Deed::Insert, true, as_is))
            .bound(3, 2)
            .dies(),
        holds("death in remove, one looks", death(Deed::Remove, false, as_is)).bound(3, 2).dies(),
        holds("death in remove, another inserts, one looks", death(Deed::Remove, true, as_is))
            .bound(2, 1)
            .dies(),
        holds("death in insert of a long name", long_death(Deed::Insert)).bound(6, 6).dies(),
        holds("death in remove of a long name", long_death(Deed::Remove)).bound(6, 6).dies(),
        caught(
            "death in insert, a record without id not passed over",
            &["VANISHED", "BACK"],
            death(Deed::Insert, false, &Ways::default().zero_is_an_id()),
        )
        .dies(),
    ]
}
