//! Flush and recovery on words of this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    error::EngineError,
    header::Facts,
    layout::{State, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Relaxed, SeqCst},
        StoreWords,
    },
    record::read::Seen,
    store::Store,
    value::{Data, Kind, Raw},
};
use mapvar_engine_sim::{
    heap::Heap,
    operations::{facts, formatted},
    power,
};
use mapvar_os::ErrorKind;
use std::collections::BTreeMap;

mod rot;
mod summary;

fn file(size: u64) -> Store<Heap> {
    let facts = facts(size, 0, true);
    formatted(Heap::new(facts.region as usize), &facts)
}

fn put<M: Mem>(store: &Store<M>, name: &[u8], bytes: &[u8]) -> Result<u64, EngineError> {
    store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, bytes))
}

/// Returns every variable, by name.
fn content<M: Mem>(store: &Store<M>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut content = BTreeMap::new();
    store
        .each_record(|handle| {
            if let Ok(Seen::Value(captured, _)) = store.read(handle, |view| view.capture()) {
                let value = match captured.unwrap().data {
                    Data::Bytes(bytes) => bytes,
                    Data::Word(word) => word.to_le_bytes().to_vec(),
                };
                let name = store.name_of(handle.at).unwrap();
                let found = store.find(store.query(&name)).unwrap();
                assert_eq!(found, Some(handle), "the index leads to it");
                assert!(content.insert(name, value).is_none(), "each name once");
            }
            true
        })
        .unwrap();
    content
}

#[test]
fn what_was_flushed_is_recovered_and_nothing_else() {
    let mut store = file(2 << 20);
    let mut expected = BTreeMap::new();
    for number in 0..200_u32 {
        let name = format!("{}{number}", "long ".repeat(number as usize % 60)).into_bytes();
        let value = vec![number as u8; [3, 90, 800, 2_000, 40_000][number as usize % 5]];
        put(&store, &name, &value).unwrap();
        expected.insert(name, value);
    }
    store.insert(store.query(b"count"), &Raw::word(Kind::I64, 5), true).unwrap();
    expected.insert(b"count".to_vec(), 6_u64.to_le_bytes().to_vec());
    let count = store.find(store.query(b"count")).unwrap().unwrap();
    store.atomic(count, |words| words.fetch_add(record::VALUE, 1, SeqCst)).unwrap();
    store.flush().unwrap();
    let kept = expected.keys().cloned().collect::<Vec<_>>();
    for (at, name) in kept.iter().enumerate().filter(|(_, name)| *name != b"count") {
        match at % 3 {
            0 => put(&store, name, b"lost").map(|_| ()).unwrap(),
            1 => assert!(store.remove(store.query(name)).unwrap()),
            _ => {}
        }
    }
    put(&store, b"never flushed", b"lost").unwrap();
    store.atomic(count, |words| words.fetch_add(record::VALUE, 1, SeqCst)).unwrap();
    for round in 0..3 {
        let bytes = store.mem().size();
        let recovered = store.recover(bytes).unwrap();
        assert_eq!(content(&store), expected, "{round}");
        assert_eq!(recovered.variables, expected.len() as u64);
        assert_eq!((recovered.lost, recovered.damaged), (0, false));
    }
    // Afterwards it is a map like any other.
    for name in &kept[..50] {
        assert!(store.remove(store.query(name)).unwrap());
        expected.remove(name);
    }
    put(&store, b"new", &vec![7; 70_000]).unwrap();
    expected.insert(b"new".to_vec(), vec![7; 70_000]);
    store.flush().unwrap();
    store.flush().unwrap();
    let bytes = store.mem().size();
    store.recover(bytes).unwrap();
    assert_eq!(content(&store), expected);
}

fn on_disk(size: u64) -> (power::Power, Store<power::Power>, Facts) {
    let facts = facts(size, 0, true);
    let power = power::Power::new(facts.region as usize);
    let power = formatted(power, &facts).into_mem();
    (power.clone(), Store::new(power, &facts).unwrap(), facts)
}

#[test]
fn an_error_of_the_disk_is_for_good_until_the_next_start() {
    let (power, store, facts) = on_disk(10_000);
    put(&store, b"kept", b"1").unwrap();
    store.flush().unwrap();
    put(&store, b"kept", b"2").unwrap();
    power.machine().disk_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = store.flush().unwrap_err().during("flush", "map".into());
    assert_eq!(error.kind(), ErrorKind::Io);
    // The disk works again, but the data it lost is unknown.
    power.machine().disk_fails.store(false, std::sync::atomic::Ordering::Relaxed);
    let other = Store::new(power.clone(), &facts).unwrap();
    for store in [&store, &other] {
        let error = store.flush().unwrap_err().during("flush", "map".into());
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("earlier flush"), "{error}");
    }
    assert_eq!(content(&store).get(&b"kept"[..]), Some(&b"2".to_vec()), "it is a map as before");
    power.restart(&mut power::Random(1));
    let mut store = Store::new(power, &facts).unwrap();
    let bytes = store.mem().size();
    store.recover(bytes).unwrap();
    put(&store, b"kept", b"3").unwrap();
    store.flush().unwrap();
}

#[test]
fn removed_variables_give_their_room_back_when_the_file_knows() {
    let (_, store, _) = on_disk(20_000);
    for round in 0..200_u32 {
        for number in 0..30 {
            let name = format!("{}{number}", "name ".repeat(number % 40));
            put(&store, name.as_bytes(), &round.to_le_bytes().repeat(20)).unwrap();
        }
        store.flush().unwrap();
        for number in 0..30 {
            let name = format!("{}{number}", "name ".repeat(number % 40));
            assert!(store.remove(store.query(name.as_bytes())).unwrap());
        }
        if round % 3 != 0 {
            store.flush().unwrap();
        }
        assert!(content(&store).is_empty());
    }
    store.flush().unwrap();
    store.flush().unwrap();
    store.collect_all().unwrap();
    assert_eq!(store.space().unwrap().used, 0);
}

#[test]
fn what_no_flush_ever_saw_is_erased_at_once() {
    let (_, store, _) = on_disk(1_024);
    for round in 0..5_000_u32 {
        put(&store, b"here", &round.to_le_bytes()).unwrap();
        assert!(store.remove(store.query(b"here")).unwrap());
    }
    assert_eq!(store.space().unwrap().used, 0);
}

#[test]
fn opening_again_in_the_same_boot_looks_at_no_variable() {
    let loads = |variables: u32| {
        let (power, store, _) = on_disk(1 << 20);
        for number in 0..variables {
            put(&store, format!("name {number}").as_bytes(), b"value").unwrap();
        }
        let before = power.machine().loads.load(std::sync::atomic::Ordering::Relaxed);
        store.quiesce().unwrap();
        power.machine().loads.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    assert_eq!(loads(10), loads(2_000));
}

#[test]
fn a_damaged_variable_is_reported_and_the_others_are_there() {
    let (power, store, facts) = on_disk(10_000);
    for number in 0..20_u8 {
        put(&store, &[b'n', number], &[number; 20]).unwrap();
    }
    store.flush().unwrap();
    let handle = store.find(store.query(&[b'n', 7])).unwrap().unwrap();
    let state = State(store.mem().words(handle.at, 1).unwrap().load(0, Relaxed));
    let slot = store.mem().words_mut(handle.slot_at(state.current()), 5).unwrap();
    slot.store(slot::DATA, 12, Relaxed);
    let mut store = Store::new(power, &facts).unwrap();
    let bytes = store.mem().size();
    let recovered = store.recover(bytes).unwrap();
    assert_eq!((recovered.variables, recovered.lost, recovered.damaged), (19, 1, true));
    assert_eq!(content(&store).len(), 19);
    // Damage is reported once.
    store.flush().unwrap();
    let bytes = store.mem().size();
    let recovered = store.recover(bytes).unwrap();
    assert_eq!((recovered.variables, recovered.lost, recovered.damaged), (19, 0, false));
}

/// The record holds the first bytes of a long name, without a checksum of its own for them.
#[test]
fn a_long_name_of_which_the_record_has_something_else_is_none() {
    let mut store = file(10_000);
    let name = "a name that is too long for its record, so that a block has it";
    put(&store, name.as_bytes(), b"1").unwrap();
    put(&store, b"other", b"2").unwrap();
    store.flush().unwrap();
    let handle = store.find(store.query(name.as_bytes())).unwrap().unwrap();
    store.mem().words_mut(handle.at, record::LINE).unwrap().store(record::NAME + 2, 0, Relaxed);
    let bytes = store.mem().size();
    let recovered = store.recover(bytes).unwrap();
    assert_eq!((recovered.variables, recovered.lost, recovered.damaged), (1, 1, true));
    // The name can be created anew, and exists once.
    put(&store, name.as_bytes(), b"3").unwrap();
    assert_eq!(content(&store).get(name.as_bytes()), Some(&b"3".to_vec()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Arbitrary words anywhere: a flush and a recovery end, and neither panics.
    #[test]
    fn hostile_words_do_no_harm(
        pokes in proptest::collection::vec((0..16_384_usize, proptest::prelude::any::<u64>(), 0..5_u8), 1..60),
    ) {
        let mut store = file(8_000);
        for number in 0..40_u8 {
            let len = [4, 100, 1_500, 20_000][usize::from(number) % 4];
            let _ = put(&store, &[number; 60][..=usize::from(number)], &vec![number; len]);
        }
        let _ = store.flush();
        let words = (store.mem().size() / 8) as usize;
        let all = store.mem().words_mut(0, words).unwrap();
        for (at, value, how) in pokes {
            let at = match how { 0 | 1 => 512 + at % 64, 2 => 256 + at % 72, _ => at % words };
            let value = if how % 2 == 0 { value } else { (value % (words as u64 * 8)) & !63 };
            all.store(at, value, Relaxed);
        }
        let _ = store.flush();
        let bytes = store.mem().size();
        if store.recover(bytes).is_ok() {
            for number in 0..40_u8 {
                let _ = put(&store, &[number; 60][..=usize::from(number)], &[number; 50]);
            }
            let _ = store.flush();
            let _ = store.remove(store.query(&[1]));
            let _ = store.collect_all();
            let _ = store.recover(bytes);
        }
    }
}

/// A power cut can leave the old content in any word of a name. That includes the beginning of a
/// name whose rest lies in a block, and a name's padding, which no checksum covers.
#[test]
fn a_name_that_no_lookup_would_find_is_no_whole_one() {
    for (name, word) in [(&[b'x'; 60][..], 0), (b"n1", 0x0030_316e)] {
        let mut store = file(1_000);
        put(&store, name, b"value").unwrap();
        let at = store.find(store.query(name)).unwrap().unwrap().at;
        store.flush().unwrap();
        let line = store.mem().words_mut(at, record::LINE).unwrap();
        line.store(record::NAME, word, Relaxed);
        let bytes = store.mem().size();
        let recovered = store.recover(bytes).unwrap();
        assert!(recovered.damaged && recovered.variables == 0, "{recovered:?}");
        assert!(content(&store).is_empty());
        put(&store, name, b"anew").unwrap();
        assert_eq!(content(&store).len(), 1);
    }
}

#[test]
fn recovering_frees_every_lock_of_free_records_too() {
    let (_, mut store, _) = on_disk(2_000);
    put(&store, b"a", b"1").unwrap();
    put(&store, b"b", b"1").unwrap();
    let [a, b] = [b"a", b"b"].map(|name| store.find(store.query(name)).unwrap().unwrap());
    store.flush().unwrap();
    store.remove(store.query(b"a")).unwrap();
    for at in [a.lock(), b.lock(), live::LOCK_L, live::LOCK_T] {
        assert!(store.mem().lock(at).is_ok());
    }
    let bytes = store.mem().size();
    store.recover(bytes).unwrap();
    put(&store, b"b", b"2").unwrap();
    put(&store, b"c", b"3").unwrap();
    assert!(store.mem().lock(a.lock()).is_ok());
}
