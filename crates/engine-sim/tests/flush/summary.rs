//! A flush passes over no change, beside writers and the deaths of processes: the summary
//! leads to every dirty record.

use super::*;
use mapvar_engine::{header::format, layout::CHUNK};
use mapvar_engine_sim::mortal::{Mortal, Point, Shared, to_its_end};
use std::sync::Arc;

struct World {
    shared: Arc<Shared>,
    facts: Facts,
    start: Point,
}

impl World {
    /// Three flushed variables, of which `a` has changed since, in chunks of their own, and an
    /// Atomic.
    fn new() -> Self {
        let facts = facts(1 << 20, 0, true);
        let shared = Shared::new(facts.region as usize, facts.region);
        let first = shared.process(0);
        format(first.words_mut(0, (facts.region / 8) as usize).unwrap(), &facts);
        let store = Store::new(first, &facts).unwrap();
        put(&store, b"a", &[1; 20]).unwrap();
        put(&store, b"b", &[1; 400]).unwrap();
        put(&store, b"c", &[1; 900]).unwrap();
        store.insert(store.query(b"hits"), &Raw::word(Kind::I64, 5), true).unwrap();
        store.flush().unwrap();
        put(&store, b"a", &[2; 20]).unwrap();
        drop(store);
        let start = shared.point();
        Self { shared, facts, start }
    }

    fn process(&self, seat: usize) -> Store<Mortal> {
        Store::new(self.shared.process(seat), &self.facts).unwrap()
    }
}

/// Whether the last complete flush contains the variable as it is.
fn is_durable(store: &Store<Mortal>, name: &[u8]) -> bool {
    let handle = store.find(store.query(name)).unwrap().unwrap();
    let words = store.mem().words(handle.at, handle.words()).unwrap();
    let state = State(words.load(record::STATE, Relaxed));
    let seal = words.load(handle.slot(state.current()) + slot::SEAL, Relaxed);
    let epoch = store.live().unwrap().load(live::EPOCH, Relaxed);
    state.current() == state.b() && seal != 0 && seal <= epoch
}

/// Another process sets `b` before each step of a flush. One of the two dies at each step, or none.
#[test]
fn a_set_beside_a_flush_is_in_the_next_one() {
    let world = World::new();
    for (flusher_dies, writer_dies) in [(false, false), (true, false), (false, true)] {
        let mut death = 0;
        loop {
            let mut lived = true;
            for step in 0.. {
                world.shared.back_to(&world.start);
                let (flusher, writer) = (world.process(1), world.process(2));
                if flusher_dies {
                    flusher.mem().dies_at(death);
                }
                if writer_dies {
                    writer.mem().dies_at(death);
                }
                let done = Arc::new(std::sync::Mutex::new(true));
                let outcome = Arc::clone(&done);
                flusher.mem().before_step(step, true, move || {
                    *outcome.lock().unwrap() =
                        to_its_end(|| drop(put(&writer, b"b", &[3; 400]))).is_some();
                });
                let flushed = to_its_end(|| flusher.flush()).is_some();
                let met = flusher.mem().others_are_done();
                lived &= if writer_dies { *done.lock().unwrap() } else { flushed };
                // A set that was not acknowledged is done again by another process.
                let context = format!(
                    "a set before step {step} of a flush, the deaths {flusher_dies} \
                     {writer_dies} at step {death}"
                );
                let next = world.process(3);
                if !met || !*done.lock().unwrap() {
                    put(&next, b"b", &[4; 400]).unwrap();
                    assert!(next.is_dirty().unwrap(), "{context}: the change is not seen");
                }
                next.flush().unwrap();
                for name in [b"a", b"b", b"c"] {
                    assert!(is_durable(&next, name), "{context}: {name:?} is not flushed");
                }
                assert!(!next.is_dirty().unwrap(), "{context}: something is left");
                if !met || step > 4_000 {
                    break;
                }
            }
            if lived || death > 200 {
                break;
            }
            death += 1;
        }
    }
}

/// Another process makes the region longer and inserts into the new chunk before each step of a flush.
#[test]
fn an_insertion_into_a_new_chunk_beside_a_flush_is_in_the_next_one() {
    const NEW: usize = 8;
    let large = facts(1 << 20, 0, true);
    let small = Facts { region: large.region / 8 / CHUNK * CHUNK, max_size: large.region, ..large };
    let shared = Shared::new(large.region as usize, small.region);
    let first = shared.process(0);
    format(first.words_mut(0, (small.region / 8) as usize).unwrap(), &small);
    let store = Store::new(first, &small).unwrap();
    put(&store, b"a", &[1; 20]).unwrap();
    let chunks = store.chunk_count().unwrap();
    for number in 0.. {
        if store.free_chunks().unwrap() == 0 {
            break;
        }
        put(&store, std::format!("x{number}").as_bytes(), &[1; 900]).unwrap();
    }
    assert_eq!(store.chunk_count().unwrap(), chunks);
    store.flush().unwrap();
    put(&store, b"a", &[2; 20]).unwrap();
    drop(store);
    let start = shared.point();
    let names = || (0..NEW).map(|number| std::format!("new{number}"));
    let mut grown = false;
    for step in 0.. {
        shared.back_to(&start);
        let process = |seat| Store::new(shared.process(seat), &small).unwrap();
        let (flusher, writer) = (process(1), process(2));
        let done = Arc::new(std::sync::Mutex::new(false));
        let outcome = Arc::clone(&done);
        flusher.mem().before_step(step, true, move || {
            // It may meet a lock of the flusher, which cannot go on before it.
            *outcome.lock().unwrap() = writer.grow(CHUNK, chunks).is_ok()
                && names().all(|name| put(&writer, name.as_bytes(), &[3; 900]).is_ok());
        });
        flusher.flush().unwrap();
        if !flusher.mem().others_are_done() {
            break;
        }
        if *done.lock().unwrap() {
            let next = process(3);
            grown |= next.chunk_count().unwrap() > chunks;
            next.flush().unwrap();
            for name in names() {
                assert!(is_durable(&next, name.as_bytes()), "step {step}: {name} is not flushed");
            }
        }
    }
    assert!(grown);
}

/// A flush of one variable leaves one bit at most, and an Atomic is found without a bit of its own.
#[test]
fn the_summary_names_the_chunks_to_flush() {
    use mapvar_engine::layout::summary;
    let world = World::new();
    let store = world.process(1);
    let bits = |at| {
        let words = store.mem().words(at, summary::WORDS).unwrap();
        (0..summary::WORDS).map(|word| words.load(word, Relaxed).count_ones()).sum::<u32>()
    };
    assert_eq!(bits(summary::DIRTY), 1, "`a`");
    store.flush().unwrap();
    assert_eq!((bits(summary::DIRTY), bits(summary::ATOMICS)), (0, 1));
    let hits = store.find(store.query(b"hits")).unwrap().unwrap();
    assert!(!store.is_dirty().unwrap());
    store.atomic(hits, |words| words.fetch_add(record::VALUE, 1, SeqCst)).unwrap();
    assert!(store.is_dirty().unwrap());
    store.flush().unwrap();
    assert!(is_durable(&store, b"hits") && bits(summary::DIRTY) == 0);
    for name in [b"a", b"b", b"c"] {
        put(&store, name, &[7; 20]).unwrap();
    }
    let chunks: std::collections::BTreeSet<_> = [b"a", b"b", b"c"]
        .map(|name| summary::place(store.find(store.query(name)).unwrap().unwrap().at / CHUNK))
        .into_iter()
        .collect();
    assert_eq!(bits(summary::DIRTY) as usize, chunks.len());
}
