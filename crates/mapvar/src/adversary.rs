//! I1 and I2 at a small size: the engine on a memory that answers loads with what an attacker
//! likes, each time anew. Whoever loads a word twice and believes both is found at once, and whoever
//! follows an answer without an end runs out of loads.
//!
//! The same on static bytes: `tests/hostile.rs`, `flush/tests.rs`; in use: `tests/invariants`.

use crate::{
    engine::{Expect, Handle, Store},
    layout::{self, CHUNK, kind, record},
    mem::{
        Load, Mem, Ordering, Private,
        heap::{Heap, HeapWords},
    },
    raw::{Kind, Raw},
    region::{self, Facts, Identity},
    store::Inserted,
    transact::Change,
    trouble::Trouble,
};
use mapvar_os::{Locks, Refused, Taken};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::{Relaxed, SeqCst},
};

/// Loads that one operation may make, whatever they answer. The longest waits of the engine are
/// counted in tries: a transaction marks its records 10,000 times, and looks 200 times each.
const MOST_LOADS: u64 = 20_000_000;
/// Chunks that the region can grow by.
const SPARE: u64 = 8;

/// A region whose loads are answered honestly, or as an attacker likes.
struct Adversary {
    heap: Heap,
    size: Private,
    random: Private,
    /// One load in so many is the attacker's; 0 = none.
    one_in: Private,
    loads: Private,
}

impl Adversary {
    fn new(region: u64) -> Self {
        Self {
            heap: Heap::new((region + SPARE * CHUNK) as usize),
            size: Private::new(region),
            random: Private::new(1),
            one_in: Private::new(0),
            loads: Private::new(0),
        }
    }

    fn random(&self) -> u64 {
        let mut x = self.random.load(Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.store(x, Relaxed);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn attacks(&self) -> bool {
        match self.one_in.load(Relaxed) {
            0 => false,
            one_in => self.random() >> 16 & 0xffff_ffff < (1 << 32) / one_in,
        }
    }

    /// What a load answers where `honest` stands.
    fn answer(&self, honest: u64) -> u64 {
        let loads = self.loads.load(Relaxed) + 1;
        self.loads.store(loads, Relaxed);
        assert!(loads <= MOST_LOADS, "an operation without an end");
        if !self.attacks() {
            return honest;
        }
        let choice = self.random();
        let any = self.random();
        match choice >> 32 & 15 {
            0 => any,
            1 => 0,
            2 => u64::MAX,
            3 => any & 0xff,
            4 => any & 0xffff,
            5 => honest ^ 1 << (any & 63),
            6 => honest.wrapping_add(1),
            7 => honest.wrapping_sub(1),
            // A place in the region, with something in the low bits or without.
            8 => self.somewhere(any),
            9 => self.somewhere(any) | any >> 58,
            10 => self.somewhere(any) | (any >> 56) << 56,
            // What would be right elsewhere.
            _ => self.elsewhere(any),
        }
    }

    fn somewhere(&self, any: u64) -> u64 {
        any % (self.size() / 64) * 64
    }

    fn elsewhere(&self, any: u64) -> u64 {
        let at = any % (self.heap.size() / 8) * 8;
        self.heap.words(at, 1).map_or(0, |words| words.load(0, Relaxed))
    }
}

#[derive(Clone, Copy)]
struct Words<'a>(HeapWords<'a>, &'a Adversary);

impl Load for Words<'_> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.1.answer(self.0.load(at, order))
    }
}

impl crate::mem::Store for Words<'_> {
    fn store(self, at: usize, value: u64, order: Ordering) {
        self.0.store(at, value, order);
    }

    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.1.answer(self.0.swap(at, value, order))
    }

    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.1.answer(self.0.fetch_add(at, value, order))
    }

    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.1.answer(self.0.fetch_and(at, value, order))
    }

    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.1.answer(self.0.fetch_or(at, value, order))
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        if self.1.attacks() {
            return Err(self.1.answer(old));
        }
        let _ = self.1.answer(0);
        self.0.compare_exchange(at, old, new)
    }
}

impl Mem for Adversary {
    type Words<'a> = Words<'a>;
    type WordsMut<'a> = Words<'a>;

    fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    fn words(&self, at: u64, count: usize) -> Option<Words<'_>> {
        let end = at.checked_add((count as u64).checked_mul(8)?)?;
        (end <= self.size()).then_some(())?;
        self.heap.words(at, count).map(|words| Words(words, self))
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<Words<'_>> {
        self.words(at, count)
    }

    fn reach(&self, bytes: u64) -> bool {
        bytes <= self.size() || (bytes <= self.limit() && self.grow(bytes).is_ok())
    }

    fn limit(&self) -> u64 {
        self.heap.size()
    }

    fn grow(&self, bytes: u64) -> Result<(), Trouble> {
        if bytes > self.limit() {
            return Err(Trouble::Full { needed: bytes, free: 0 });
        }
        self.size.fetch_max(bytes, Relaxed);
        Ok(())
    }

    fn fence(&self, _: Ordering) {}

    /// Whatever it says, the caller is one thread: there is nobody to wait for.
    fn lock(&self, _: u64) -> Result<Taken, Refused> {
        let _ = self.answer(0);
        if !self.attacks() {
            return Ok(Taken::Clean);
        }
        match self.random() >> 32 & 7 {
            0 => Err(Refused::Marked(Locks::MARK_L)),
            1 => Err(Refused::Marked(Locks::MARK_T)),
            2 => Err(Refused::Marked(7)),
            3 => Err(Refused::TimedOut(None)),
            _ => Ok(Taken::Recovered),
        }
    }

    fn try_lock(&self, _: u64) -> Option<Taken> {
        (!self.attacks()).then_some(Taken::Clean)
    }

    fn pause(&self, round: u32) -> bool {
        round < 64
    }

    fn unlock(&self, _: u64) {}

    fn mark(&self, _: u64, _: u32) -> Result<Taken, u32> {
        if self.attacks() { Err(self.answer(0) as u32) } else { Ok(Taken::Clean) }
    }

    fn is_marked(&self, _: u64, _: u32) -> bool {
        self.attacks()
    }

    fn unmark(&self, _: u64) {}
    fn wake(&self, _: u64) {}
    fn reset(&self, _: u64) {}

    fn seat(&self) -> Result<u64, Trouble> {
        self.heap.seat()
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        number == 0 || self.attacks()
    }
}

fn facts(size: u64) -> Facts {
    Facts {
        uuid: [11, 12],
        seed: 13,
        size,
        region: region::region_bytes(size).unwrap(),
        max_size: 0,
        file: true,
        created: 0,
        creator: 0,
    }
}

const NAMES: usize = 12;

fn name(number: usize) -> Vec<u8> {
    vec![b'a' + number as u8; [1, 8, 33, 200, 900][number % 5]]
}

fn value(number: usize) -> Vec<u8> {
    vec![number as u8; [3, 60, 300, 1_000, 1_500, 9_000][number % 6]]
}

/// An honest map with variables of every size, some removed, some flushed; handles to them.
fn populated(size: u64) -> (Store<Adversary>, Vec<Handle>) {
    let facts = facts(size);
    let mem = Adversary::new(facts.region);
    for chunk in region::table_chunks(0, facts.region / CHUNK) {
        crate::mem::Store::store(
            mem.words_mut(layout::table_word(chunk), 1).unwrap(),
            0,
            kind::TABLE,
            Relaxed,
        );
    }
    let meta = (layout::META_CHUNKS * CHUNK / 8) as usize;
    region::format(mem.words_mut(0, meta).unwrap(), &facts);
    let store = Store::new(mem, &facts).unwrap();
    let mut handles = Vec::new();
    for number in 0..NAMES {
        let (name, value) = (name(number), value(number));
        if number % 4 == 3 {
            let raw = Raw::word(Kind::I64, number as u64);
            store.insert(store.query(&name), &raw, true).unwrap();
        } else {
            store.set(store.query(&name), &Raw::bytes(Kind::Bytes, 0, &value)).unwrap();
        }
        handles.extend(store.find(store.query(&name)).unwrap());
        if number == 6 {
            store.flush().unwrap();
        }
    }
    assert!(store.remove(store.query(&name(1))).unwrap());
    (store, handles)
}

/// One operation, whatever it answers.
fn operate(store: &mut Store<Adversary>, handles: &[Handle], which: u64, number: usize) {
    let (name, bytes) = (name(number % NAMES), value(number / 2));
    let raw = Raw::bytes(Kind::Bytes, 0, &bytes);
    let handle = handles[number % handles.len()];
    match which {
        0 => drop(store.find(store.query(&name))),
        1 | 2 => drop(store.set(store.query(&name), &raw)),
        3 => drop(store.set_if(store.query(&name), &raw, Some((handle.id, 2)))),
        4 => {
            let inserted = store.insert(store.query(b"new"), &raw, false);
            if let Ok(Inserted::New(handle) | Inserted::Found(handle)) = inserted {
                drop(store.revive(handle, &raw, false));
            }
        }
        5 => {
            let word = Raw::word(Kind::I64, 5);
            if let Ok(Inserted::New(handle)) = store.insert(store.query(b"count"), &word, true) {
                let _ = store.atomic(handle, |words| {
                    crate::mem::Store::fetch_add(words, record::VALUE, 1, SeqCst)
                });
                let _ = (store.atomic_load(handle), store.atomic_kind(handle));
                drop(store.revive_atomic(handle, &word));
            }
        }
        6 | 7 => {
            let _ = store.read(handle, |shot| shot.capture().map(drop));
            let mut into = [0; 2_000];
            let _ = (store.peek(handle), store.peek_into(handle, &mut into));
            let _ = store.read(handle, |shot| shot.copy_to(&mut into));
            let _ = store.atomic_load(handle);
        }
        8 => {
            let _ = (store.poke(handle, &raw, false), store.write(handle, &raw));
            let _ = store.write_if(handle, &raw, Expect::Version(2));
        }
        9 => drop(store.remove(store.query(&name))),
        10 => drop(store.remove_record(handle)),
        11 | 12 => {
            let mut names = Vec::new();
            let _ = store.each_record(|handle| {
                names.push(store.name_of(handle.at));
                let _ = store.read(handle, |shot| shot.capture().map(drop));
                true
            });
        }
        13 => {
            let _ = (store.collect_all().map(drop), store.collect(handle));
        }
        14 => drop(store.sweep()),
        15 => drop(store.flush()),
        16 => drop(store.recover(store.mem().limit())),
        17 => drop(store.quiesce()),
        18 => {
            for number in 0..4 {
                drop(store.held(handle, number));
            }
            let chunk = handle.at / CHUNK;
            let _ = (store.chunk_says(chunk), store.place(handle.at, number % 4));
            let _ = (store.block_of(handle.at), store.is_headed(number as u64 * 64, handle));
        }
        19 => drop(store.chunk_count().and_then(|seen| store.grow(CHUNK, seen))),
        20 => drop((store.space(), store.is_dirty())),
        21 | 22 => {
            let mut changes: Vec<_> = handles
                .iter()
                .take(4)
                .filter(|handle| !handle.atomic)
                .map(|handle| Change { handle: *handle, expect: Expect::Any, raw: Some(raw) })
                .collect();
            let _ = store.transact(&mut changes);
        }
        23 => {
            let handles: Vec<_> =
                handles.iter().copied().filter(|handle| !handle.atomic).take(4).collect();
            let _ = (store.transactions_seen(), store.births());
            let _ = store.with_all_marked(&handles, || store.births());
        }
        24 => drop(store.rebuild()),
        _ => {
            // Opening: what a header says, and whose locks they are.
            let words = store.mem().words(0, 64).unwrap();
            let _ = region::examine(words, store.mem().size());
            let _ = Identity::read(store.mem().words(0x200, 8).unwrap());
        }
    }
}

const OPERATIONS: u64 = 26;

fn attacked(seed: u64, store: &mut Store<Adversary>, handles: &[Handle]) -> u64 {
    let mem = store.mem();
    mem.random.store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, Relaxed);
    mem.one_in.store([1, 2, 7, 50, 400, 3_000][(seed % 6) as usize], Relaxed);
    let mut most = 0;
    for _ in 0..12 {
        let (which, number) = (store.mem().random(), store.mem().random());
        let (which, number) = ((which >> 32) % OPERATIONS, (number >> 40) as usize);
        store.mem().loads.store(0, Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| operate(store, handles, which, number)));
        assert!(done.is_ok(), "operation {which} of seed {seed}");
        most = most.max(store.mem().loads.load(Relaxed));
    }
    store.mem().one_in.store(0, Relaxed);
    most
}

#[test]
fn i01_i02_whatever_each_load_answers_every_operation_ends() {
    let first = std::env::var("MAPVAR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds = std::env::var("MAPVAR_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut most = (0, 0);
    for seed in first..first + seeds.unwrap_or(6_000_u64) {
        let size = if seed % 16 == 15 { 40_000 } else { 1_000 };
        let (mut store, handles) = populated(size);
        most = most.max((attacked(seed, &mut store, &handles), seed));
    }
    println!("the longest operation made {} loads (seed {})", most.0, most.1);
}

/// Apart, as it waits before it looks again.
#[test]
fn i01_i02_whatever_each_load_answers_a_check_ends() {
    let (store, _) = populated(1_000);
    let check = store.check(&[], true);
    assert!(check.is_whole(), "{:?}", check.findings());
    for seed in 1..=60 {
        let mem = store.mem();
        mem.random.store(seed, Relaxed);
        mem.one_in.store([1, 2, 7, 50, 400, 3_000][(seed % 6) as usize], Relaxed);
        mem.loads.store(0, Relaxed);
        let _ = store.check(&[], seed % 2 == 0);
    }
}

/// The adversary itself: without attacks it is an honest memory, and with them it lies.
#[test]
fn i01_the_adversary_is_one() {
    let (store, handles) = populated(1_000);
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
    store.mem().one_in.store(2, Relaxed);
    assert_ne!(seen(&store), honest);
}
