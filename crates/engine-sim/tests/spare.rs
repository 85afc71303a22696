//! Searches for space find what a plain look at every chunk finds, under random operations and
//! deaths.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    layout::{self, CHUNK, kind, live, spare},
    mem::{Mem, Ordering::Relaxed, StoreWords},
    store::Store,
    value::{Kind, Raw},
};
use mapvar_engine_sim::{
    heap::Heap,
    mortal::{Mortal, Shared, to_its_end},
    operations::{facts, formatted},
};

/// Returns whether `count` free chunks follow each other, with tables between them or without.
fn plainly_free<M: Mem>(store: &Store<M>, count: u64) -> (bool, bool) {
    let (mut run, mut span) = (0, 0);
    let (mut runs, mut spans) = (false, false);
    for number in layout::META_CHUNKS..store.chunk_count().unwrap() {
        match store.chunk_kind(number).unwrap().0 {
            kind::FREE => (run, span) = (run + 1, span + 1),
            kind::TABLE => run = 0,
            _ => (run, span) = (0, 0),
        }
        runs |= run == count;
        spans |= span == count;
    }
    (runs, spans)
}

/// Asserts that nothing free is hidden, and that a search for `count` chunks finds what is there.
fn check<M: Mem>(store: &Store<M>, count: u64, context: &str) {
    let check = store.check_once(true, |_| true);
    let hidden: Vec<_> =
        check.findings().iter().filter(|found| found.what.contains("no search finds it")).collect();
    assert!(hidden.is_empty(), "{context}: {}", hidden[0]);
    let (runs, spans) = plainly_free(store, count);
    let run = store.free_run(count).unwrap();
    assert_eq!(run.is_some(), runs, "{context}: a search for a run of {count} is wrong");
    let kinds = |first: u64, end: u64| (first..end).map(|at| store.chunk_kind(at).unwrap().0);
    if let Some(first) = run {
        assert!(kinds(first, first + count).all(|kind| kind == kind::FREE), "{context}: {first}");
    }
    let span = store.free_span(count).unwrap();
    assert_eq!(span.is_some(), spans, "{context}: a search for a span of {count} is wrong");
    if let Some((first, span)) = span {
        let free = kinds(first, first + span).filter(|kind| *kind == kind::FREE).count() as u64;
        assert_eq!(free, count, "{context}: chunks {first} and {span} more");
        assert!(kinds(first, first + span).all(|kind| [kind::FREE, kind::TABLE].contains(&kind)));
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

const SIZES: [usize; 10] = [8, 100, 700, 900, 3000, 15_000, 40_000, 200_000, 500_000, 1_000_000];

/// Does one operation of any kind. An error means that the region is full.
fn operate(store: &Store<Mortal>, random: &mut Random) {
    let name = format!("name {}", random.below(60));
    let query = store.query(name.as_bytes());
    match random.below(10) {
        0..6 => {
            let value = vec![1; SIZES[random.below(SIZES.len() as u64) as usize]];
            let _ = store.set(query, &Raw::bytes(Kind::Bytes, 0, &value));
        }
        6..9 => {
            let _ = store.remove(query);
        }
        _ => {
            let _ = store.sweep();
        }
    }
}

fn random_operations(file: bool, deaths: bool) {
    const CHUNKS: u64 = 1100;
    for seed in 1..4 {
        let mut random = Random(seed);
        let mut facts = facts(1 << 20, 0, file);
        // Grown in steps, up to less than the values can take.
        facts.region = 40 * CHUNK;
        facts.max_size = CHUNKS * CHUNK;
        let shared = Shared::new((CHUNKS * CHUNK) as usize, facts.region);
        let mut store = formatted(shared.process(0), &facts);
        for step in 0..120 {
            let context = format!("seed {seed}, step {step}");
            if deaths && random.below(2) == 0 {
                store.mem().dies_at(random.below(120));
            }
            if to_its_end(|| operate(&store, &mut random)).is_none() {
                store = Store::new(shared.process(step % 90), &facts).unwrap();
                let check = store.check_once(true, |_| true);
                let found = check.findings().iter().find(|f| f.what.contains("no search finds it"));
                assert!(found.is_none(), "{context}, after the death: {}", found.unwrap());
            } else {
                // It lives on.
                store = Store::new(shared.process(step % 90), &facts).unwrap();
            }
            let held = store.lock_structure().unwrap();
            check(&store, 1 + random.below(80), &context);
            drop(held);
        }
    }
}

#[test]
fn searches_find_what_is_free() {
    random_operations(false, false);
}

#[test]
fn searches_find_what_is_free_in_a_file() {
    random_operations(true, false);
}

#[test]
fn searches_find_what_is_free_after_deaths() {
    random_operations(false, true);
}

#[test]
fn searches_find_what_is_free_after_deaths_in_a_file() {
    random_operations(true, true);
}

/// A process dies at each step of each way to free chunks.
#[test]
fn no_death_hides_a_chunk() {
    let mut facts = facts(1 << 20, 0, false);
    facts.region = 40 * CHUNK;
    facts.max_size = 40 * CHUNK;
    let shared = Shared::new((40 * CHUNK) as usize, facts.region);
    let store = formatted(shared.process(0), &facts);
    let put = |store: &Store<Mortal>, name: &[u8], len| {
        let value = vec![1; len];
        store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, &value)).map(|_| ())
    };
    // Chunks 2 to 7 share their bit with none that is free.
    for name in [b"a", b"b", b"c"] {
        put(&store, name, 40_000).unwrap();
        put(&store, &[name[0], 1], 15_000).unwrap();
    }
    while put(&store, &[2, store.free_chunks().unwrap() as u8], 40_000).is_ok() {}
    {
        let _held = store.lock_structure().unwrap();
        // From the beginning, so that the bits of all that is used are cleared.
        store.live_mut().unwrap().store(live::FREE_HINT, 0, Relaxed);
        check(&store, 1, "full");
        check(&store, 9, "full");
    }
    drop(store);
    let start = shared.point();
    for name in [&b"a"[..], b"b", b"c", &[b'a', 1], &[b'b', 1], &[b'c', 1]] {
        for step in 0.. {
            shared.back_to(&start);
            let dying = Store::new(shared.process(1), &facts).unwrap();
            dying.mem().dies_at(step);
            let done = to_its_end(|| dying.remove(dying.query(name)).unwrap()).is_some();
            let store = Store::new(shared.process(2), &facts).unwrap();
            let context = format!("{name:?}, death at step {step}");
            for replayed in [false, true] {
                let check = store.check_once(true, |_| true);
                let found = check.findings().iter().find(|f| f.what.contains("no search finds it"));
                assert!(found.is_none(), "{context}, replayed: {replayed}: {}", found.unwrap());
                drop(store.lock_structure().unwrap());
            }
            let _held = store.lock_structure().unwrap();
            check(&store, 1, &context);
            check(&store, 3, &context);
            if done {
                break;
            }
        }
    }
}

/// A hostile peer stores what it likes into the bits: a search ends, and what it finds is free.
#[test]
fn forged_bits_lead_to_nothing_that_is_used() {
    let facts = facts(4 << 20, 0, false);
    let store = formatted(Heap::new(facts.region as usize), &facts);
    for number in 0..40 {
        let value = vec![1; SIZES[number % SIZES.len()]];
        let name = [b'v', number as u8];
        let _ = store.set(store.query(&name), &Raw::bytes(Kind::Bytes, 0, &value));
    }
    let words = store.mem().words_mut(spare::AT, spare::WORDS).unwrap();
    for forged in [0, u64::MAX, 0xffff, 0xffff_0000_0000, 0x5555_5555_5555_5555] {
        for longest in [0, 1, u64::MAX] {
            (0..spare::GROUPS).for_each(|word| words.store(word, forged, Relaxed));
            words.store(spare::LONGEST, longest, Relaxed);
            let _held = store.lock_structure().unwrap();
            for count in [1, 3, 70] {
                if let Some(first) = store.free_run(count).unwrap() {
                    let free = |at| store.chunk_kind(at).unwrap().0 == kind::FREE;
                    assert!((first..first + count).all(free), "{forged:#x}: {first}");
                }
            }
        }
        let _ = store.remove(store.query(&[b'v', 3]));
        let _ = store.set(store.query(b"new"), &Raw::bytes(Kind::Bytes, 0, &vec![1; 50_000]));
        let found = store.check_once(true, |_| true);
        let faults = found.findings().iter().filter(|f| !f.what.contains("no search finds it"));
        assert_eq!(faults.count(), 0, "{forged:#x}: {found:?}");
    }
}
