//! The index is rebuilt while other processes look names up in it. A name that exists throughout is
//! found in the old index or in the new one, or the lookup begins again.
//!
//! The Acquire of the loads of index words and the fence after a miss cover each other here. In
//! `identity` the id's Acquire covers that of the index words.

use super::{caught, covered, holds, model, process, without};
use crate::{
    check::{Body, Case},
    mem::{
        Op::{Fence, Load, Store, Swap},
        Shared, Ways,
    },
    setup::{Got, LARGE, Region, Vars, home, live, record},
    words::On::{Index, IndexSeq, Other, Root},
};
use loom::thread;
use mapvar_engine::{
    layout,
    mem::Ordering::{Acquire, Release},
};
use std::sync::Arc;

const INDEX: usize = (layout::CHUNK * 3) as usize / 8;
const NEXT: usize = (layout::CHUNK * 4) as usize / 8;
const LAST: usize = (layout::CHUNK * 5) as usize / 8;

/// `x` in record 0, and the index in chunk 3, as after an earlier rebuild; it claims to be full of
/// tombstones. The next index will be chunk 4. It has a second line once there are three names, and
/// 32 lines once there is a second chunk of records.
fn region() -> Region {
    let region = Region::new(|store| assert_eq!(store.put("x", 1), Some(1)));
    let first = layout::FIRST_INDEX as usize / 8;
    let word = region.words[first];
    region
        .poke(first, 0)
        .poke(INDEX, word)
        .poke(live(layout::live::ROOT), (INDEX * 8) as u64)
        .poke(live(layout::live::INDEX_USED), 8)
        .poke(layout::table_word(3) as usize / 8, layout::kind::INDEX)
        .identity(record(1))
        .identity(record(2))
        .identity(record(3))
        .hot([live(layout::live::ROOT), live(layout::live::INDEX_SEQ)])
        .hot([INDEX, NEXT].into_iter().flat_map(|index| table(index, 1)))
        .hot([INDEX, NEXT].into_iter().flat_map(|index| table(index, 2)))
        .structure()
}

/// Returns the words that the models' names occupy in an index of `lines` lines.
fn table(index: usize, lines: usize) -> impl Iterator<Item = usize> {
    let names = ["x", "b", "c", "d"];
    names.into_iter().flat_map(move |name| {
        let line = index + home(name, lines) * 8;
        line..line + names.len()
    })
}

/// Free space for a large `b` in the chunk of the old index or, after a death, in another chunk.
fn region_to_cut() -> Region {
    let free_space = |region: Region, chunk: usize| {
        let record = chunk + layout::CHUNK_HEADER as usize / 8;
        let slot = record + layout::record::LINE;
        let stride = layout::slot_bytes(2) / 8;
        let data = slot + layout::slot::DATA;
        region
            // A lookup in the old index reads the chunk's header as index words.
            .hot(chunk..chunk + layout::chunk::WORDS)
            .hot(table(chunk, 32))
            .cold([record + layout::record::STATE])
            .cold(record + layout::record::ID..=record + layout::record::NAME)
            .cold((0..layout::slots_of(2)).map(|number| slot + number * stride))
            .cold([slot + layout::slot::DESC])
            .cold(data..data + LARGE / 8)
    };
    [INDEX, NEXT, LAST].into_iter().fold(region(), free_space)
}

/// Starts a process that looks up `x`, which exists throughout.
fn read_x(shared: &Arc<Shared>, ways: &Ways) -> thread::JoinHandle<()> {
    let reader = process(shared, 2, ways);
    thread::spawn(move || {
        let got = reader.get("x");
        assert!(got == Got::Value(1, 1), "LOST: x is {got:?}");
    })
}

/// The chunk of the old index becomes one of large records, during the insertion that rebuilds the
/// index; the inserter may die.
fn cut(making: &Ways, reading: &Ways) -> Body {
    let (making, reading) = (making.clone(), reading.clone());
    model(region_to_cut(), move |shared, step| {
        let reader = read_x(shared, &reading);
        let maker = process(shared, 1, &making.clone().dies(step));
        let done = maker.mem().mortal(|| maker.put_bytes("b", &[7; LARGE]).is_some());
        reader.join().expect("a looker");

        let after = process(shared, 3, &Ways::default());
        assert!(matches!(after.get("x"), Got::Value(1, 1)), "LOST: x");
        if after.handle("b").is_none() {
            assert!(done.is_none(), "LOST: b");
            assert!(after.put_bytes("b", &[8; LARGE]).is_some(), "STUCK");
        }
        // Exactly one index chunk. A process that died after it formatted a chunk, but before it
        // updated the hints, leaves an empty one. It is found when there is no free chunk.
        let left = |class| {
            let bytes = layout::record_bytes(class) as u64;
            layout::CHUNK - layout::records_in_chunk(class) as u64 * bytes
        };
        let space = after.space().expect("space");
        let overhead = (layout::META_CHUNKS + 1) * layout::CHUNK + left(1) + left(2);
        let used = (layout::record_bytes(1) + layout::record_bytes(2)) as u64;
        let chunks = [overhead, overhead + left(2)].contains(&space.overhead);
        assert!(chunks && space.used == used, "LEAKED: {space:?}");
    })
}

/// Each name is inserted by a process of its own that rebuilds the index; one more process looks up
/// `x`.
fn body(names: &'static [&'static str], making: &Ways, reading: &Ways) -> Body {
    let (making, reading) = (making.clone(), reading.clone());
    model(region(), move |shared, _| {
        let reader = read_x(shared, &reading);
        for name in names {
            let maker = process(shared, 1, &making);
            // One thread each, so that no fence of one process serves another.
            thread::spawn(move || {
                maker.mem().poke(live(layout::live::INDEX_USED), 8);
                assert!(maker.put(name, 201).is_some(), "STUCK");
            })
            .join()
            .expect("a maker");
        }
        reader.join().expect("a looker");
        let after = process(shared, 3, &Ways::default());
        for name in ["x"].iter().chain(names) {
            assert!(matches!(after.get(name), Got::Value(..)), "LOST: {name}");
        }
    })
}

/// The index holds `y`, `x`, `w`, in this order. `w` and `y` are removed, `z` reuses the index word
/// of `y`, and another process looks up `x`.
fn come_and_go() -> Body {
    let region = Region::new(|store| {
        for name in ["y", "x", "w"] {
            assert_eq!(store.put(name, 1), Some(1));
        }
    })
    .identity(record(0))
    .identity(record(2))
    .index(0..3)
    .structure();
    model(region, move |shared, _| {
        let reader = read_x(shared, &Ways::default());
        let maker = process(shared, 1, &Ways::default());
        assert!(maker.take("w").is_some() && maker.take("y").is_some(), "STUCK");
        assert!(maker.put("z", 201).is_some(), "STUCK");
        reader.join().expect("a looker");
    })
}

pub fn cases() -> Vec<Case> {
    let as_is = &Ways::default();
    let no_acquire = without(Fence, Index, Acquire);
    let no_fence = &without(Fence, Other, Release);
    let lost = |name, body| caught(name, &["LOST"], body);
    vec![
        holds("index: made anew", body(&["b"], as_is, as_is)).bound(6, 3),
        holds("index: made anew twice, in the same chunk", body(&["b", "c"], as_is, as_is))
            .bound(6, 3),
        holds("index: made anew three times", body(&["b", "c", "d"], as_is, as_is)),
        holds("index: others come and go", come_and_go()),
        holds("index: made anew, its chunk cut into records", cut(as_is, as_is)),
        lost(
            "index, no fence(Release) before its chunk is an index again",
            body(&["b", "c"], no_fence, as_is),
        ),
        lost("index, no fence(Release) before its chunk is cut", cut(no_fence, as_is)),
        covered("index, no fence(Acquire) after a miss", cut(as_is, &no_acquire)),
        covered("index, its words loaded Relaxed", cut(as_is, &without(Load, Index, Acquire))),
        lost(
            "index, its words loaded Relaxed and no fence(Acquire) after a miss",
            cut(as_is, &no_acquire.weak(Load, Index, Acquire)),
        ),
        holds("death while the index is made anew and a chunk cut", cut(as_is, as_is)).dies(),
        lost("index, root.store Relaxed", body(&["b"], &without(Store, Root, Release), as_is)),
        lost("index, root.load Relaxed", body(&["b"], as_is, &without(Load, Root, Acquire))),
        lost(
            "index, index_seq.fetch_add Relaxed",
            body(&["b", "c", "d"], &without(Swap, IndexSeq, Release), as_is),
        ),
        lost(
            "index, index_seq.load Relaxed",
            body(&["b", "c", "d"], as_is, &without(Load, IndexSeq, Acquire)),
        ),
    ]
}
