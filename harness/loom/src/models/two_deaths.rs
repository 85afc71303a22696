//! Two deaths: a process dies at some step, the process that takes over dies at some step of its
//! own, and a third one finds everything. One more reads, or waits, all the while.
//!
//! The second death has only what the first one left, so the model that is run tells how many steps
//! it has: [`Pairs`] goes on to the next step of the first death when the second process lived.

use super::{holds, process};
use crate::{
    check::{Body, Case},
    mem::{Shared, Ways},
    setup::{Got, Region, Vars, record},
};
use loom::thread;
use mapvar_engine::{layout, mem::Mem, record::wait::Observed, version::Wrote};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A sleep that nothing but a wake ends.
const FOR_EVER: Duration = Duration::MAX;
const CHANGES: u64 = layout::live::CHANGES_WAKE;
const BIRTHS: u64 = layout::live::BIRTHS_WAKE;

/// The steps at which the two die, in the order of the runs of a case.
#[derive(Debug)]
struct Pairs(Mutex<Pair>);

#[derive(Clone, Copy, Debug)]
struct Pair {
    /// The run for which these are.
    run: usize,
    first: usize,
    second: usize,
    /// Whether the second process died in any execution of this run.
    has_died: bool,
}

impl Pairs {
    fn new() -> Self {
        Self(Mutex::new(Pair { run: 1, first: 1, second: 1, has_died: false }))
    }

    fn pair(&self) -> std::sync::MutexGuard<'_, Pair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the two die in this run. A case ends with a run in which nobody died: that is the one
    /// whose first step is beyond the life of the first process.
    fn of(&self, run: usize) -> (usize, usize) {
        let mut pair = self.pair();
        if run != pair.run {
            let (first, second) =
                if pair.has_died { (pair.first, pair.second + 1) } else { (pair.first + 1, 1) };
            *pair = Pair { run, first, second, has_died: false };
        }
        (pair.first, pair.second)
    }

    fn second_died(&self) {
        self.pair().has_died = true;
    }
}

/// `a`, at version 3 with the value 103.
fn one_variable() -> Region {
    Region::new(|store| {
        for value in 101..=103 {
            assert!(store.put("a", value).is_some());
        }
    })
    .values(record(0))
}

/// One sets 1001 and dies, its successor sets 2001 and dies, one reads meanwhile.
fn set(ways: &Ways) -> Body {
    let region = one_variable().done();
    let (ways, pairs) = (ways.clone(), Pairs::new());
    Arc::new(move |run| {
        let (first, second) = pairs.of(run);
        let shared = Shared::new(&region);
        let reader = process(&shared, 3, &ways);
        let reader = thread::spawn(move || {
            let handle = reader.handle("a").expect("it is there");
            let mut last = 3;
            for _ in 0..2 {
                match reader.get_by(handle) {
                    Got::Value(value, version) => {
                        assert!([103, 1001, 2001].contains(&value), "MIXED: {value}");
                        assert!(version >= last, "BACK: {version} after {last}");
                        assert!((version == 3) == (value == 103), "MIXED: {value} as {version}");
                        last = version;
                    }
                    Got::Busy => {}
                    got => panic!("LOST: {got:?}"),
                }
            }
            last
        });
        let dying = process(&shared, 1, &ways.clone().dies(first));
        let handle = dying.handle("a").expect("it is there");
        let set = dying.mem().mortal(|| dying.put_by(handle, 1001));
        let mut successor = None;
        if set.is_none() {
            let heir = process(&shared, 2, &ways.clone().dies(second));
            successor = heir.mem().mortal(|| heir.put_by(handle, 2001));
            if successor.is_none() {
                pairs.second_died();
            }
        }
        let seen = reader.join().expect("a reader");

        let after = process(&shared, 4, &ways);
        let Got::Value(value, version) = after.get_by(handle) else { panic!("LOST: all") };
        assert!(version >= seen, "BACK: {version} after {seen}");
        let last = match (set.flatten(), successor.flatten()) {
            (_, Some(Wrote::Version(version))) => Some((2001, version)),
            (Some(Wrote::Version(version)), None) => Some((1001, version)),
            _ => None,
        };
        assert!(last.is_none_or(|last| last == (value, version)), "LOST: {value}, not {last:?}");
        assert!([103, 1001, 2001].contains(&value), "MIXED: {value}");
        let next = after.put_by(handle, 3001);
        assert!(
            matches!(next, Some(Wrote::Version(next)) if next > version),
            "STUCK: {next:?} after {version}"
        );
        assert!(matches!(after.get_by(handle), Got::Value(3001, _)), "LOST: 3001");
    })
}

/// A process waits for `a` to change; one sets it and dies, its successor does and dies, and a third
/// one does. Whichever of the three changes it first: the waiter goes on.
fn wait(ways: &Ways) -> Body {
    let region = one_variable().wakes([record(0) + layout::record::WAKE, CHANGES]).done();
    let (ways, pairs) = (ways.clone(), Pairs::new());
    Arc::new(move |run| {
        let (first, second) = pairs.of(run);
        let shared = Shared::new(&region);
        let waiter = process(&shared, 10, &ways);
        let waiter = thread::spawn(move || {
            let handle = waiter.handle("a").expect("it is there");
            let seen = Observed { id: handle.id, number: 3, removed: false };
            while !waiter.doze(handle, seen, FOR_EVER).expect("a sleep") {}
        });
        let dying = process(&shared, 1, &ways.clone().dies(first));
        let handle = dying.handle("a").expect("it is there");
        if dying.mem().mortal(|| dying.put_by(handle, 1001)).is_none() {
            let heir = process(&shared, 2, &ways.clone().dies(second));
            if heir.mem().mortal(|| heir.put_by(handle, 2001)).is_none() {
                pairs.second_died();
            }
            // A third one that changes nothing, but takes the lock.
            let after = process(&shared, 4, &ways);
            assert!(after.put_by(handle, 3001).is_some(), "LOST: the lock");
        }
        waiter.join().expect("the waiter");
    })
}

const RECORD: u64 = layout::record_bytes(1) as u64;

/// `x` in record 0; the others were never used.
fn names() -> Region {
    let region = Region::new(|store| assert_eq!(store.put("x", 1), Some(1)));
    (0..4).fold(region, |region, number| region.identity(record(number))).index(0..5).structure()
}

#[derive(Clone, Copy)]
enum Deed {
    Insert,
    Remove,
}

/// One makes `b`, or removes `x`, and dies; its successor makes `c`, for which it replays, and dies;
/// one looks meanwhile.
fn structure(deed: Deed, ways: &Ways) -> Body {
    let region = names().done();
    let (ways, pairs) = (ways.clone(), Pairs::new());
    let (name, old, new) = match deed {
        Deed::Insert => ("b", Got::Absent, Got::Value(201, 1)),
        Deed::Remove => ("x", Got::Value(1, 1), Got::Absent),
    };
    Arc::new(move |run| {
        let (first, second) = pairs.of(run);
        let shared = Shared::new(&region);
        let looker = process(&shared, 3, &ways);
        let handle = looker.handle("x").expect("it is there");
        let looker = thread::spawn(move || {
            // Each lookup multiplies the executions, and a removal has many: there by the handle.
            let got = match deed {
                Deed::Insert => looker.get(name),
                Deed::Remove => looker.get_by(handle),
            };
            let got = if got == Got::Stale { Got::Absent } else { got };
            assert!(got == old || got == new || got == Got::Busy, "MIXED: {got:?}");
            got == new
        });
        let dying = process(&shared, 1, &ways.clone().dies(first));
        let done = dying.mem().mortal(|| match deed {
            Deed::Insert => dying.put("b", 201).is_some(),
            Deed::Remove => dying.take("x").is_some(),
        });
        let mut made = None;
        if done.is_none() {
            let heir = process(&shared, 2, &ways.clone().dies(second));
            made = heir.mem().mortal(|| heir.put("c", 301).is_some());
            if made.is_none() {
                pairs.second_died();
            }
        }
        let seen = looker.join().expect("a looker");

        let after = process(&shared, 4, &ways);
        // Takes L: what was half-done ends here at the latest.
        assert!(after.put("d", 401).is_some(), "STUCK");
        let got = after.get(name);
        assert!(got == old || got == new, "MIXED: {got:?}");
        assert!(done != Some(true) || got == new, "LOST: {name} is {got:?}, acknowledged");
        assert!(!seen || got == new, "VANISHED: {name} is {got:?}");
        assert!(made != Some(true) || after.get("c") == Got::Value(301, 1), "LOST: c");
        // A tombstone that nobody came to collect goes with the next removal.
        if let (Deed::Remove, Got::Absent) = (deed, got) {
            assert!(after.take("x").is_some(), "STUCK");
        }
        let names = ["x", "b", "c", "d"];
        let there = names.iter().filter(|name| after.get(name) != Got::Absent).count() as u64;
        let used = after.space().expect("space").used;
        assert!(used == there * RECORD, "LEAKED: {used} bytes for {there} variables");
    })
}

/// A process waits for `b` to be made; one makes it and dies, its successor replays and dies, and a
/// third one takes L.
fn birth(ways: &Ways) -> Body {
    let region = names().wakes([BIRTHS, CHANGES]).done();
    let (ways, pairs) = (ways.clone(), Pairs::new());
    Arc::new(move |run| {
        let (first, second) = pairs.of(run);
        let shared = Shared::new(&region);
        let waiter = process(&shared, 10, &ways);
        // It has looked for `b` already, in vain: another lookup would multiply the executions.
        let seen = waiter.mem().wakes(BIRTHS).expect("a wake word");
        let waiter = thread::spawn(move || {
            while waiter.mem().wakes(BIRTHS).expect("a wake word") == seen {
                waiter.mem().park(BIRTHS, seen, FOR_EVER).expect("a sleep");
            }
        });
        let dying = process(&shared, 1, &ways.clone().dies(first));
        if dying.mem().mortal(|| dying.put("b", 201)).is_none() {
            let heir = process(&shared, 2, &ways.clone().dies(second));
            if heir.mem().mortal(|| heir.put("b", 202)).is_none() {
                pairs.second_died();
            }
            // A name that is there is set without L.
            let after = process(&shared, 4, &ways);
            assert!(after.put("d", 401).is_some() && after.put("b", 203).is_some(), "STUCK");
        }
        waiter.join().expect("the waiter");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = Ways::default();
    let dies = |case| Case { dies: true, bound: 2, short: 1, ..case };
    vec![
        dies(holds("two deaths in sets, one reads", set(&as_is))),
        dies(holds("two deaths in sets, one waits", wait(&as_is))),
        dies(holds("two deaths: insert, insert, one looks", structure(Deed::Insert, &as_is))),
        // With more switches it takes many minutes.
        Case {
            bound: 1,
            ..dies(holds("two deaths: remove, insert, one looks", structure(Deed::Remove, &as_is)))
        },
        dies(holds("two deaths in inserts, one waits for the birth", birth(&as_is))),
    ]
}
