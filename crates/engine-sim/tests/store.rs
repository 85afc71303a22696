//! The engine on plain words of this process: against a `HashMap`, at its limits, and with the
//! remains of a death or of a hostile peer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    error::EngineError,
    layout::{self, State, dirty, journal, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Relaxed, Release},
        StoreWords,
    },
    record::read::Seen,
    store::Store,
    value::{Data, Kind, Raw},
    variable::insert::Inserted,
};
use mapvar_engine_sim::{
    heap::Heap,
    operations::{Decoder, facts, formatted},
};
use mapvar_os::Locks;
use proptest::prelude::*;
use std::collections::HashMap;

fn heap(size: u64) -> Store<Heap> {
    made(size, false)
}

fn made(size: u64, file: bool) -> Store<Heap> {
    let facts = facts(size, 0, file);
    formatted(Heap::new(facts.region as usize), &facts)
}

fn put(store: &Store<Heap>, name: &[u8], bytes: &[u8]) -> Result<u64, EngineError> {
    store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, bytes))
}

fn read_value(store: &Store<Heap>, name: &[u8]) -> Option<Vec<u8>> {
    let handle = store.find(store.query(name)).unwrap()?;
    match store.read(handle, |view| view.capture()).unwrap() {
        Seen::Value(captured, _) => match captured.unwrap().data {
            Data::Bytes(bytes) => Some(bytes),
            Data::Word(word) => Some(word.to_le_bytes().to_vec()),
        },
        Seen::Absent => None,
        Seen::Stale => panic!("nobody else is here"),
    }
}

fn names(store: &Store<Heap>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    store
        .each_record(|handle| {
            if let Ok(Seen::Value(..)) = store.read(handle, |_| ()) {
                names.push(store.name_of(handle.at).unwrap());
            }
            true
        })
        .unwrap();
    names.sort();
    names
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u16, u8),
    Remove(u8),
    Get(u8),
    List,
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), prop_oneof![3 => 0..1100_u16, 1 => 0..40_000_u16], any::<u8>()).prop_map(|(n, len, b)| Step::Set(n, len, b)),
        2 => any::<u8>().prop_map(Step::Remove),
        2 => any::<u8>().prop_map(Step::Get),
        1 => Just(Step::List),
        1 => Just(Step::Collect),
    ]
}

/// Names of every relevant length: within the record, at its edge, in each class of block.
fn name(number: u8) -> Vec<u8> {
    let len = [1, 7, 8, 24, 31, 32, 33, 100, 128, 200, 500, 1023][usize::from(number) % 12];
    let mut name = vec![b'n'; len];
    for (to, digit) in name.iter_mut().rev().zip(format!("{number}").bytes()) {
        *to = digit;
    }
    name[0] = number.max(1);
    name
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The store behaves like a `HashMap`, and a value that does not fit changes nothing.
    #[test]
    fn it_is_a_map(steps in prop::collection::vec(step(), 1..200), size in 1..200_000_u64) {
        let store = heap(size);
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for step in steps {
            match step {
                Step::Set(n, len, byte) => {
                    let value = vec![byte; usize::from(len)];
                    match put(&store, &name(n), &value) {
                        Ok(_) => { model.insert(name(n), value); }
                        Err(EngineError::Full { .. }) => {}
                        Err(other) => prop_assert!(false, "{:?}", other),
                    }
                }
                Step::Remove(n) => {
                    let was = store.remove(store.query(&name(n))).unwrap();
                    prop_assert_eq!(was, model.remove(&name(n)).is_some());
                }
                Step::Get(_) => {}
                Step::List => {
                    let mut expected: Vec<_> = model.keys().cloned().collect();
                    expected.sort();
                    prop_assert_eq!(names(&store), expected);
                }
                Step::Collect => { store.collect_all().unwrap(); }
            }
            if let Step::Set(n, ..) | Step::Remove(n) | Step::Get(n) = step {
                prop_assert_eq!(read_value(&store, &name(n)), model.get(&name(n)).cloned());
            }
        }
        for (name, value) in &model {
            prop_assert_eq!(read_value(&store, name), Some(value.clone()));
        }
    }
}

#[test]
fn a_full_map_says_so_and_loses_nothing() {
    let store = heap(1024);
    let mut made = Vec::new();
    let full = loop {
        let name = format!("variable {}", made.len());
        match put(&store, name.as_bytes(), &[7; 30]) {
            Ok(_) => made.push(name),
            Err(trouble) => break trouble,
        }
    };
    let EngineError::Full { needed, free } = full else { panic!("{full:?}") };
    assert!(needed > 0 && free < needed * 51, "{needed} {free}");
    assert!(made.len() >= 50, "{}", made.len());
    for name in &made {
        assert_eq!(read_value(&store, name.as_bytes()), Some(vec![7; 30]), "{name}");
        put(&store, name.as_bytes(), &[8; 31]).unwrap();
    }
    assert!(store.remove(store.query(made[3].as_bytes())).unwrap());
    put(&store, b"one more", &[1; 30]).unwrap();
    assert_eq!(names(&store).len(), made.len());
}

#[test]
fn removed_room_is_used_again_for_ever() {
    let store = heap(1024);
    let before = store.space().unwrap();
    for round in 0..20_000_u32 {
        let name = format!("{}-{round}", "long".repeat(round as usize % 30 + 1));
        put(&store, name.as_bytes(), &round.to_le_bytes()).unwrap();
        assert!(store.remove(store.query(name.as_bytes())).unwrap());
    }
    assert_eq!(store.space().unwrap().used, 0);
    assert_eq!(store.space().unwrap().region, before.region);
    let used = store.live().unwrap().load(live::INDEX_USED, Relaxed);
    assert!(used < 800, "tombstones pile up: {used}");
}

#[test]
fn the_index_grows_with_the_names() {
    let store = heap(16 << 20);
    for number in 0..30_000_u32 {
        let raw = Raw::word(Kind::I64, u64::from(number));
        store.set(store.query(format!("name {number}").as_bytes()), &raw).unwrap();
    }
    assert!(store.table().unwrap().lines * 8 >= 30_000 * 10 / 7);
    for number in 0..30_000_u32 {
        let value = read_value(&store, format!("name {number}").as_bytes());
        assert_eq!(value, Some(u64::from(number).to_le_bytes().to_vec()), "{number}");
    }
    assert_eq!(read_value(&store, b"name 30000"), None);
    assert_eq!(names(&store).len(), 30_000);
}

#[test]
fn a_value_that_outgrows_its_record_goes_to_an_extent_and_back() {
    let store = heap(1 << 20);
    for round in 0..3 {
        put(&store, b"x", b"small").unwrap();
        for len in [33, 97, 500, 1009, 16_288, 16_289, 70_000, 300_000, 5, 1009] {
            put(&store, b"x", &vec![round; len]).unwrap();
            assert_eq!(read_value(&store, b"x"), Some(vec![round; len]), "{len}");
        }
    }
    store.remove(store.query(b"x")).unwrap();
    assert_eq!(store.space().unwrap().used, 0, "{:?}", store.space());
}

#[test]
fn a_large_value_that_does_not_fit_changes_nothing() {
    let store = heap(1 << 20);
    put(&store, b"x", &[7; 2000]).unwrap();
    let used = store.space().unwrap().used;
    for name in [&b"x"[..], b"y"] {
        let trouble = put(&store, name, &vec![1; 64 << 20]).unwrap_err();
        assert!(matches!(trouble, EngineError::Full { .. }), "{trouble:?}");
    }
    assert_eq!(read_value(&store, b"x"), Some(vec![7; 2000]));
    assert_eq!(read_value(&store, b"y"), None);
    assert_eq!(store.space().unwrap().used, used);
}

#[test]
fn atomics_keep_their_kind_and_their_record() {
    let store = heap(65536);
    let raw = Raw::word(Kind::I64, 5);
    let Inserted::New(handle) = store.insert(store.query(b"count"), &raw, true).unwrap() else {
        panic!("it was there")
    };
    assert_eq!(store.atomic_load(handle).unwrap(), Some(5));
    store.set(store.query(b"count"), &Raw::word(Kind::I64, 6)).unwrap();
    assert_eq!(store.atomic_load(handle).unwrap(), Some(6));
    assert_eq!(read_value(&store, b"count"), Some(6_u64.to_le_bytes().to_vec()));
    let wrong = store.set(store.query(b"count"), &Raw::bytes(Kind::Str, 0, b"x"));
    assert!(matches!(wrong, Err(EngineError::WrongKind(_))));
    assert!(store.remove(store.query(b"count")).unwrap());
    assert_eq!(store.atomic_load(handle).unwrap(), None);
    put(&store, b"count", b"text").unwrap();
    let again = store.find(store.query(b"count")).unwrap().unwrap();
    assert_ne!(again.at, handle.at, "an Atomic's record is never another variable's");
}

#[test]
fn long_names_of_atomics() {
    let store = heap(65536);
    for len in [23, 24, 25, 32, 33, 1023] {
        let name = vec![b'a'; len];
        store.insert(store.query(&name), &Raw::word(Kind::U64, len as u64), true).unwrap();
        assert_eq!(read_value(&store, &name), Some((len as u64).to_le_bytes().to_vec()), "{len}");
    }
}

/// The remains of an insertion whose process died at some step, written by hand: the journal says
/// INSERT, and some of the words are stored.
#[test]
fn an_insertion_that_was_cut_off_is_undone_or_done() {
    for published in [false, true] {
        let store = heap(65536);
        put(&store, b"other", b"value").unwrap();
        let used = store.space().unwrap().used;
        let name = vec![b'k'; 300];
        put(&store, &name, b"half").unwrap();
        let handle = store.find(store.query(&name)).unwrap().unwrap();
        let line = store.mem().words_mut(handle.at, record::LINE).unwrap();
        let block = line.load(record::VALUE, Relaxed);
        if !published {
            line.store(record::ID, 0, Relaxed);
        }
        let journal = store.journal().unwrap();
        journal.store(journal::RECORD, handle.at, Relaxed);
        journal.store(journal::BLOCK, block, Relaxed);
        journal.store(journal::OPERATION, journal::INSERT, Relaxed);
        drop(store.lock_structure().unwrap());
        assert_eq!(journal.load(journal::OPERATION, Relaxed), journal::NOTHING);
        assert_eq!(read_value(&store, &name), published.then(|| b"half".to_vec()));
        assert_eq!(read_value(&store, b"other"), Some(b"value".to_vec()));
        if !published {
            assert_eq!(store.space().unwrap().used, used, "nothing leaked");
            put(&store, &name, b"again").unwrap();
            assert_eq!(read_value(&store, &name), Some(b"again".to_vec()));
        }
    }
}

#[test]
fn a_collection_that_was_cut_off_is_done() {
    for step in 0..4 {
        let store = heap(65536);
        put(&store, b"gone", b"value").unwrap();
        let handle = store.find(store.query(b"gone")).unwrap().unwrap();
        store.write(handle, &Raw::TOMBSTONE).unwrap();
        let journal = store.journal().unwrap();
        journal.store(journal::RECORD, handle.at, Relaxed);
        journal.store(journal::OPERATION, journal::UNLINK, Relaxed);
        if step > 0 {
            assert!(store.mem().mark(handle.lock(), Locks::MARK_L).is_ok());
        }
        if step > 1 {
            store.mem().words_mut(handle.at, 8).unwrap().store(record::ID, 0, Relaxed);
        }
        if step > 2 {
            store.unlink(handle.at).unwrap();
        }
        drop(store.lock_structure().unwrap());
        store.collect_all().unwrap();
        assert_eq!(read_value(&store, b"gone"), None);
        assert!(!store.mem().is_marked(handle.lock(), Locks::MARK_L), "{step}");
        assert_eq!(store.space().unwrap().used, 0, "{step}");
        put(&store, b"gone", b"back").unwrap();
        assert_eq!(read_value(&store, b"gone"), Some(b"back".to_vec()));
    }
}

/// Found by the harness `kill`. A flush begins after the death and before another process takes the
/// structure lock. It has the record's bit in flight, since the record was dirty.
#[test]
fn an_erasure_that_was_cut_off_is_done_whatever_flush_has_begun() {
    for unlinked in [false, true] {
        let store = made(65536, true);
        let name = vec![b'k'; 300];
        put(&store, &name, b"value").unwrap();
        let handle = store.find(store.query(&name)).unwrap().unwrap();
        store.write(handle, &Raw::TOMBSTONE).unwrap();
        let journal = store.journal().unwrap();
        journal.store(journal::RECORD, handle.at, Relaxed);
        journal.store(journal::OPERATION, journal::UNLINK, Relaxed);
        assert!(store.mem().mark(handle.lock(), Locks::MARK_L).is_ok());
        store.mem().words_mut(handle.at, 8).unwrap().store(record::ID, 0, Relaxed);
        if unlinked {
            store.unlink(handle.at).unwrap();
        }
        let (at, bit) = (dirty::at(handle.at / layout::CHUNK), layout::dirty_bit(handle.at));
        let words = store.mem().words_mut(at, dirty::WORDS).unwrap();
        words.store(dirty::DIRTY, 0, Relaxed);
        words.store(dirty::FLUSHING, bit, Relaxed);
        drop(store.lock_structure().unwrap());
        words.store(dirty::FLUSHING, 0, Relaxed);
        assert_eq!(store.space().unwrap().used, 0, "{unlinked}");
        let check = store.check(&[], true, Decoder::NONE.is_message_pack, &|| false).unwrap();
        assert!(check.findings().is_empty(), "{:?}", check.findings());
    }
}

#[test]
fn a_rebuilding_that_was_cut_off_is_done_or_undone() {
    for published in [false, true] {
        let store = heap(1 << 20);
        for number in 0..100 {
            put(&store, format!("n{number}").as_bytes(), b"v").unwrap();
        }
        let old = store.table().unwrap();
        let free = store.free_chunks().unwrap();
        store.rebuild().unwrap();
        let new = store.table().unwrap();
        assert_ne!(old, new);
        let journal = store.journal().unwrap();
        journal.store(journal::OLD, old.root(), Relaxed);
        journal.store(journal::NEW, new.root(), Relaxed);
        journal.store(journal::OPERATION, journal::ROOT, Relaxed);
        if !published {
            store.live_mut().unwrap().store(live::ROOT, old.root(), Relaxed);
        }
        drop(store.lock_structure().unwrap());
        assert_eq!(store.table().unwrap(), if published { new } else { old });
        assert_eq!(store.free_chunks().unwrap(), if published { free - 1 } else { free });
        for number in 0..100 {
            assert!(read_value(&store, format!("n{number}").as_bytes()).is_some(), "{number}");
        }
    }
}

fn how_many_fit(store: &Store<Heap>) -> usize {
    for number in 0.. {
        let raw = Raw::word(Kind::I64, 1);
        match store.set(store.query(format!("fit {number}").as_bytes()), &raw) {
            Ok(_) => {}
            Err(EngineError::Full { .. }) => return number,
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("it is finite")
}

#[test]
fn what_was_used_for_other_sizes_is_used_again() {
    let store = heap(1 << 19);
    let mut random = 1_u64;
    let mut next = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % bound
    };
    for _ in 0..60_000 {
        let name = name(next(200) as u8);
        if next(3) == 0 {
            store.remove(store.query(&name)).unwrap();
        } else {
            put(&store, &name, &vec![1; next(1008) as usize]).unwrap();
        }
    }
    for name in names(&store) {
        store.remove(store.query(&name)).unwrap();
    }
    let space = store.space().unwrap();
    assert_eq!(space.used, 0);
    // Every slot for a record takes a variable, whatever its size class.
    let counts = store.mem().words(layout::room::AT, layout::room::WORDS).unwrap();
    let places = counts.load(layout::room::RECORDS, Relaxed) as usize;
    let fit = how_many_fit(&store);
    assert!(fit >= places && places > 100, "{fit} in {places} places, {space:?}");
    // Few chunks were wasted: 200 variables of up to 1,008 bytes existed at once.
    assert!(fit > how_many_fit(&heap(1 << 19)) / 2, "{fit}");
}

#[test]
fn an_atomic_made_and_removed_for_ever_takes_one_record() {
    let store = heap(1024);
    let raw = Raw::word(Kind::I64, 5);
    for round in 0..2_000 {
        match store.insert(store.query(b"count"), &raw, true).unwrap() {
            Inserted::New(_) => assert_eq!(round, 0),
            Inserted::Found(handle) => store.revive(handle, &raw, true).unwrap(),
        }
        let handle = store.find(store.query(b"count")).unwrap().unwrap();
        assert_eq!(store.atomic_load(handle).unwrap(), Some(5));
        assert!(
            store.atomic(handle, |words| words.swap(record::VALUE, 9, Release)).unwrap().is_some()
        );
        assert!(store.remove(store.query(b"count")).unwrap());
        // A handle cannot reach a removed variable either.
        assert_eq!(store.atomic_load(handle).unwrap(), None);
        assert!(store.atomic(handle, |_| ()).unwrap().is_none());
        assert!(!store.remove(store.query(b"count")).unwrap());
    }
    assert_eq!(store.space().unwrap().used, layout::record_bytes(0) as u64);
}

#[test]
fn an_id_is_never_zero_whatever_the_counter_says() {
    let store = heap(1024);
    for births in [u64::MAX, record::RETIRED - 1, record::RETIRED, u64::MAX - 1] {
        store.live_mut().unwrap().store(live::BIRTHS, births, Relaxed);
        let name = format!("{births}");
        put(&store, name.as_bytes(), b"x").unwrap();
        assert_eq!(read_value(&store, name.as_bytes()), Some(b"x".to_vec()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Arbitrary words anywhere: every operation ends, and none panics.
    #[test]
    fn hostile_words_do_no_harm(
        pokes in prop::collection::vec((0..12_288_usize, any::<u64>(), 0..4_u8), 1..60),
        journal in prop::option::of((0..5_u64, any::<u64>(), any::<u64>())),
    ) {
        let store = heap(32768);
        for number in 0..40_u8 {
            let _ = put(&store, &name(number), &[number; 40]);
        }
        let words = (store.mem().size() / 8) as usize;
        let all = store.mem().words_mut(0, words).unwrap();
        for (at, value, how) in pokes {
            let at = if how < 2 { 512 + at % 64 } else { at % words };
            // A plausible offset does more harm than noise.
            let value = if how % 2 == 0 { value } else { (value % (words as u64 * 8)) & !63 };
            // The heap keeps its lock words elsewhere, so a poke does not hit them.
            all.store(at, value, Relaxed);
        }
        if let Some((operation, record, block)) = journal {
            let words = store.journal().unwrap();
            words.store(journal::RECORD, record, Relaxed);
            words.store(journal::BLOCK, block, Relaxed);
            words.store(journal::OLD, record, Relaxed);
            words.store(journal::NEW, block, Relaxed);
            words.store(journal::OPERATION, operation, Relaxed);
        }
        for number in 0..45_u8 {
            let name = name(number);
            if let Ok(Some(handle)) = store.find(store.query(&name)) {
                let _ = store.read(handle, |view| view.capture());
            }
            let _ = put(&store, &name, &[1; 20]);
            let _ = store.remove(store.query(&name));
        }
        let _ = store.each_record(|handle| { let _ = store.read(handle, |_| ()); true });
        let _ = store.collect_all();
        let _ = store.space();
        let _ = store.rebuild();
    }
}

#[test]
fn a_sweep_leaves_runs_alone_that_are_made_meanwhile() {
    let store = heap(2 << 20);
    let value = vec![7_u8; 20 * layout::CHUNK as usize];
    let stop = std::sync::atomic::AtomicBool::new(false);
    let whole = |store: &Store<Heap>| {
        let _held = store.lock_structure().unwrap();
        let mut number = layout::META_CHUNKS;
        while number < store.chunk_count().unwrap() {
            let span = match store.chunk_kind(number).unwrap().0 {
                layout::kind::RUN => store.run_len(number).unwrap(),
                _ => 1,
            };
            for rest in number + 1..number + span {
                let kind = store.chunk_kind(rest).unwrap().0;
                let part = kind == layout::kind::REST || kind == layout::kind::TABLE;
                assert!(part, "chunk {rest} of the run at {number} is of kind {kind}");
            }
            number += span;
        }
    };
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !stop.load(Relaxed) {
                store.sweep_in_batches(2).unwrap();
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..20_000_u32 {
                put(&store, b"large", &value[..value.len() - (round % 7) as usize * 17_000])
                    .unwrap();
                whole(&store);
            }
        }));
        stop.store(true, Relaxed);
        sweeper.join().unwrap();
        done.unwrap();
    });
}

#[test]
fn a_run_is_found_that_begins_before_the_hint_and_ends_behind_a_long_table() {
    let store = heap(16 << 20);
    let chunks = store.chunk_count().unwrap();
    assert!(chunks > 4200 && layout::holds_table(4101) && !layout::holds_table(4102));
    for number in (layout::META_CHUNKS..chunks).filter(|number| !layout::holds_table(*number)) {
        let free = [4095, 4102, 4103].contains(&number);
        let kind = if free { layout::kind::FREE } else { layout::kind::REST };
        store.set_chunk(number, kind, 0).unwrap();
    }
    store.live_mut().unwrap().store(live::RUN_HINT, 4096, Relaxed);
    assert_eq!(store.free_span(3).unwrap(), Some((4095, 9)));
}

#[test]
fn a_run_in_the_place_of_a_table_is_no_extent() {
    let store = heap(2 << 20);
    let large = vec![1_u8; 2000];
    for _ in 0..4 {
        put(&store, b"large", &large).unwrap();
    }
    // A hostile peer: the next slot to be written refers to a table, and the table's chunk claims
    // to be a run.
    let handle = store.find(store.query(b"large")).unwrap().unwrap();
    let words = store.mem().words_mut(handle.at, handle.words()).unwrap();
    let next = handle.slot(handle.free_slot(State(words.load(record::STATE, Relaxed))));
    words.store(next + slot::DATA, 256 * layout::CHUNK + layout::CHUNK_HEADER, Relaxed);
    store.set_run_head(256, 1).unwrap();
    put(&store, b"large", &large).unwrap();
    assert_eq!(read_value(&store, b"large"), Some(large));
}

/// A map without a file has records of two slots, and `state` has numbers up to 3 for three of them.
#[test]
fn a_forged_number_of_a_slot_leads_to_no_other_record() {
    let store = heap(1024);
    for name in [b"a", b"b", b"c"] {
        put(&store, name, &[0; 30]).unwrap();
        put(&store, name, name).unwrap();
    }
    let find = |name: &[u8]| store.find(store.query(name)).unwrap().unwrap();
    let handle = find(b"b");
    assert_eq!((handle.slots(), find(b"c").at - handle.at), (2, layout::record_bytes(0) as u64));
    let words = store.mem().words_mut(handle.at, handle.words()).unwrap();
    for forged in 0..64 {
        let state = State(words.load(record::STATE, Relaxed));
        let current = state.current();
        let number = |shift: usize| forged >> shift & 3;
        let forged = State::new(state.version(), number(0), number(2), number(4));
        words.store(record::STATE, forged.0, Relaxed);
        match store.read(handle, |view| view.capture()) {
            Ok(Seen::Value(captured, _)) => {
                assert_eq!(forged.current() & 1, current);
                assert!(captured.unwrap().is(&Raw::bytes(Kind::Bytes, 0, b"b")));
            }
            Err(EngineError::Corrupt(..)) => assert_ne!(forged.current() & 1, current),
            other => panic!("{other:?}"),
        }
        assert!(store.glance(b"b", |desc, _| desc.len()).is_none_or(|(len, _)| len == 1));
        // The next writer brings it in order.
        put(&store, b"b", b"b").unwrap();
        assert_eq!(read_value(&store, b"b"), Some(b"b".to_vec()));
        for name in [b"a", b"c"] {
            assert_eq!(read_value(&store, name), Some(name.to_vec()));
        }
    }
    assert!(store.check_once(true, Decoder::NONE.is_message_pack).is_whole());
}

#[test]
fn a_chunk_of_more_than_64_records_is_used_to_its_end() {
    let store = heap(1 << 20);
    let in_chunk = layout::records_in_chunk(0);
    assert_eq!(in_chunk, 85);
    let set = |number: usize| {
        let name = format!("number {number}");
        store.set(store.query(name.as_bytes()), &Raw::word(Kind::I64, 1)).unwrap();
    };
    (0..in_chunk).for_each(set);
    let chunks = || {
        (layout::META_CHUNKS..store.chunk_count().unwrap())
            .filter(|number| store.chunk_kind(*number).unwrap().0 == layout::kind::RECORDS)
            .collect::<Vec<_>>()
    };
    let [first] = chunks()[..] else { panic!("{:?}", chunks()) };
    let header = store.mem().words(first * layout::CHUNK, layout::chunk::WORDS).unwrap();
    let taken = [0, 1].map(|word| header.load(layout::chunk::BITS + word, Relaxed));
    assert_eq!(taken, [u64::MAX, (1 << (in_chunk - 64)) - 1]);
    set(in_chunk);
    assert_eq!(chunks().len(), 2);
    for number in [70, 3, 84] {
        let name = format!("number {number}");
        assert!(store.remove(store.query(name.as_bytes())).unwrap());
    }
    assert_eq!(store.space().unwrap().used, (in_chunk - 2) as u64 * layout::record_bytes(0) as u64);
    assert!(store.check_once(true, Decoder::NONE.is_message_pack).is_whole());
    for name in ["x", "y", "z"] {
        store.set(store.query(name.as_bytes()), &Raw::word(Kind::I64, 1)).unwrap();
    }
    assert_eq!(chunks().len(), 2);
    assert_eq!(names(&store).len(), in_chunk + 1);
}
