//! Takeover: a process dies at each step of a write, while others write and read.

use super::{holds, process};
use crate::{
    check::{Body, Case},
    mem::{Shared, Ways},
    setup::{Got, Region, Vars, record},
};
use loom::thread;
use mapvar_engine::version::Wrote;
use std::sync::Arc;

/// `a`, at version 3 with the value 103.
fn region() -> Region {
    Region::new(|store| {
        for value in 101..=103 {
            assert!(store.put("a", value).is_some());
        }
    })
    .values(record(0))
}

/// One sets 1001 and dies at some step, one (if `heir`) sets 2001, one reads.
fn body(heir: bool, ways: &Ways) -> Body {
    let region = region().done();
    let ways = ways.clone();
    Arc::new(move |step| {
        let shared = Shared::new(&region);
        let mortal = process(&shared, 1, &ways.clone().dies(step));
        let mortal = thread::spawn(move || {
            let handle = mortal.handle("a").expect("it is there");
            match mortal.mem().mortal(|| mortal.put_by(handle, 1001)) {
                Some(Some(Wrote::Version(version))) => Some(version),
                None | Some(None) => None,
                Some(wrote) => panic!("LOST: {wrote:?}"),
            }
        });
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
        let store = process(&shared, 2, &ways);
        let handle = store.handle("a").expect("it is there");
        let set = if heir { store.put_by(handle, 2001) } else { None };
        let acknowledged = mortal.join().expect("the mortal");
        let seen = reader.join().expect("a reader");

        // Nobody is left but one, who finds what there is.
        let after = process(&shared, 4, &ways);
        let Got::Value(value, version) = after.get_by(handle) else { panic!("LOST: all") };
        assert!(version >= seen, "BACK: {version} after {seen}");
        match (set, acknowledged) {
            (Some(Wrote::Version(mine)), Some(its)) => {
                assert!(mine != its, "VERSION: {mine} twice");
                let last = if mine > its { (2001, mine) } else { (1001, its) };
                assert!((value, version) == last, "LOST: {value} as {version}, not {last:?}");
            }
            (Some(Wrote::Version(mine)), None) => assert!(
                version >= mine && (version > mine || value == 2001),
                "LOST: {value} as {version}, not 2001 as {mine}"
            ),
            (None, Some(its)) => {
                assert!((value, version) == (1001, its), "LOST: {value} as {version}");
            }
            (None, None) => assert!([103, 1001].contains(&value), "MIXED: {value}"),
            (Some(wrote), _) => panic!("LOST: {wrote:?}"),
        }
        // And goes on: the lock of the dead is free again.
        let next = after.put_by(handle, 3001);
        assert!(
            matches!(next, Some(Wrote::Version(next)) if next > version),
            "STUCK: {next:?} after {version}"
        );
        assert!(matches!(after.get_by(handle), Got::Value(3001, _)), "LOST: 3001");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = Ways::default();
    let dies = |case| Case { dies: true, ..case };
    vec![
        dies(Case {
            bound: 3,
            short: 2,
            ..holds("takeover: a writer dies, another sets, one reads", body(true, &as_is))
        }),
        dies(Case { bound: 6, ..holds("takeover: a writer dies, one reads", body(false, &as_is)) }),
    ]
}
