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
    mem::{Load, Mem, Ordering},
};
use mapvar_engine_sim::heap::Heap;
use mapvar_os::{Section, View};
use proptest::{collection::vec, prelude::*, sample::select};

/// Words that are compared one by one, as on a processor without wide comparisons.
#[derive(Clone, Copy)]
struct OneByOne<W>(W);

impl<W: Load> Load for OneByOne<W> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.0.load(at, order)
    }
}

fn view() -> View {
    Section::options().size(4096).create().unwrap().view().map().unwrap()
}

/// Stores the words to a view, from word `skip` on.
fn stored<'a>(view: &'a View, skip: usize, words: &[u64]) -> mapvar_os::Words<'a> {
    let there = view.words_mut(skip * 8, words.len()).unwrap();
    for (at, word) in words.iter().enumerate() {
        there.store(at, *word, Ordering::Relaxed);
    }
    view.words(skip * 8, words.len()).unwrap()
}

const FINGERPRINT: u64 = 0xabcd_ef00_0000_0000;

proptest! {
    /// The words of a line: empty, a tombstone, any word, and words that have the fingerprint of the
    /// hash or differ from it by one bit.
    #[test]
    fn a_line_is_probed_alike_by_wide_and_by_single_loads(
        line in vec(prop_oneof![
            Just(0_u64),
            Just(1_u64),
            any::<u64>(),
            (0_u64..1 << 40).prop_map(|record| FINGERPRINT | record),
            (40..64_u32, 0_u64..1 << 40).prop_map(|(bit, record)| (FINGERPRINT | record) ^ 1 << bit),
        ], 8),
        hash in prop_oneof![
            (0_u64..1 << 40).prop_map(|low| FINGERPRINT | low),
            0_u64..1 << 40,
            any::<u64>(),
        ],
        skip in 0..4_usize,
    ) {
        let view = view();
        let words = stored(&view, skip, &line);
        let fits = |at: usize| (line[at] ^ hash) >> 40 == 0;
        let until_empty = line.iter().position(|word| *word == 0).unwrap_or(8);
        let must = (0..until_empty).filter(|at| fits(*at)).fold(0_u32, |bits, at| bits | 1 << at);
        prop_assert_eq!(OneByOne(words).alike(hash), must);
        let wide = Load::alike(words, hash);
        // Behind an empty word a bit may be set, if the word has the fingerprint.
        let may = (0..8).filter(|at| fits(*at)).fold(0_u32, |bits, at| bits | 1 << at);
        prop_assert_eq!((wide & must, wide & !may), (must, 0));
    }

    /// Names of all lengths around those of wide comparisons: the name itself, one with another
    /// byte, and one that is shorter or longer. The bytes behind the stored name are zeros, as
    /// they must be, or others.
    #[test]
    fn a_name_is_compared_alike_by_wide_and_by_single_loads(
        name in vec(any::<u8>(), 1..48),
        change in select(vec!["none", "byte", "shorter", "longer"]),
        (place, bits) in (any::<prop::sample::Index>(), 1_u8..),
        padding in select(vec![0_u64, u64::MAX, 1 << 63]),
        skip in 0..4_usize,
    ) {
        let mut asked = name.clone();
        match change {
            "byte" => *place.get_mut(&mut asked) ^= bits,
            "shorter" if name.len() > 1 => drop(asked.pop()),
            "longer" => asked.push(bits),
            _ => {}
        }
        let mut bytes = [0; 64];
        bytes[..name.len()].copy_from_slice(&name);
        let end = name.len().next_multiple_of(8);
        let behind = padding.to_le_bytes();
        bytes[name.len()..end].copy_from_slice(&behind[8 - (end - name.len())..]);
        // What lies behind the name's last word does not count.
        bytes[end..].fill(0xee);
        let line: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let view = view();
        let words = stored(&view, skip, &line);
        let asked_end = asked.len().next_multiple_of(8);
        let expected = bytes[..asked.len()] == asked && bytes[asked.len()..asked_end].iter().all(|byte| *byte == 0);
        prop_assert_eq!(words_are(OneByOne(words), 0, &asked), expected);
        prop_assert_eq!(words_are(words, 0, &asked), expected);
    }
}

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
