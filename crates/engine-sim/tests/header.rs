//! A region's header and identity: written, and recognized.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]

use mapvar_engine::{
    header::{Facts, HeaderError, Identity, examine, format, region_bytes},
    layout::{self, header, identity},
    mem::{Load, Mem, Ordering, Ordering::Relaxed, StoreWords},
};
use mapvar_engine_sim::heap::Heap;

fn facts() -> Facts {
    Facts {
        uuid: [1, 2],
        seed: 3,
        size: 1024,
        region: region_bytes(1024).unwrap(),
        max_size: 0,
        file: true,
        created: 4,
        creator: 5,
    }
}

#[test]
fn what_is_formatted_is_recognised() {
    let heap = Heap::new(facts().region as usize);
    let words = heap.words_mut(0, (layout::META_CHUNKS * layout::CHUNK / 8) as usize).unwrap();
    assert_eq!(examine(words, facts().region), Err(HeaderError::NotReady));
    format(words, &facts());
    assert_eq!(examine(words, facts().region), Ok(facts()));
    assert_eq!(
        examine(words, facts().region - 1),
        Err(HeaderError::Truncated { said: facts().region })
    );
}

#[test]
fn every_flipped_bit_of_the_header_is_seen() {
    let heap = Heap::new(facts().region as usize);
    let words = heap.words_mut(0, (layout::META_CHUNKS * layout::CHUNK / 8) as usize).unwrap();
    format(words, &facts());
    for at in 0..header::WORDS {
        for bit in 0..64 {
            let old = words.load(at, Relaxed);
            words.store(at, old ^ 1 << bit, Relaxed);
            assert!(examine(words, facts().region).is_err(), "word {at} bit {bit}");
            words.store(at, old, Relaxed);
        }
    }
}

/// Counts the loads of each word.
#[derive(Clone, Copy)]
struct Counted<'a, W> {
    words: W,
    loads: &'a [std::cell::Cell<u32>; header::WORDS],
}

impl<W: Load> Load for Counted<'_, W> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.loads[at].set(self.loads[at].get() + 1);
        self.words.load(at, order)
    }
}

/// A peer may change a word at any moment: what the checksum covers is what is used.
#[test]
fn each_word_of_the_header_is_loaded_once() {
    let heap = Heap::new(facts().region as usize);
    let words = heap.words_mut(0, (layout::META_CHUNKS * layout::CHUNK / 8) as usize).unwrap();
    format(words, &facts());
    let loads = std::array::from_fn(|_| std::cell::Cell::new(0));
    assert_eq!(examine(Counted { words, loads: &loads }, facts().region), Ok(facts()));
    let [_, loads @ ..] = loads.map(std::cell::Cell::into_inner);
    assert_eq!(loads, [1; header::WORDS - 1]);
}

#[test]
fn a_region_is_of_whole_chunks_and_grows_with_the_size() {
    let mut last = 0;
    for size in [1, 1024, 2000, 65536, 65537, 1 << 20, (1 << 20) + 1, 1 << 30] {
        let bytes = region_bytes(size).unwrap();
        assert!(bytes >= 4 * size + 4 * layout::CHUNK && bytes >= last, "{size}");
        assert!(bytes.is_multiple_of(layout::CHUNK));
        last = bytes;
    }
    assert_eq!(region_bytes(1024), Some(5 * layout::CHUNK));
    assert_eq!(region_bytes(u64::MAX), None);
}

#[test]
fn an_identity_comes_back_and_zeros_are_none() {
    let heap = Heap::new(512);
    let words = heap.words_mut(0, identity::WORDS).unwrap();
    assert_eq!(Identity::read(words), None);
    let identity = Identity { boot: [1, 2], file: [3, 4, 5], pid_namespace: 6, device: 7 };
    identity.write(words);
    assert_eq!(Identity::read(words), Some(identity));
}

/// Words of which only the first few stores take effect, as if the process were killed then.
#[derive(Clone, Copy)]
struct Cut<'a, W> {
    words: W,
    left: &'a std::cell::Cell<usize>,
}

impl<W: Load> Load for Cut<'_, W> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.words.load(at, order)
    }
}

impl<W: StoreWords> StoreWords for Cut<'_, W> {
    fn store(self, at: usize, value: u64, order: Ordering) {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            self.words.store(at, value, order);
        }
    }

    fn swap(self, _: usize, _: u64, _: Ordering) -> u64 {
        unreachable!("an identity is stored")
    }

    fn fetch_add(self, _: usize, _: u64, _: Ordering) -> u64 {
        unreachable!("an identity is stored")
    }

    fn fetch_and(self, _: usize, _: u64, _: Ordering) -> u64 {
        unreachable!("an identity is stored")
    }

    fn fetch_or(self, _: usize, _: u64, _: Ordering) -> u64 {
        unreachable!("an identity is stored")
    }

    fn compare_exchange(self, _: usize, _: u64, _: u64) -> Result<u64, u64> {
        unreachable!("an identity is stored")
    }
}

/// Without an identity the next opener would recover a file of this boot.
#[test]
fn a_death_while_an_identity_is_written_leaves_the_old_one_or_the_new_one() {
    let identity = |by: u64| Identity {
        boot: [1 + by, 2 + by],
        file: [3, 4 + by, 5],
        pid_namespace: 6 + by,
        device: 7 + by,
    };
    let mut outcomes = Vec::new();
    for stores in 0..=2 * (identity::CRC + 2) {
        let heap = Heap::new(512);
        let words = heap.words_mut(0, identity::WORDS).unwrap();
        identity(0).write(words);
        let left = std::cell::Cell::new(stores);
        identity(10).write(Cut { words, left: &left });
        let found = Identity::read(words).unwrap();
        // The device is of this boot, so its word may be the new one already.
        let old = Identity { device: found.device, ..identity(0) };
        assert!(found == old || found == identity(10), "after {stores} stores: {found:?}");
        outcomes.push(found == identity(10));
    }
    assert!(!outcomes.first().unwrap() && *outcomes.last().unwrap());
}
