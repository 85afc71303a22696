//! Rot: one word of a file differs from the written one. Either the recovery reports damage, or
//! nothing is lost; and no variable has a value that it never had.

use super::*;
use mapvar_engine::layout::{self, CHUNK, CHUNK_HEADER, superblock};

/// The values to which a word of the file may rot.
const ROTS: [fn(u64) -> u64; 3] = [|_| 0, |word| word ^ 1 << 17, |word| !word];

fn words_of(store: &Store<Heap>) -> Vec<u64> {
    let count = (store.mem().size() / 8) as usize;
    let words = store.mem().words(0, count).unwrap();
    (0..count).map(|at| words.load(at, Relaxed)).collect()
}

fn restored(facts: &Facts, words: &[u64]) -> Store<Heap> {
    let heap = Heap::new(facts.region as usize);
    let all = heap.words_mut(0, words.len()).unwrap();
    for (at, word) in words.iter().enumerate() {
        all.store(at, *word, Relaxed);
    }
    Store::new(heap, facts).unwrap()
}

/// Words of the two superblocks.
fn in_superblocks() -> impl Iterator<Item = usize> {
    superblock::AT.into_iter().flat_map(|at| {
        let first = at as usize / 8;
        first..first + superblock::WORDS
    })
}

/// Words of the chunks that recovery may trust. Most of those that are 0 are free space: of these
/// only every 13th is tested.
fn in_chunks(words: &[u64]) -> impl Iterator<Item = usize> {
    let all = (layout::META_CHUNKS * CHUNK / 8) as usize..words.len();
    all.filter(|at| words[*at] != 0 || at.is_multiple_of(13))
}

#[test]
fn i8_a_word_that_rots_is_reported_or_costs_nothing() {
    // With the removal the file knows only the second epoch: a slot of the first one is cleared.
    for removes in [false, true] {
        rot_each_word(removes);
    }
}

fn rot_each_word(removes: bool) {
    let long = "a name that is too long for its record, so that a block has it".as_bytes();
    let names: [&[u8]; 4] = [b"first", b"second", b"large", long];
    let value = |name: usize, round: u8| {
        let len = if name == 2 { 2_000 } else { 20 };
        vec![name as u8 * 16 + round; len]
    };
    let store = file(1_000);
    for (number, name) in names.iter().enumerate() {
        put(&store, name, &value(number, 0)).unwrap();
    }
    put(&store, b"removed", b"1").unwrap();
    store.flush().unwrap();
    // The second epoch seals some of the variables; the others belong to the first one, under the
    // sum of all.
    put(&store, names[0], &value(0, 1)).unwrap();
    put(&store, names[2], &value(2, 1)).unwrap();
    if removes {
        store.remove(store.query(b"removed")).unwrap();
    }
    store.flush().unwrap();
    let flushed = content(&store);
    put(&store, names[1], &value(1, 2)).unwrap();
    let words = words_of(&store);
    let (mut reported, mut harmless) = (0, 0);
    for at in in_superblocks().chain(in_chunks(&words)) {
        for rot in ROTS {
            let mut rotten = words.clone();
            rotten[at] = rot(words[at]);
            if rotten[at] == words[at] {
                continue;
            }
            let mut store = restored(&facts(1_000, 0, true), &rotten);
            let bytes = store.mem().size();
            // An error is a report too.
            let Ok(recovered) = store.recover(bytes) else {
                reported += 1;
                continue;
            };
            let found = content(&store);
            for (name, bytes) in &found {
                let number = names.iter().position(|known| known == name);
                let was_ever = match number {
                    Some(number) => (0..3).any(|round| *bytes == value(number, round)),
                    None => name == b"removed" && bytes == b"1",
                };
                assert!(was_ever, "word {at}: {name:?} is {bytes:?}, which it never was");
            }
            let is_of_one = at * 8 % CHUNK as usize >= CHUNK_HEADER as usize;
            if recovered.damaged && is_of_one && at * 8 >= CHUNK as usize {
                let lost = flushed.iter().filter(|(name, bytes)| found.get(*name) != Some(bytes));
                assert!(lost.count() <= 1, "word {at} costs more than its own variable");
            }
            if recovered.damaged {
                reported += 1;
            } else {
                assert_eq!(found, flushed, "word {at} rots to {:#x} unseen", rotten[at]);
                harmless += 1;
            }
        }
    }
    assert!(reported > 500 && harmless > 500, "{reported} {harmless}");
}
