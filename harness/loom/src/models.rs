//! The models: one file for each question.

use crate::{
    check::{Body, Case, Verdict},
    mem::{LoomMem, Op, Shared, Ways},
    setup::{FACTS, Got, Region, Vars, record},
    words::On,
};
use mapvar_engine::{handle::Handle, mem::Ordering, store::Store, version::Wrote};
use std::sync::Arc;

mod count;
mod flush;
mod identity;
mod index;
mod read;
mod set;
mod structure;
mod takeover;
mod two_deaths;
mod wait;

/// A process: an engine on the shared memory.
type Process = Store<LoomMem>;

fn process(shared: &Arc<Shared>, me: u32, ways: &Ways) -> Process {
    Store::new(LoomMem::new(shared, me, ways.clone()), &FACTS).expect("a store")
}

/// Wraps a model on a region; `body` receives the memory of an execution and the step of a death.
fn model(region: Region, body: impl Fn(&Arc<Shared>, usize) + Send + Sync + 'static) -> Body {
    let region = region.done();
    Arc::new(move |step| body(&Shared::new(&region), step))
}

/// Leaves out one ordering and nothing else.
fn without(op: Op, on: On, from: Ordering) -> Ways {
    Ways::default().weak(op, on, from)
}

/// Sets a variable to 101, 102 and 103: it is then at version 3, and each of its slots that is not
/// kept had a value.
fn set_thrice(store: &impl Vars, name: &str) {
    for value in 101..=103 {
        assert!(store.put(name, value).is_some());
    }
}

/// `a`, set three times.
fn one_variable() -> Region {
    Region::new(|store| set_thrice(store, "a")).values(record(0))
}

/// Reads `a` `reads` times, from version 3 on. `is_right` returns whether a value and its version
/// belong together. Returns the last version.
fn read_on(store: &Process, reads: usize, mut is_right: impl FnMut(u64, u64) -> bool) -> u64 {
    let handle = store.handle("a").expect("it is there");
    let mut last = 3;
    for _ in 0..reads {
        match store.get_by(handle) {
            Got::Value(value, version) => {
                assert!(is_right(value, version), "MIXED: {value} as {version}");
                assert!(version >= last, "BACK: {version} after {last}");
                last = version;
            }
            Got::Busy => {}
            got => panic!("LOST: {got:?}"),
        }
    }
    last
}

/// Returns whether `a` has its first value, or one that one of two processes set.
fn is_set_by_two(value: u64, version: u64) -> bool {
    [103, 1001, 2001].contains(&value) && (version == 3) == (value == 103)
}

/// Asserts that the lock of a dead process is free again: `after` sets `a` above `version` and
/// reads it.
fn goes_on(after: &Process, handle: Handle, version: u64) {
    let next = after.put_by(handle, 3001);
    assert!(
        matches!(next, Some(Wrote::Version(next)) if next > version),
        "STUCK: {next:?} after {version}"
    );
    assert!(matches!(after.get_by(handle), Got::Value(3001, _)), "LOST: 3001");
}

/// Returns all cases, the longest first.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(set::cases());
    cases.extend(takeover::cases());
    cases.extend(two_deaths::cases());
    cases.extend(identity::cases());
    cases.extend(structure::cases());
    cases.extend(index::cases());
    cases.extend(read::cases());
    cases.extend(wait::cases());
    cases.extend(flush::cases());
    cases.extend(count::cases());
    cases
}

fn holds(name: &'static str, body: Body) -> Case {
    Case { name, verdict: Verdict::Holds, bound: 4, short: 3, dies: false, body }
}

fn caught(name: &'static str, words: &'static [&'static str], body: Body) -> Case {
    Case { verdict: Verdict::Caught(words), ..holds(name, body) }
}

fn covered(name: &'static str, body: Body) -> Case {
    Case { verdict: Verdict::Covered, ..holds(name, body) }
}
