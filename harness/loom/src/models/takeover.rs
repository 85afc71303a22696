//! Takeover: a process dies at each step of a write, while other processes write and read.

use super::{goes_on, holds, is_set_by_two, model, one_variable, process, read_on};
use crate::{
    check::{Body, Case},
    mem::Ways,
    setup::{Got, Vars},
};
use loom::thread;
use mapvar_engine::version::Wrote;

/// One process sets 1001 and dies at some step, one (if `successor`) sets 2001, one reads.
fn body(successor: bool) -> Body {
    let ways = Ways::default();
    model(one_variable(), move |shared, step| {
        let mortal = process(shared, 1, &ways.clone().dies(step));
        let mortal = thread::spawn(move || {
            let handle = mortal.handle("a").expect("it is there");
            match mortal.mem().mortal(|| mortal.put_by(handle, 1001)) {
                Some(Some(Wrote::Version(version))) => Some(version),
                None | Some(None) => None,
                Some(wrote) => panic!("LOST: {wrote:?}"),
            }
        });
        let reader = process(shared, 3, &ways);
        let reader = thread::spawn(move || read_on(&reader, 2, is_set_by_two));
        let store = process(shared, 2, &ways);
        let handle = store.handle("a").expect("it is there");
        let set = if successor { store.put_by(handle, 2001) } else { None };
        let acknowledged = mortal.join().expect("the mortal");
        let seen = reader.join().expect("a reader");

        // Afterwards a single process checks the result.
        let after = process(shared, 4, &ways);
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
        goes_on(&after, handle, version);
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        holds("takeover: a writer dies, another sets, one reads", body(true)).bound(3, 2).dies(),
        holds("takeover: a writer dies, one reads", body(false)).bound(6, 3).dies(),
    ]
}
