//! Two deaths: a process dies at some step, its successor dies at some step of its own, and a third
//! process checks the result. Another process reads or waits all the while.
//!
//! The second process only finds what the first one left, so its number of steps is known from the
//! run alone. [`Pairs`] goes on to the next step of the first death once the second process lived.

use super::{
    Process, goes_on, holds, is_set_by_two, model, one_variable, process, read_on,
    structure::{self, Deed},
};
use crate::{
    check::{Body, Case},
    mem::{Shared, Ways},
    setup::{Got, Vars, record},
};
use loom::thread;
use mapvar_engine::{layout, mem::Mem, record::wait::Observed, version::Wrote};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A sleep that only a wake ends.
const FOR_EVER: Duration = Duration::MAX;
const CHANGES: u64 = layout::live::CHANGES_WAKE;
const BIRTHS: u64 = layout::live::BIRTHS_WAKE;

/// The steps of the two deaths, in the order of the runs of a case.
#[derive(Debug)]
struct Pairs(Mutex<Pair>);

#[derive(Clone, Copy, Debug)]
struct Pair {
    /// The run to which the steps belong.
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

    /// Returns the steps of the two deaths in this run. A case ends with a run without deaths:
    /// there the first step is beyond the life of the first process.
    fn of(&self, run: usize) -> (usize, usize) {
        let mut pair = self.pair();
        if run != pair.run {
            let (first, second) =
                if pair.has_died { (pair.first, pair.second + 1) } else { (pair.first + 1, 1) };
            *pair = Pair { run, first, second, has_died: false };
        }
        (pair.first, pair.second)
    }

    /// Runs the life of the first process and, if it died, that of its successor; returns their
    /// results.
    fn lives<R>(
        &self,
        shared: &Arc<Shared>,
        run: usize,
        first: impl FnOnce(&Process) -> R,
        second: impl FnOnce(&Process) -> R,
    ) -> (Option<R>, Option<R>) {
        let (first_dies, second_dies) = self.of(run);
        let dying = process(shared, 1, &Ways::default().dies(first_dies));
        let done = dying.mem().mortal(|| first(&dying));
        if done.is_some() {
            return (done, None);
        }
        let successor = process(shared, 2, &Ways::default().dies(second_dies));
        let by_successor = successor.mem().mortal(|| second(&successor));
        if by_successor.is_none() {
            self.pair().has_died = true;
        }
        (None, by_successor)
    }
}

/// A process sets 1001 and dies, its successor sets 2001 and dies, another process reads meanwhile.
fn set() -> Body {
    let (ways, pairs) = (Ways::default(), Pairs::new());
    model(one_variable(), move |shared, run| {
        let reader = process(shared, 3, &ways);
        let handle = reader.handle("a").expect("it is there");
        let reader = thread::spawn(move || read_on(&reader, 2, is_set_by_two));
        let (set, successor) = pairs.lives(
            shared,
            run,
            |dying| dying.put_by(handle, 1001),
            |next| next.put_by(handle, 2001),
        );
        let seen = reader.join().expect("a reader");

        let after = process(shared, 4, &ways);
        let Got::Value(value, version) = after.get_by(handle) else { panic!("LOST: all") };
        assert!(version >= seen, "BACK: {version} after {seen}");
        let last = match (set.flatten(), successor.flatten()) {
            (_, Some(Wrote::Version(version))) => Some((2001, version)),
            (Some(Wrote::Version(version)), None) => Some((1001, version)),
            _ => None,
        };
        assert!(last.is_none_or(|last| last == (value, version)), "LOST: {value}, not {last:?}");
        assert!([103, 1001, 2001].contains(&value), "MIXED: {value}");
        goes_on(&after, handle, version);
    })
}

/// A process waits for `a` to change. Another sets it and dies, its successor does so and dies, and
/// a third one sets it. The waiter continues, whichever of the three changes it first.
fn wait() -> Body {
    let region = one_variable().wakes([record(0) + layout::record::WAKE, CHANGES]);
    let (ways, pairs) = (Ways::default(), Pairs::new());
    model(region, move |shared, run| {
        let waiter = process(shared, 10, &ways);
        let handle = waiter.handle("a").expect("it is there");
        let waiter = thread::spawn(move || {
            let seen = Observed { id: handle.id, number: 3, removed: false };
            while !waiter.sleep_once(handle, seen, FOR_EVER).expect("a sleep") {}
        });
        let (set, _) = pairs.lives(
            shared,
            run,
            |dying| dying.put_by(handle, 1001),
            |next| next.put_by(handle, 2001),
        );
        if set.is_none() {
            // A third process sets it too, and takes the lock for that.
            let after = process(shared, 4, &ways);
            assert!(after.put_by(handle, 3001).is_some(), "LOST: the lock");
        }
        waiter.join().expect("the waiter");
    })
}

/// A process does its deed and dies. Its successor creates `c`, for which it replays, and dies.
/// Another process looks the variable up meanwhile.
fn structure(deed: Deed) -> Body {
    let (ways, pairs) = (Ways::default(), Pairs::new());
    let (name, old, new) = deed.changes();
    model(structure::region(), move |shared, run| {
        let reader = process(shared, 3, &ways);
        let handle = reader.handle("x").expect("it is there");
        let reader = thread::spawn(move || {
            // Each lookup multiplies the executions, and a removal has many: there it reads by
            // handle.
            let got = match deed {
                Deed::Insert => reader.get(name),
                Deed::Remove => reader.get_by(handle),
            };
            let got = if got == Got::Stale { Got::Absent } else { got };
            assert!(got == old || got == new || got == Got::Busy, "MIXED: {got:?}");
            got == new
        });
        let (done, made) =
            pairs.lives(shared, run, |dying| deed.run(dying), |next| next.put("c", 301).is_some());
        let seen = reader.join().expect("a looker");
        let after = process(shared, 4, &ways);
        structure::judge(&after, deed, done == Some(true), made == Some(true), seen);
    })
}

/// A process waits for the birth of `b`. Another creates it and dies, its successor replays and
/// dies, and a third one takes the structure lock.
fn birth() -> Body {
    let (ways, pairs) = (Ways::default(), Pairs::new());
    model(structure::region().wakes([BIRTHS, CHANGES]), move |shared, run| {
        let waiter = process(shared, 10, &ways);
        // The waiter already looked `b` up in vain: another lookup would multiply the executions.
        let seen = waiter.mem().wakes(BIRTHS).expect("a wake word");
        let waiter = thread::spawn(move || {
            while waiter.mem().wakes(BIRTHS).expect("a wake word") == seen {
                waiter.mem().park(BIRTHS, seen, FOR_EVER).expect("a sleep");
            }
        });
        let (made, _) =
            pairs.lives(shared, run, |dying| dying.put("b", 201), |next| next.put("b", 202));
        if made.is_none() {
            // A name that exists is set without the structure lock.
            let after = process(shared, 4, &ways);
            assert!(after.put("d", 401).is_some() && after.put("b", 203).is_some(), "STUCK");
        }
        waiter.join().expect("the waiter");
    })
}

pub fn cases() -> Vec<Case> {
    let dies = |name, body| holds(name, body).bound(2, 1).dies();
    vec![
        dies("two deaths in sets, one reads", set()),
        dies("two deaths in sets, one waits", wait()),
        dies("two deaths: insert, insert, one looks", structure(Deed::Insert)),
        // With more switches it takes many minutes.
        dies("two deaths: remove, insert, one looks", structure(Deed::Remove)).bound(1, 1),
        dies("two deaths in inserts, one waits for the birth", birth()),
    ]
}
