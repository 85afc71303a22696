//! Waiting for variables, in a single thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    layout::{live, ring},
    mem::Mem,
    record::wait::{Arming, NAP},
    store::Store,
    value::{Kind, Raw},
    variable::follow::{Asked, Followed},
};
use mapvar_engine_sim::{
    heap::Heap,
    operations::{facts, formatted},
};
use mapvar_os::Locks;

fn store() -> Store<Heap> {
    let facts = facts(1024, 0, false);
    formatted(Heap::new(facts.region as usize), &facts)
}

/// Returns how often waiters for births and for changes were woken.
fn wake_counts(store: &Store<Heap>) -> (u32, u32) {
    let count = |at| store.mem().wakes(at).unwrap();
    (count(live::BIRTHS_WAKE), count(live::CHANGES_WAKE))
}

#[test]
fn who_waits_for_many_is_woken_by_births_and_by_what_is_waited_for() {
    let store = store();
    let set = |name: &str| {
        store.set(store.query(name.as_bytes()), &Raw::word(Kind::U64, 1)).unwrap();
    };
    set("a");
    assert_eq!(wake_counts(&store), (1, 1));
    // No thread waits: no shared wake word is touched.
    set("a");
    assert_eq!(wake_counts(&store), (1, 1));
    let handle = store.find(store.query(b"a")).unwrap().unwrap();
    let stand = store.observed(handle).unwrap().unwrap();
    assert!(store.is_unchanged(handle, stand));
    assert_eq!(store.arm(handle, stand).unwrap(), Arming::Armed);
    set("a");
    assert_eq!(wake_counts(&store), (1, 2));
    assert!(!store.is_unchanged(handle, stand));
    assert_eq!(store.arm(handle, stand).unwrap(), Arming::Changed);
    assert!(store.sleep_once(handle, stand, NAP).unwrap());
    set("b");
    assert_eq!(wake_counts(&store), (2, 3), "what was armed is told once, and the birth");
}

/// The records of the ring's entries from number `from` on.
fn noted(store: &Store<Heap>, from: u64) -> Vec<(u64, bool)> {
    let mut noted = Vec::new();
    let head = store.changes_head().unwrap();
    assert!(store.changes(from, head, |entry| noted.push((entry.at, entry.born))).unwrap());
    noted
}

#[test]
fn the_ring_names_what_was_made_and_what_was_asked_for() {
    let store = store();
    let set = |name: &str| {
        store.set(store.query(name.as_bytes()), &Raw::word(Kind::U64, 1)).unwrap();
        store.find(store.query(name.as_bytes())).unwrap().unwrap()
    };
    let (a, b) = (set("a"), set("b"));
    assert_eq!(noted(&store, 0), [(a.at, true), (b.at, true)]);
    // Nobody has asked.
    set("a");
    assert_eq!(store.changes_head().unwrap(), 2);
    assert_eq!([store.ask(a).unwrap(), store.ask(a).unwrap()], [Asked::Told; 2]);
    set("a");
    set("a");
    assert_eq!(noted(&store, 2), [(a.at, false)], "told once");
    assert_eq!(store.ask(b).unwrap(), Asked::Told);
    assert!(store.remove(store.query(b"b")).unwrap());
    let told = noted(&store, 3);
    assert!(!told.is_empty() && told.iter().all(|entry| *entry == (b.at, false)), "{told:?}");
    assert_eq!(store.ask(b).unwrap(), Asked::Gone, "its record is collected");
    // A writer that is stopped holds up nobody.
    let _ = store.mem().lock(a.lock()).unwrap();
    assert_eq!(store.ask(a).unwrap(), Asked::Busy);
    store.mem().unlock(a.lock());
    assert_eq!(store.ask(a).unwrap(), Asked::Told);
}

#[test]
fn entries_of_another_lap_are_missing() {
    let store = store();
    let raw = Raw::word(Kind::U64, 1);
    let query = store.query(b"a");
    store.set(query, &raw).unwrap();
    let handle = store.find(query).unwrap().unwrap();
    let most = ring::WORDS as u64;
    for number in 1..3 * most {
        assert_eq!(store.ask(handle).unwrap(), Asked::Told);
        store.set(query, &raw).unwrap();
        assert_eq!(store.changes_head().unwrap(), number + 1);
        let first = (number + 1).saturating_sub(most);
        assert_eq!(noted(&store, first).len() as u64, number + 1 - first);
        if first > 0 {
            let none = |from| store.changes(from, number + 1, |_| {}).unwrap();
            assert!(!none(first - 1));
        }
    }
    // A peer has forged the head.
    for (from, head) in [(0, u64::MAX), (u64::MAX, 0), (u64::MAX - 3, u64::MAX), (9, 3)] {
        assert!(!store.changes(from, head, |_| panic!("there is no such entry")).unwrap());
    }
}

#[test]
fn a_variable_whose_lock_is_held_is_busy_until_it_changes() {
    let store = store();
    let set = |value| {
        store.set(store.query(b"a"), &Raw::word(Kind::U64, value)).unwrap();
    };
    set(1);
    let handle = store.find(store.query(b"a")).unwrap().unwrap();
    let stand = store.observed(handle).unwrap().unwrap();
    let arm = || store.arm(handle, stand).unwrap();
    let _ = store.mem().lock(handle.lock()).unwrap();
    assert_eq!((arm(), arm()), (Arming::Busy, Arming::Busy), "an owner");
    assert!(!store.sleep_once(handle, stand, NAP).unwrap());
    store.mem().unlock(handle.lock());
    for mark in [Locks::MARK_L, Locks::MARK_T] {
        let _ = store.mem().mark(handle.lock(), mark).unwrap();
        assert_eq!(arm(), Arming::Busy, "a mark");
        store.mem().unmark(handle.lock());
    }
    assert_eq!((arm(), arm()), (Arming::Armed, Arming::Armed));
    set(2);
    let _ = store.mem().lock(handle.lock()).unwrap();
    assert_eq!(arm(), Arming::Changed, "whoever holds the lock");
    store.mem().unlock(handle.lock());
}

#[test]
fn a_removed_variable_stands_and_a_collected_one_does_not() {
    let store = store();
    let query = store.query(b"a");
    store.set(query, &Raw::word(Kind::U64, 1)).unwrap();
    let handle = store.find(query).unwrap().unwrap();
    let here = store.observed(handle).unwrap().unwrap();
    assert!(store.remove(query).unwrap());
    // On the heap a removal collects at once.
    assert!(!store.is_unchanged(handle, here));
    assert!(store.observed(handle).unwrap().is_none_or(|stand| stand.removed));
    assert_eq!(store.arm(handle, here).unwrap(), Arming::Changed);
    assert!(matches!(store.follow(handle).unwrap(), Followed::Stale | Followed::Removed(_)));
}
