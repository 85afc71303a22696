//! Read, rule 1: one process writes a value of several words, others read it without a lock.
//!
//! `version.store(Release)` is covered by the swap of `state` that follows it.

use super::{caught, covered, holds, process};
use crate::{
    check::{Body, Case},
    mem::{
        On::{Data, State, Version},
        Op::{Fence, Load, Store, Swap},
        Shared, Ways,
    },
    setup::{Got, Region, Vars, record},
};
use loom::thread;
use mapvar_engine::mem::Ordering::{AcqRel, Acquire, Release};
use std::sync::Arc;

/// `a`, at version 3; each of its slots that is not kept had a value.
fn region() -> Region {
    Region::new(|store| {
        for value in 101..=103 {
            assert!(store.put("a", value).is_some());
        }
    })
    .values(record(0))
}

/// Two sets, the second of which rewrites the slot that a reader may be in; `reads` reads by each
/// of `readers`.
fn body(readers: usize, reads: usize, writer: &Ways, reader: &Ways) -> Body {
    let region = region().done();
    let (writer, reader) = (writer.clone(), reader.clone());
    Arc::new(move |_| {
        let shared = Shared::new(&region);
        let threads: Vec<_> = (0..readers)
            .map(|number| {
                let store = process(&shared, 2 + number as u32, &reader);
                thread::spawn(move || {
                    let handle = store.handle("a").expect("it is there");
                    let mut last = 3;
                    for _ in 0..reads {
                        match store.get_by(handle) {
                            Got::Value(value, version) => {
                                assert!(value == 100 + version, "MIXED: {value} as {version}");
                                assert!(version >= last, "BACK: {version} after {last}");
                                last = version;
                            }
                            Got::Busy => {}
                            got => panic!("LOST: {got:?}"),
                        }
                    }
                })
            })
            .collect();
        let store = process(&shared, 1, &writer);
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
    let as_is = Ways::default();
    let written = |ways: Ways| body(1, 1, &ways, &Ways::default());
    let seen = |ways: Ways| body(1, 1, &Ways::default(), &ways);
    vec![
        Case { bound: 3, short: 2, ..holds("read: two readers", body(2, 1, &as_is, &as_is)) },
        Case { bound: 4, ..holds("read: one reader, twice", body(1, 2, &as_is, &as_is)) },
        Case { bound: 6, ..holds("read: one reader", body(1, 1, &as_is, &as_is)) },
        caught(
            "read, no fence(Release) after INVALID",
            WRONG,
            written(as_is.clone().weak(Fence, Version, Release)),
        ),
        caught(
            "read, no fence(Acquire) before the last version",
            WRONG,
            seen(as_is.clone().weak(Fence, Data, Acquire)),
        ),
        caught("read, state.swap Relaxed", WRONG, written(as_is.clone().weak(Swap, State, AcqRel))),
        caught("read, state.load Relaxed", WRONG, seen(as_is.clone().weak(Load, State, Acquire))),
        covered(
            "read, version.store Relaxed",
            written(as_is.clone().weak(Store, Version, Release)),
        ),
    ]
}
