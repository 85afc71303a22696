//! Identity, rule 2: a record is collected and reused for another variable while a process reads
//! it. No reader mistakes the name or the value of one variable for the other's.
//!
//! Four faults are covered by the code around them:
//!
//! * `fence(Release)` after `id = 0` in `collect`: nothing is rewritten between it and the `id = 0`
//!   and `fence(Release)` of the insertion that reuses the record. That insertion comes after it,
//!   under the structure lock;
//! * the Release of `unmark`: that same fence lies between `id = 0` and it;
//! * `id.load(Acquire)` at the beginning of a read by handle: the handle came from an
//!   `id.load(Acquire)` in `find`, and the last load of the id is the one that counts;
//! * `load(Acquire)` of an index word: the id's Acquire follows it.

use super::{caught, covered, holds, model, process, without};
use crate::{
    check::{Body, Case},
    mem::{
        Op::{Fence, Load, Store, Swap},
        Ways,
    },
    setup::{Got, Region, Vars, record},
    words::On::{Data, Id, Index, Lock, Mark, Name},
};
use loom::thread;
use mapvar_engine::{
    handle::Handle,
    mem::Ordering::{Acquire, Release},
    version::Wrote,
};

/// `a`, fresh: version 1 with the value 101, in the slot in which every new variable begins.
fn region() -> Region {
    Region::new(|store| assert_eq!(store.put("a", 101), Some(1)))
        .identity(record(0))
        .identity(record(1))
        .index(0..2)
        .structure()
}

/// The operation that runs meanwhile.
#[derive(Clone, Copy)]
enum Deed {
    /// A read with the handle of the old `a`.
    ByHandle,
    /// The same on the fast path.
    Peek,
    /// A read by this name.
    ByName(&'static str),
    /// A lookup of this name, without a use of its result.
    Find(&'static str),
    /// A set with the handle of the old `a`.
    Set,
    /// The same on the fast path.
    Poke,
}

/// The result of that operation, if it is judged later.
enum Came {
    Nothing,
    Found(Handle),
    Set(Wrote),
}

/// `a` is removed, then `name` is created with the value 201. If `back`, `name` is removed
/// afterwards, and `a` is created again with 301.
fn body(deed: Deed, name: &'static str, back: bool, ways: [&Ways; 3]) -> Body {
    let [removing, making, reading] = ways.map(Clone::clone);
    model(region(), move |shared, _| {
        let reader = process(shared, 3, &reading);
        let old = reader.handle("a").expect("it is there");
        let reader = thread::spawn(move || match deed {
            Deed::ByHandle => {
                if let Got::Value(value, version) = reader.get_by(old) {
                    assert!((value, version) == (101, 1), "MIXED: {value} as {version} of a");
                }
                Came::Nothing
            }
            Deed::Peek => {
                let got = reader.peek_by(old);
                assert!(got.is_none_or(|value| value == 101), "MIXED: {got:?} of a");
                Came::Nothing
            }
            Deed::ByName(sought) => {
                let Some(handle) = reader.handle(sought) else { return Came::Nothing };
                let Got::Value(value, _) = reader.get_by(handle) else { return Came::Nothing };
                let right = match (sought == name, handle == old) {
                    (_, true) => sought == "a" && value == 101,
                    (true, false) => value == 201 || back && sought == "a" && value == 301,
                    (false, false) => back && sought == "a" && value == 301,
                };
                assert!(right, "MIXED: {value} of {handle:?} for {sought}");
                Came::Nothing
            }
            Deed::Find(sought) => reader.handle(sought).map_or(Came::Nothing, Came::Found),
            Deed::Poke => {
                reader.poke_by(old, 901);
                Came::Nothing
            }
            Deed::Set => reader.put_by(old, 901).map_or(Came::Nothing, Came::Set),
        });
        // A process of its own that ends before the next begins, so that no fence of one serves the
        // other.
        let remover = process(shared, 1, &removing);
        let removed = thread::spawn(move || remover.take("a")).join().expect("a remover");
        let maker = process(shared, 2, &making);
        let made = maker.put(name, 201);
        let new = maker.handle(name);
        if back {
            assert!(maker.take(name).is_some());
            assert!(maker.put("a", 301).is_some());
        }
        let came = reader.join().expect("a looker");
        if let (Deed::Find(sought), Came::Found(found)) = (deed, &came) {
            assert!(
                sought == name || Some(*found) != new,
                "MIXED: {found:?}, {name}'s, for {sought}"
            );
        }
        let after = process(shared, 4, &Ways::default());
        if !back && made.is_some() {
            let got = after.get(name);
            assert!(
                matches!(got, Got::Value(201, _))
                    // The old handle sets the same variable, if that was not yet collected.
                    || name == "a" && matches!((got, &came), (Got::Value(901, _), Came::Set(Wrote::Version(_)))),
                "LOST: {name} is {got:?} after {removed:?}"
            );
        }
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    let mixed: &[&str] = &["MIXED", "TORN"];
    let lost: &[&str] = &["LOST", "TROUBLE"];
    let seen = |deed, name, ways: &Ways| body(deed, name, false, [as_is, as_is, ways]);
    let made = |deed, ways: &Ways| body(deed, "b", false, [as_is, ways, as_is]);
    let removed = |deed, ways: &Ways| body(deed, "b", false, [ways, as_is, as_is]);
    let back = |deed, ways: &Ways| body(deed, "b", true, [as_is, as_is, ways]);
    let no_fence = &without(Fence, Id, Release);
    let unmark = without(Store, Mark, Release);
    let id_load = &without(Load, Id, Acquire);
    vec![
        holds("identity: old handle, another name", seen(Deed::ByHandle, "b", as_is)),
        holds("identity: old handle, the same name", seen(Deed::ByHandle, "a", as_is)),
        holds("identity: old name, another name", seen(Deed::ByName("a"), "b", as_is)).bound(4, 2),
        holds("identity: new name", seen(Deed::ByName("b"), "b", as_is)),
        holds("identity: the same name", seen(Deed::ByName("a"), "a", as_is)).bound(4, 2),
        holds("identity: there and back again, found", back(Deed::Find("a"), as_is)).bound(2, 1),
        holds("identity: there and back again, read", back(Deed::ByName("a"), as_is)).bound(2, 1),
        holds("identity: set by old handle, another name", seen(Deed::Set, "b", as_is)),
        holds("identity: the fast read by old handle, another name", seen(Deed::Peek, "b", as_is)),
        holds("identity: the fast set by old handle, another name", seen(Deed::Poke, "b", as_is)),
        covered("identity, unmark Relaxed", removed(Deed::Set, &unmark)),
        caught(
            "identity, unmark Relaxed and no fence(Release) in collect",
            lost,
            removed(Deed::Set, &unmark.weak(Fence, Id, Release)),
        ),
        caught("identity, lock Relaxed", lost, seen(Deed::Set, "b", &without(Swap, Lock, Acquire))),
        caught(
            "identity, no fence(Release) after id = 0 in insert",
            mixed,
            made(Deed::ByHandle, no_fence),
        ),
        covered(
            "identity, no fence(Release) after id = 0 in collect",
            removed(Deed::ByHandle, no_fence),
        ),
        caught(
            "identity, no fence(Acquire) before the last id in read",
            mixed,
            seen(Deed::ByHandle, "b", &without(Fence, Data, Acquire)),
        ),
        covered("identity, first id.load Relaxed in read", seen(Deed::ByHandle, "b", id_load)),
        caught(
            "identity, id.store Relaxed",
            &["MIXED", "TORN", "TROUBLE"],
            made(Deed::ByName("a"), &without(Store, Id, Release)),
        ),
        caught("identity, id.load Relaxed in find", mixed, seen(Deed::ByName("a"), "b", id_load)),
        covered(
            "identity, index word loaded Relaxed",
            seen(Deed::ByName("a"), "b", &without(Load, Index, Acquire)),
        )
        .bound(3, 2),
        caught(
            "identity, no fence(Acquire) before the last id in find",
            mixed,
            back(Deed::Find("a"), &without(Fence, Name, Acquire)),
        ),
    ]
}
