//! The number of variables beside deaths, seats that change hands, and transactions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    header::Facts,
    layout::{CHUNK, Table, journal, spare},
    mem::{Mem, Ordering::Relaxed, StoreWords},
    record::read::Seen,
    store::Store,
    value::{Kind, Raw},
};
use mapvar_engine_sim::{
    heap::Heap,
    mortal::{Shared, to_its_end},
    operations::{facts, formatted},
};
use std::sync::{Arc, Mutex};

/// Returns the memory of 40 chunks, which may not grow, and what its header is to say.
fn region(file: bool) -> (Arc<Shared>, Facts) {
    let bytes = 40 * CHUNK;
    let facts = Facts { region: bytes, max_size: bytes, ..facts(1 << 20, 0, file) };
    (Shared::new(bytes as usize, bytes), facts)
}

fn put<M: Mem>(store: &Store<M>, name: &[u8]) {
    store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, b"1")).unwrap();
}

fn walked<M: Mem>(store: &Store<M>) -> u64 {
    let mut count = 0;
    store
        .each_record(|handle| {
            count += u64::from(matches!(store.read(handle, |_| ()), Ok(Seen::Value(..))));
            true
        })
        .unwrap();
    count
}

/// A process dies while it frees a retired record, after a recovery, or after an insertion that died.
fn retired(recovered: bool) -> Vec<String> {
    let (shared, facts) = region(true);
    let mut store = formatted(shared.process(0), &facts);
    for name in [&b"a"[..], b"b", b"c", b"gone"] {
        put(&store, name);
    }
    store.flush().unwrap();
    assert!(store.remove(store.query(b"gone")).unwrap());
    store.flush().unwrap();
    if recovered {
        let bytes = store.mem().size();
        store.recover(bytes).unwrap();
    }
    // A complete flush, so that the retired record may be freed.
    store.set(store.query(b"a"), &Raw::bytes(Kind::Bytes, 0, b"2")).unwrap();
    store.flush().unwrap();
    store.set(store.query(b"a"), &Raw::bytes(Kind::Bytes, 0, b"3")).unwrap();
    store.flush().unwrap();
    assert_eq!(store.count().unwrap(), 3);
    drop(store);
    let start = shared.point();
    let mut wrong = Vec::new();
    // Without a recovery an insertion has died before its publication.
    for before in if recovered { 0..1 } else { 0..40 } {
        for step in 0.. {
            shared.back_to(&start);
            if !recovered {
                let inserting = Store::new(shared.process(3), &facts).unwrap();
                inserting.mem().dies_at(before);
                if to_its_end(|| put(&inserting, b"new")).is_some() {
                    return wrong;
                }
                let other = Store::new(shared.process(3), &facts).unwrap();
                drop(other.lock_structure().unwrap());
                if other.find(other.query(b"new")).unwrap().is_some() {
                    break;
                }
            }
            let dying = Store::new(shared.process(1), &facts).unwrap();
            dying.mem().dies_at(step);
            let done = to_its_end(|| dying.collect_all().unwrap()).is_some();
            let store = Store::new(shared.process(2), &facts).unwrap();
            drop(store.lock_structure().unwrap());
            let (now, walk) = (store.count_now().unwrap(), walked(&store));
            if now.is_some_and(|now| now != walk) || store.count().unwrap() != walk {
                let check = store.check_once(true, |_| true);
                let found: Vec<_> = check.findings().iter().map(|f| f.what.clone()).collect();
                wrong.push(format!("insertion died at {before}, freeing at {step}: count {now:?}, then {}, there are {walk}; {found:?}", store.count().unwrap()));
            }
            if done {
                break;
            }
        }
    }
    wrong
}

#[test]
fn freeing_a_retired_record_after_a_recovery() {
    let wrong = retired(true);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn freeing_a_retired_record_after_a_dead_insertion() {
    let wrong = retired(false);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

struct World {
    shared: Arc<Shared>,
    facts: Facts,
}

fn ephemeral_of_the_dead() -> World {
    let (shared, facts) = region(false);
    let store = formatted(shared.process(0), &facts);
    put(&store, b"a");
    let owner = Store::new(shared.process(1), &facts).unwrap();
    let token = owner.mem().seat().unwrap();
    let raw = Raw::bytes(Kind::Bytes, 0, b"theirs").owned_by(token);
    owner.set(owner.query(b"e"), &raw).unwrap();
    assert_eq!(store.count().unwrap(), 2);
    owner.mem().dies_at(0);
    assert!(to_its_end(|| put(&owner, b"never")).is_none());
    World { shared, facts }
}

/// A count runs while the next process is taking the dead owner's seat.
#[test]
fn a_count_while_a_seat_is_taken_over() {
    let mut wrong = Vec::new();
    for step in 0..6 {
        let World { shared, facts } = ephemeral_of_the_dead();
        let next = Store::new(shared.process(1), &facts).unwrap();
        let (other, during) = (Arc::clone(&shared), Arc::new(Mutex::new(None)));
        let said = Arc::clone(&during);
        next.mem().before_step(step, false, move || {
            let counter = Store::new(other.process(4), &facts).unwrap();
            *said.lock().unwrap() = Some(counter.count().unwrap());
        });
        next.mem().seat().unwrap();
        if !next.mem().others_are_done() {
            break;
        }
        let counter = Store::new(shared.process(4), &facts).unwrap();
        let (now, walk) = (counter.count_now().unwrap(), 1);
        if now.is_some_and(|now| now != walk) {
            wrong.push(format!("count before step {step} of the seat: {:?}; afterwards {now:?}, then {}, there is {walk}", during.lock().unwrap(), counter.count().unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The next process takes the dead owner's seat, and is stopped there, while a count walks.
#[test]
fn a_seat_taken_while_a_count_corrects() {
    let mut wrong = Vec::new();
    for load in 0.. {
        let World { shared, facts } = ephemeral_of_the_dead();
        let counter = Store::new(shared.process(4), &facts).unwrap();
        counter.mem().seat().unwrap();
        let other = Arc::clone(&shared);
        // The system has given it the seat; it has not touched the region yet.
        counter.mem().before_step(load, true, move || drop(other.process(1)));
        let said = counter.count().unwrap();
        if !counter.mem().others_are_done() {
            break;
        }
        let next = Store::new(shared.process(1), &facts).unwrap();
        next.mem().seat().unwrap();
        let last = Store::new(shared.process(5), &facts).unwrap();
        let now = last.count_now().unwrap();
        if now.is_some_and(|now| now != 1) {
            wrong.push(format!(
                "taken before load {load}: counted {said}; afterwards {now:?}, there is 1"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}

/// Forged words of the journal: the next owner of L clears them.
#[test]
fn a_forged_journal_does_not_keep_l_for_ever() {
    let facts = facts(1 << 20, 0, false);
    let store = formatted(Heap::new(facts.region as usize), &facts);
    put(&store, b"a");
    for longest in [0, 1] {
        store.mem().words_mut(spare::AT, spare::WORDS).unwrap().store(
            spare::LONGEST,
            longest,
            Relaxed,
        );
        let words = store.mem().words_mut(journal::AT, journal::WORDS).unwrap();
        let forged = Table { at: (1 << 20) * CHUNK, lines: 256 }.root();
        words.store(journal::OLD, forged, Relaxed);
        words.store(journal::NEW, forged, Relaxed);
        words.store(journal::OPERATION, journal::ROOT, Relaxed);
        let first = store.lock_structure().map(drop);
        let second = store.lock_structure().map(drop);
        assert!(first.is_ok() && second.is_ok(), "longest {longest}: {first:?}, {second:?}");
    }
}

/// A process without a seat dies in a turn, and another inserts, during a count.
#[test]
fn a_turn_without_a_seat_during_a_count() {
    let mut wrong = Vec::new();
    'loads: for load in 0..200 {
        for death in 0..40 {
            let (shared, facts) = region(false);
            let store = formatted(shared.process(0), &facts);
            put(&store, b"x");
            let counter = Store::new(shared.process(4), &facts).unwrap();
            counter.mem().seat().unwrap();
            let other = Arc::clone(&shared);
            counter.mem().before_step(load, true, move || {
                // No seat has this number.
                let without = Store::new(other.process(200), &facts).unwrap();
                without.mem().dies_at(death);
                let _ = to_its_end(|| without.remove(without.query(b"x")).unwrap());
                let inserter = Store::new(other.process(2), &facts).unwrap();
                if inserter.read_named(inserter.query(b"x"), |_| ()).unwrap().is_none() {
                    put(&inserter, b"b");
                }
            });
            let now = counter.count_now().unwrap();
            if !counter.mem().others_are_done() {
                break 'loads;
            }
            if now == Some(2) {
                wrong.push(format!("before load {load}, death at {death}: {now:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A transaction takes one variable and makes another.
#[test]
fn a_count_during_a_transaction() {
    use mapvar_engine::{commit::TxEntry, version::Expect};
    let (shared, facts) = region(false);
    let store = formatted(shared.process(0), &facts);
    put(&store, b"x");
    let start = shared.point();
    drop(store);
    let mut wrong = Vec::new();
    for step in 0.. {
        shared.back_to(&start);
        let dying = Store::new(shared.process(1), &facts).unwrap();
        dying.mem().dies_at(step);
        let done = to_its_end(|| {
            let x = dying.find(dying.query(b"x")).unwrap().unwrap();
            let y = dying.insert_for_commit(dying.query(b"y")).unwrap();
            let entry = |handle, raw| TxEntry { handle, expect: Expect::Any, raw: Some(raw) };
            let new = Raw::bytes(Kind::Bytes, 0, b"1");
            dying.transact(&mut [entry(x, Raw::TOMBSTONE), entry(y, new)]).unwrap();
        })
        .is_some();
        let counter = Store::new(shared.process(2), &facts).unwrap();
        let now = counter.count_now().unwrap();
        let count = counter.count().unwrap();
        if now.is_some_and(|now| now != 1) || count != 1 {
            wrong.push(format!("death at {step}: {now:?}, {count}"));
        }
        if done {
            break;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// An insertion has taken its id before a snapshot begins, and publishes its variable during it.
#[test]
fn an_insertion_under_way_is_a_birth_once_it_is_published() {
    let mut missed = Vec::new();
    for step in 0.. {
        let (shared, facts) = region(false);
        drop(formatted(shared.process(0), &facts));
        let inserter = Store::new(shared.process(1), &facts).unwrap();
        let (other, seen) = (Arc::clone(&shared), Arc::new(Mutex::new(None)));
        let said = Arc::clone(&seen);
        inserter.mem().before_step(step, false, move || {
            let reader = Store::new(other.process(4), &facts).unwrap();
            let births = reader.births_now().unwrap();
            // The inserter may be stopped here for long.
            assert!(reader.is_without_birth_since(births).unwrap(), "no birth at step {step}");
            let absent = reader.find(reader.query(b"a")).unwrap().is_none();
            *said.lock().unwrap() = absent.then_some(births);
        });
        put(&inserter, b"a");
        if !inserter.mem().others_are_done() {
            break;
        }
        let births = *seen.lock().unwrap();
        if births.is_some_and(|births| inserter.is_without_birth_since(births).unwrap()) {
            missed.push(step);
        }
    }
    assert!(missed.is_empty(), "no birth is seen when it comes after step {missed:?}");
}

/// A dead process's insertion stays in the journal until somebody takes the structure lock.
#[test]
fn a_dead_insertion_is_no_birth() {
    let (shared, facts) = region(false);
    let store = formatted(shared.process(0), &facts);
    put(&store, b"a");
    assert!(store.remove(store.query(b"a")).unwrap());
    drop(store);
    let start = shared.point();
    let mut seen = Vec::new();
    // The insertion, then the collection of a removed variable, which is journalled as one.
    for collects in [false, true] {
        for step in 0.. {
            shared.back_to(&start);
            let dying = Store::new(shared.process(1), &facts).unwrap();
            dying.mem().dies_at(step);
            let end = to_its_end(|| {
                if collects {
                    dying.collect_all().unwrap();
                } else {
                    put(&dying, b"b");
                }
            });
            let reader = Store::new(shared.process(2), &facts).unwrap();
            let births = reader.births_now().unwrap();
            if !reader.is_without_birth_since(births).unwrap() {
                seen.push((collects, step));
            }
            if end.is_some() {
                break;
            }
        }
    }
    assert!(seen.is_empty(), "births that never were, (collects, died at step): {seen:?}");
}
