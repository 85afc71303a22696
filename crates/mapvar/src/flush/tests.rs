//! Flush and recovery on words of this process.

use super::*;
use crate::{
    mem::heap::Heap,
    raw::Data,
    region::{self, Facts},
    slots::Seen,
};
use std::collections::BTreeMap;

pub(super) fn facts(size: u64) -> Facts {
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

pub(super) fn formatted<M: Mem>(mem: &M, facts: &Facts) {
    let meta = (layout::META_CHUNKS * CHUNK / 8) as usize;
    for chunk in region::table_chunks(0, facts.region / CHUNK) {
        mem.words_mut(layout::table_word(chunk), 1).unwrap().store(0, kind::TABLE, Relaxed);
    }
    region::format(mem.words_mut(0, meta).unwrap(), facts);
}

fn file(size: u64) -> Store<Heap> {
    let facts = facts(size);
    let heap = Heap::new(facts.region as usize);
    formatted(&heap, &facts);
    Store::new(heap, &facts).unwrap()
}

fn put<M: Mem>(store: &Store<M>, name: &[u8], bytes: &[u8]) -> Result<u64, Trouble> {
    store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, bytes))
}

/// Every variable, by name.
pub(super) fn content<M: Mem>(store: &Store<M>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut content = BTreeMap::new();
    store
        .each_record(|handle| {
            if let Ok(Seen::Value(captured, _)) = store.read(handle, |shot| shot.capture()) {
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
        let bytes = store.mem.size();
        let recovered = store.recover(bytes).unwrap();
        assert_eq!(content(&store), expected, "{round}");
        assert_eq!(recovered.variables, expected.len() as u64);
        assert_eq!((recovered.lost, recovered.damaged), (0, false));
    }
    // And it is a map as any.
    for name in &kept[..50] {
        assert!(store.remove(store.query(name)).unwrap());
        expected.remove(name);
    }
    put(&store, b"new", &[7; 70_000]).unwrap();
    expected.insert(b"new".to_vec(), vec![7; 70_000]);
    store.flush().unwrap();
    store.flush().unwrap();
    let bytes = store.mem.size();
    store.recover(bytes).unwrap();
    assert_eq!(content(&store), expected);
}
