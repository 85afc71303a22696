//! Valid maps to start from: small and grown, with large values, Atomics, tombstones, several
//! epochs, and as a death during each kind of operation leaves them.

use crate::DECODER;
use crate::{driver, random::Random};
use mapvar::Kind;
use mapvar_engine::{
    handle::Handle,
    header::Facts,
    layout::{self, CHUNK, kind},
    store::Store,
    value::Raw,
};
use mapvar_engine_sim::{
    adversary::{Adversary, Image, Lies},
    operations::{self, NAMES},
};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

/// The number of bytes by which a region can grow.
pub const SPARE: u64 = 8 * CHUNK;

/// A map, in memory that can be reset to it.
#[derive(Debug)]
pub struct Region {
    /// Its description.
    pub called: String,
    /// Its memory, which keeps the original.
    pub mem: Adversary,
    /// The content of its header.
    pub facts: Facts,
    /// Handles of variables that exist, or once did.
    pub handles: Vec<Handle>,
    /// Offsets of each kind of content.
    pub places: Places,
}

/// Offsets in a region.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Records, and their classes.
    pub records: Vec<(u64, usize)>,
    /// Headers of extents.
    pub extents: Vec<u64>,
    /// Blocks of names that are too long for their records.
    pub blocks: Vec<u64>,
    /// The number of chunks.
    pub chunks: u64,
    /// The index: its offset and its number of words.
    pub index: (u64, u64),
}

impl Places {
    fn of(image: &Image) -> Self {
        let word = |at: u64| image.words.get((at / 8) as usize).copied().unwrap_or(0);
        let chunks = (image.words.len() as u64 * 8 / CHUNK).max(2);
        let root = layout::Table::of_root(word(layout::live::AT));
        let mut places =
            Self { chunks, index: (root.at, root.lines.min(1 << 12) * 8), ..Self::default() };
        for number in 2..chunks {
            let said = word(layout::table_word(number));
            let (found, class) = (said & 0xff, (said >> 8) as usize & 0xff);
            let base = number * CHUNK + layout::CHUNK_HEADER;
            let bits = [0, 8].map(|at| word(number * CHUNK + layout::chunk::BITS as u64 * 8 + at));
            match found {
                kind::RECORDS => {
                    let class = class & (layout::RECORD_CLASSES.len() - 1);
                    for within in 0..layout::records_in_chunk(class) {
                        // The records in use, and the chunk's last one.
                        let taken = bits[within / 64] >> (within % 64) & 1 != 0;
                        if taken || within == layout::records_in_chunk(class) - 1 {
                            let at = base + (within * layout::record_bytes(class)) as u64;
                            places.records.push((at, class));
                        }
                    }
                }
                kind::BLOCKS => {
                    let class = class & 3;
                    for within in (0..layout::blocks_in_chunk(class)).take(4) {
                        let at = base + (within * layout::BLOCK_CLASSES[class]) as u64;
                        places.blocks.push(at);
                    }
                }
                kind::EXTENTS => {
                    let bytes = layout::EXTENT_CLASSES[(said >> 8) as usize % 7] as u64;
                    for within in 0..((CHUNK - layout::CHUNK_HEADER) / bytes).min(4) {
                        places.extents.push(base + within * bytes);
                    }
                }
                kind::RUN => places.extents.push(base - layout::extent::HEAD),
                _ => {}
            }
        }
        places
    }

    /// Returns an offset that means something.
    pub fn any(&self, random: &mut Random) -> u64 {
        let pick = |random: &mut Random, all: &[u64], other| {
            if all.is_empty() { other } else { random.of(all) }
        };
        match random.below(7) {
            0 if !self.records.is_empty() => random.of(&self.records).0,
            1 => pick(random, &self.extents, CHUNK),
            // The extent's data.
            2 => pick(random, &self.extents, CHUNK) + layout::extent::HEAD,
            3 => pick(random, &self.blocks, CHUNK),
            4 => self.index.0 + random.below(self.index.1) * 8 / 64 * 64,
            5 => random.below(self.chunks + 2) * CHUNK,
            _ => random.below(self.chunks) * CHUNK + layout::CHUNK_HEADER,
        }
    }
}

type Make = fn(&Store<Adversary>);

fn set(store: &Store<Adversary>, name: &[u8], len: usize, byte: u8) {
    store.set(store.query(name), &Raw::bytes(Kind::Bytes, 0, &vec![byte; len])).expect("set");
}

fn populate(store: &Store<Adversary>) {
    for number in 0..NAMES {
        let (name, value) = (operations::name(number), operations::value(number));
        let set_as = |kind, bytes: &[u8]| {
            store.set(store.query(&name), &Raw::bytes(kind, 0, bytes)).map(drop).expect("set");
        };
        match number {
            3 | 7 => {
                let made = store.insert(store.query(&name), &operations::integer(7), true);
                made.map(drop).expect("insert");
            }
            4 => set_as(Kind::Str, "hallo, Jürgen".as_bytes()),
            // Lists and dictionaries, in MessagePack.
            5 => set_as(Kind::List, &[0x93, 1, 0xa1, b'x', 0xc3]),
            8 => set_as(Kind::Dict, &[0x81, 0xa1, b'k', 0x92, 1, 2]),
            _ => set_as(Kind::Bytes, &value),
        }
    }
}

fn small(store: &Store<Adversary>) {
    for number in 0..NAMES as u8 {
        set(store, &operations::name(usize::from(number) / 5 * 5), 3, number);
    }
    for number in [0, 1, 2] {
        set(store, &operations::name(number), 5, 1);
    }
    store.flush().expect("flush");
    set(store, &operations::name(0), 9, 2);
}

fn epochs(store: &Store<Adversary>) {
    populate(store);
    for round in 0..3_u8 {
        for number in [0, 1, 2, 6] {
            set(store, &operations::name(number), 10 + usize::from(round), round);
        }
        store.flush().expect("flush");
    }
    set(store, &operations::name(2), 33, 9);
}

fn tombstones(store: &Store<Adversary>) {
    populate(store);
    store.flush().expect("flush");
    for number in 0..6 {
        store.remove(store.query(&operations::name(number))).expect("remove");
        if number == 3 {
            store.flush().expect("flush");
        }
    }
}

fn extents(store: &Store<Adversary>) {
    populate(store);
    let lens = [1_200, 5_000, 20_000, 40_000];
    for number in 0..8_u8 {
        set(store, &[b'x', number], lens[usize::from(number) % 4], number);
    }
    store.flush().expect("flush");
    for number in 0..4_u8 {
        set(store, &[b'x', number], lens[3 - usize::from(number)], number);
    }
}

fn grown(store: &Store<Adversary>) {
    populate(store);
    for number in 0..180_u16 {
        set(store, format!("n{number}").as_bytes(), usize::from(number) % 90, 1);
    }
    store.flush().expect("flush");
}

fn region_of(called: &str, facts: Facts, image: &Image) -> Region {
    let mem = Adversary::of(image, SPARE);
    let store = Store::new(mem.clone(), &facts).expect("a store");
    let mut handles: Vec<Handle> = (0..NAMES)
        .filter_map(|number| store.find(store.query(&operations::name(number))).ok().flatten())
        .collect();
    if handles.is_empty() {
        handles.extend(store.find(store.query(b"x")).ok().flatten());
    }
    mem.reset();
    Region { called: called.into(), mem, facts, handles, places: Places::of(image) }
}

/// Adds the regions that remain when the process dies instead of a store.
fn deaths(region: &Region, which: u64, number: usize, all: &mut Vec<Region>) {
    let Region { mem, facts, handles, called, .. } = region;
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for stores in 0..4_000 {
        mem.reset();
        mem.begin(None, 200_000);
        mem.dies_at(stores);
        let mut store = Store::new(mem.clone(), facts).expect("a store");
        // A dead process's loads do not return what it wrote, so its results may be inconsistent.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            operations::operate(&mut store, handles, which, number, DECODER);
        }));
        let Some(image) = mem.death() else { break };
        // Of each state of the journals it keeps the first, the third, the ninth, and so on.
        let word = |at: u64| image.words[(at / 8) as usize];
        let journals = word(layout::journal::AT)
            | word(layout::commit::AT) << 8
            | word(layout::commit::AT + 8) << 16
            | (word(layout::live::AT + layout::live::FLUSHER as u64 * 8) & 1) << 32
            | (image.held.len() as u64) << 40;
        let times = seen.entry(journals).or_default();
        *times += 1;
        if journals != 0 && 3_u64.pow(times.ilog(3)) == *times {
            let what = operations::operation_name(which);
            all.push(region_of(
                &format!("{called}, dead at store {stores} of {what}"),
                *facts,
                &image,
            ));
        }
    }
    mem.reset();
}

/// Returns all regions, in memories that belong to the caller.
pub fn all() -> Vec<Region> {
    // Made once, because the deaths take a while.
    static MADE: OnceLock<Vec<(String, Facts, Image)>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = make().into_iter();
        made.map(|region| (region.called, region.facts, region.mem.image())).collect()
    });
    made.iter().map(|(called, facts, image)| region_of(called, *facts, image)).collect()
}

fn make() -> Vec<Region> {
    let in_file = |size| operations::facts(size, 0, true);
    let makes: [(&str, Facts, Make); 8] = [
        ("empty", in_file(1), |_| {}),
        ("small", in_file(1), small),
        ("mixed", in_file(1_000), populate),
        ("epochs", in_file(1_000), epochs),
        ("tombstones", in_file(4_000), tombstones),
        ("extents", in_file(20_000), extents),
        ("grown", in_file(1), grown),
        // Without a file there are no epochs.
        ("named", operations::facts(1_000, 1 << 20, false), populate),
    ];
    let mut regions: Vec<Region> = Vec::new();
    for (called, facts, make) in makes {
        let store = operations::formatted(Adversary::new(facts.region, 40 * CHUNK), &facts);
        make(&store);
        regions.push(region_of(called, facts, &store.mem().image()));
    }
    // The deaths start mostly from the map whose variables are of most kinds.
    let mut dead = Vec::new();
    // 1 and 2 set (a large value takes a run), 4 and 5 insert, 9 removes, 15 flushes, 16 recovers,
    // 21 commits a transaction, 24 rebuilds the index.
    for (of, which, number) in [
        (3, 1, 11),
        (3, 4, 2),
        (3, 5, 2),
        (3, 9, 2),
        (3, 15, 2),
        (3, 16, 2),
        (3, 21, 2),
        (3, 24, 2),
        (2, 13, 1),
        (7, 9, 2),
    ] {
        deaths(&regions[of], which, number, &mut dead);
    }
    regions.extend(dead);
    // The empty map has no handles, so no operation can use it.
    regions.retain(|region| !region.handles.is_empty());
    regions
}

/// Returns the region of a seed: neighboring seeds share it, so that the processor's caches keep
/// it.
pub fn of_seed(regions: &[Region], seed: u64) -> &Region {
    &regions[number_of_seed(regions, seed)]
}

/// Returns the number of that region.
pub fn number_of_seed(regions: &[Region], seed: u64) -> usize {
    Random::new(seed >> driver::BATCH).below(regions.len() as u64) as usize
}

/// Returns random lies of a random kind.
pub fn lies(random: &mut Random, honest: u64, places: &Places) -> Lies {
    let seed = random.word();
    let lies = match random.below(4) {
        // A few lies, from any load of the operation on; all loads before are honest.
        0 | 1 => {
            let then = random.of(&[1, 1, 2, 3, 8]);
            Lies::random(seed, then, 1 + random.below(4)).after(random.below(honest))
        }
        _ => Lies::random(seed, random.of(&[1, 2, 7, 50, 400]), u64::MAX),
    };
    if !random.one_in(24) {
        return lies;
    }
    let word = match random.below(3) {
        0 => layout::live::AT + random.below(layout::live::WORDS as u64) * 8,
        1 if !places.records.is_empty() => {
            random.of(&places.records).0 + random.below(layout::record::LINE as u64 + 4) * 8
        }
        _ => layout::journal::AT + random.below(layout::journal::WORDS as u64) * 8,
    };
    lies.restless(word)
}
