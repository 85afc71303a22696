//! Waiting for variables, in a single thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    layout::live,
    mem::Mem,
    record::wait::NAP,
    store::Store,
    value::{Kind, Raw},
    variable::follow::Followed,
};
use mapvar_engine_sim::{
    heap::Heap,
    operations::{facts, formatted},
};

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
    assert!(store.is_unchanged(handle, stand) && store.arm(handle, stand).unwrap());
    set("a");
    assert_eq!(wake_counts(&store), (1, 2));
    assert!(!store.is_unchanged(handle, stand) && !store.arm(handle, stand).unwrap());
    assert!(store.sleep_once(handle, stand, NAP).unwrap());
    set("b");
    assert_eq!(wake_counts(&store), (2, 3), "what was armed is told once, and the birth");
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
    assert!(!store.arm(handle, here).unwrap());
    assert!(matches!(store.follow(handle).unwrap(), Followed::Stale | Followed::Removed(_)));
}
