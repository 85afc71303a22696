//! Names as words, and their hash.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    index::{Query, copy_words, store_name, words_are},
    mem::Mem,
};
use mapvar_engine_sim::heap::Heap;

#[test]
fn a_name_in_words_is_itself_and_no_other() {
    let heap = Heap::new(1024 + 64);
    let words = heap.words_mut(0, 128).unwrap();
    for len in 1..=1023 {
        let name: Vec<u8> = (0..len).map(|at| (at % 251) as u8 + 1).collect();
        store_name(words, 0, &name);
        assert!(words_are(words, 0, &name), "{len}");
        let mut copy = vec![0; len];
        copy_words(words, 0, &mut copy);
        assert_eq!(copy, name);
        for wrong in [0, len / 2, len - 1] {
            let mut other = name.clone();
            other[wrong] ^= 0x80;
            assert!(!words_are(words, 0, &other), "{len} {wrong}");
        }
    }
}

#[test]
fn the_hash_is_the_one_of_the_format() {
    // The XXH3-64 values of the specification and of other implementations.
    assert_eq!(Query::new(b"", 0).hash, 0x2d06_8005_38d3_94c2);
    assert_ne!(Query::new(b"foo", 0).hash, Query::new(b"foo", 1).hash);
}
