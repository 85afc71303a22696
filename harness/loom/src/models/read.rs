//! Read, rule 1: one process writes a value of several words, other processes read it without a
//! lock.
//!
//! The store of `state` that follows `version.store(Release)` covers it.

use super::{caught, covered, holds, model, one_variable, process, read_on, without};
use crate::{
    check::{Body, Case},
    mem::{
        Op::{Fence, Load, Store},
        Ways,
    },
    setup::Vars,
    words::On::{Data, State, Version},
};
use loom::thread;
use mapvar_engine::mem::Ordering::{Acquire, Release};

/// A writer sets twice, and its second set rewrites the slot that a reader may be reading. Each of
/// `readers` processes reads `reads` times.
fn body(readers: u32, reads: usize, writer: &Ways, reader: &Ways) -> Body {
    let (writer, reader) = (writer.clone(), reader.clone());
    model(one_variable(), move |shared, _| {
        let threads: Vec<_> = (0..readers)
            .map(|number| {
                let store = process(shared, 2 + number, &reader);
                thread::spawn(move || {
                    read_on(&store, reads, |value, version| value == 100 + version)
                })
            })
            .collect();
        let store = process(shared, 1, &writer);
        let handle = store.handle("a").expect("it is there");
        for value in [104, 105] {
            assert!(store.put_by(handle, value).is_some() || readers > 0);
        }
        for thread in threads {
            thread.join().expect("a reader");
        }
    })
}

const WRONG: &[&str] = &["TORN", "MIXED"];

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    let written = |op, on, from| body(1, 1, &without(op, on, from), as_is);
    let seen = |op, on, from| body(1, 1, as_is, &without(op, on, from));
    vec![
        holds("read: two readers", body(2, 1, as_is, as_is)).bound(3, 2),
        holds("read: one reader, twice", body(1, 2, as_is, as_is)),
        holds("read: one reader", body(1, 1, as_is, as_is)).bound(6, 3),
        caught("read, no fence(Release) after INVALID", WRONG, written(Fence, Version, Release)),
        caught(
            "read, no fence(Acquire) before the last version",
            WRONG,
            seen(Fence, Data, Acquire),
        ),
        caught("read, state.store Relaxed", WRONG, written(Store, State, Release)),
        caught("read, state.load Relaxed", WRONG, seen(Load, State, Acquire)),
        covered("read, version.store Relaxed", written(Store, Version, Release)),
    ]
}
