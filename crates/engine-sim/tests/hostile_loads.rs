//! A few thousand of the calls that `harness/fuzz` makes by the million.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    handle::Handle,
    layout::{self, CHUNK},
    record::read::Seen,
    store::Store,
    value::{Kind, Raw},
};
use mapvar_engine_sim::{
    adversary::{Adversary, Call, Lies, LockState},
    operations::{Decoder, NAMES, OPERATIONS, facts, name, operate, operation_name, populated},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes by which the region can grow.
const SPARE: u64 = 8 * CHUNK;
const RATES: [u64; 6] = [1, 2, 7, 50, 400, 3_000];

fn attacked(seed: u64, store: &mut Store<Adversary>, handles: &[Handle]) -> u64 {
    let mem = store.mem().clone();
    let mut random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let mut most = 0;
    for round in 0..12 {
        random = (random ^ random >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (which, number) = ((random >> 40) % OPERATIONS, (random >> 16) as usize & 0xffff);
        mem.lie(Lies::random(seed << 8 | round, RATES[(seed % 6) as usize], u64::MAX));
        let done = catch_unwind(AssertUnwindSafe(|| {
            operate(store, handles, which, number, Decoder::NONE);
        }));
        assert!(done.is_ok(), "{} of seed {seed}", operation_name(which));
        most = most.max(mem.loads());
    }
    mem.be_honest();
    most
}

#[test]
fn i01_i02_whatever_each_load_answers_every_operation_ends() {
    let first = std::env::var("MAPVAR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds = std::env::var("MAPVAR_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut most = (0, 0);
    let places = [(1_000, true), (1_000, false), (40_000, true)].map(|(size, file)| {
        let (store, handles) = populated(size, file, SPARE);
        store.mem().keep();
        (store.into_mem(), handles, facts(size, 0, file))
    });
    for seed in first..first + seeds.unwrap_or(6_000_u64) {
        // The larger one seldom, since it takes long.
        let place = if seed % 16 == 15 { 2 } else { usize::from(seed % 4 == 0) };
        let (mem, handles, facts) = &places[place];
        mem.reset();
        let mut store = Store::new(mem.clone(), facts).unwrap();
        most = most.max((attacked(seed, &mut store, handles), seed));
    }
    println!("the longest operation made {} loads (seed {})", most.0, most.1);
}

/// A test of its own, as a check waits before it retries.
#[test]
fn i01_i02_whatever_each_load_answers_a_check_ends() {
    let (store, _) = populated(1_000, true, SPARE);
    let check = store.check(&[], true, Decoder::NONE.is_message_pack, &|| false).unwrap();
    assert!(check.is_whole(), "{:?}", check.findings());
    for seed in 1..=60 {
        store.mem().lie(Lies::random(seed, RATES[(seed % 6) as usize], u64::MAX));
        let _ = store.check(&[], seed % 2 == 0, Decoder::NONE.is_message_pack, &|| false);
    }
}

/// The adversary itself: without lies it is an honest memory, and with lies it is not.
#[test]
fn i01_the_adversary_is_one() {
    let (store, handles) = populated(1_000, true, SPARE);
    let seen = |store: &Store<Adversary>| {
        let mut names = 0;
        let walked = store.each_record(|handle| {
            names += usize::from(
                store
                    .name_of(handle.at)
                    .is_some_and(|found| (0..NAMES).any(|number| found == name(number))),
            );
            true
        });
        (names, walked.is_ok())
    };
    let honest = seen(&store);
    assert_eq!((handles.len(), honest), (NAMES, (NAMES, true)), "the file needs the removed one");
    let mem = store.mem();
    mem.keep();
    mem.lie(Lies::random(1, 2, u64::MAX));
    assert_ne!(seen(&store), honest);
    mem.reset();
    assert_eq!(seen(&store), honest);
}

/// A reset undoes all writes, a death discards everything after it, and the chosen call fails.
#[test]
fn i01_the_adversary_goes_back_and_fails_as_told() {
    let (store, _) = populated(1_000, true, SPARE);
    let mem = store.mem();
    mem.keep();
    let before = mem.image();
    let raw = Raw::bytes(Kind::Bytes, 0, b"other");
    store.set(store.query(b"a"), &raw).unwrap();
    store.grow(CHUNK, u64::MAX).unwrap();
    assert_ne!(mem.image().words, before.words);
    mem.reset();
    assert_eq!(mem.image().words, before.words);
    mem.fail(1, 1);
    assert!(store.grow(CHUNK, u64::MAX).is_err() && mem.failed() == [Call::Lock]);
    mem.fail(2, 1);
    assert!(store.grow(CHUNK, u64::MAX).is_err() && mem.failed() == [Call::Grow]);
    mem.dies_at(3);
    let _ = store.set(store.query(b"a"), &raw);
    assert!(mem.death().is_some_and(|death| death.held.iter().all(|it| it.1 != LockState::Alive)));
}

/// A snapshot reads while it owns the commit lock, and no thread may own two locks.
#[test]
fn i01_who_reads_under_a_lock_takes_no_second_one() {
    let (store, handles) = populated(1_000, true, SPARE);
    let (mem, handle) = (store.mem(), handles[0]);
    let captured = store.read_at_once(handle, |view| view.capture()).unwrap();
    assert!(matches!(captured, Some(Seen::Value(..))));
    // The version of its current slot differs at each load.
    let current = layout::State(mem.peek(handle.at)).current();
    mem.lie(Lies::random(1, 1, 0).restless(handle.slot_at(current)));
    mem.fail(0, 0);
    let changed = store.read_at_once(handle, |view| view.capture()).unwrap();
    assert!(changed.is_none() && mem.calls() == 0);
    // Without that restriction it would take a lock.
    drop(store.read(handle, |view| view.capture()));
    assert_ne!(mem.calls(), 0);
}

/// A writer meets a mark again and again, and the mark is gone at any attempt, including the last.
#[test]
fn i01_who_gives_up_before_marks_has_no_lock() {
    let (store, handles) = populated(1_000, true, SPARE);
    let (mem, handle) = (store.mem(), handles[0]);
    let raw = Raw::bytes(Kind::Bytes, 0, b"other");
    let refused = (0..200).filter(|attempts| {
        mem.mark_for(handle.lock(), *attempts);
        let wrote = store.write(handle, &raw);
        assert_eq!(mem.held(), [], "after {attempts} marks");
        wrote.is_err()
    });
    assert!((1..200).contains(&refused.count()));
}
