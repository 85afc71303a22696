//! Initial regions: the engine itself fills them, in plain words, before loom runs.

use crate::words::{On, Place, kind_of};
use mapvar_engine::value::Kind;
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    header as region,
    header::Facts,
    layout::{self, Desc, slot},
    mem::Ordering::Relaxed,
    mem::{Load, Mem},
    record::read::Seen,
    store::Store,
    value::Raw,
    version::Wrote,
};
use mapvar_engine_sim::heap::Heap;
use std::sync::Arc;

const CHUNKS: u64 = 12;

/// The header facts of every region here.
pub const FACTS: Facts = Facts {
    uuid: [1, 2],
    seed: 3,
    size: 1024,
    region: CHUNKS * layout::CHUNK,
    max_size: 0,
    file: false,
    created: 0,
    creator: 0,
};

/// Offset of the first chunk of records: the engine allocates chunks in order.
pub const RECORDS: u64 = layout::META_CHUNKS * layout::CHUNK + layout::CHUNK_HEADER;
/// The record class of a value of a few bytes.
const CLASS: usize = 1;

/// Returns the offset of record `number` in the first chunk of records.
pub const fn record(number: u64) -> u64 {
    RECORDS + number * layout::record_bytes(CLASS) as u64
}

/// Returns the words of a region after `fill`.
fn filled(fill: impl FnOnce(&Store<Heap>)) -> Vec<u64> {
    let heap = Heap::new((CHUNKS * layout::CHUNK) as usize);
    let all = (CHUNKS * layout::CHUNK / 8) as usize;
    region::format(heap.words_mut(0, all).expect("all words"), &FACTS);
    let store = Store::new(heap, &FACTS).expect("a store");
    fill(&store);
    let words = store.mem().words(0, all).expect("all words");
    (0..all).map(|at| words.load(at, Relaxed)).collect()
}

/// Returns the line at which a lookup of `name` begins, in an index of `lines` lines.
pub fn home(name: &str, lines: usize) -> usize {
    let words = filled(|store| assert!(store.put(name, 1).is_some()));
    let first = layout::FIRST_INDEX as usize / 8;
    let at = words[first..].iter().position(|word| *word != 0).expect("its word");
    at / 8 % lines
}

/// The initial region of a model, and the words that the model's threads access.
#[derive(Debug)]
pub struct Region {
    pub words: Vec<u64>,
    pub on: Vec<On>,
    pub places: Vec<Place>,
    pub hot: Vec<usize>,
    pub cold: Vec<usize>,
    pub locks: Vec<u64>,
    /// Wake words on which the model's threads sleep.
    pub wakes: Vec<u64>,
}

impl Region {
    /// Creates a region after `fill`, with an index of one line, so that every name has the same
    /// home. The index words are those of the ordinary index, in the order of their records.
    pub fn new(fill: impl FnOnce(&Store<Heap>)) -> Self {
        let mut words = filled(fill);
        let first = layout::FIRST_INDEX as usize / 8;
        let index = &mut words[first..first + layout::FIRST_INDEX_LINES as usize * 8];
        let mut names: Vec<u64> = index.iter().copied().filter(|word| *word != 0).collect();
        names.sort_by_key(|word| layout::index_word::record(*word));
        assert!(names.len() <= 5, "one line is not enough");
        index.fill(0);
        index[..names.len()].copy_from_slice(&names);
        words[live(layout::live::ROOT)] = layout::FIRST_INDEX;
        let all = words.len();
        let table = |number: usize| words[layout::table_word(number as u64) as usize / 8];
        // A free chunk may become an index.
        let free = (0..CHUNKS).filter(|at| table(*at as usize) == layout::kind::FREE);
        let index: Vec<u64> =
            free.map(|at| at * layout::CHUNK).chain([layout::FIRST_INDEX]).collect();
        let on = (0..all)
            .map(|at| kind_of(at, &index, table(at * 8 / layout::CHUNK as usize)))
            .collect();
        Self {
            places: vec![Place::Fixed; all],
            on,
            words,
            hot: Vec::new(),
            cold: Vec::new(),
            locks: Vec::new(),
            wakes: Vec::new(),
        }
    }

    /// Changes a word that the engine would change only after much other work.
    pub fn poke(mut self, at: usize, value: u64) -> Self {
        self.words[at] = value;
        self
    }

    /// Adds words on which threads race.
    pub fn hot(mut self, words: impl IntoIterator<Item = usize>) -> Self {
        for at in words {
            self.places[at] = Place::Hot(self.hot.len());
            self.hot.push(at);
        }
        self
    }

    /// Adds words that only one thread at a time accesses.
    pub fn cold(mut self, words: impl IntoIterator<Item = usize>) -> Self {
        for at in words {
            self.places[at] = Place::Cold(self.cold.len());
            self.cold.push(at);
        }
        self
    }

    /// Adds the words of a record whose values, all of one kind and length, threads write and read.
    /// All of its slots have had such a value before.
    pub fn values(self, record: u64) -> Self {
        let line = record as usize / 8;
        let slot = move |number: usize| {
            line + layout::record::LINE + number * (layout::slot_bytes(CLASS) / 8)
        };
        let mut region = self.hot([line + layout::record::STATE]);
        for number in 0..layout::slots_of(CLASS) {
            let first = slot(number);
            let data = first + layout::slot::DATA;
            region = region.hot([first + layout::slot::VERSION, data, data + 1]);
        }
        region.locks.push(record + layout::record::LOCK);
        region
    }

    /// Like [`values`](Self::values), and the slots' descriptors change too: by tombstones, or
    /// because the slots are fresh.
    pub fn descriptions(self, record: u64) -> Self {
        let line = record as usize / 8;
        let slots = (0..layout::slots_of(CLASS)).map(move |number| {
            line + layout::record::LINE
                + number * (layout::slot_bytes(CLASS) / 8)
                + layout::slot::DESC
        });
        self.values(record).hot(slots)
    }

    /// Adds the words of a record that becomes another variable.
    pub fn identity(self, record: u64) -> Self {
        let line = record as usize / 8;
        self.descriptions(record).hot([
            line + layout::record::ID,
            line + layout::record::META,
            line + layout::record::NAME,
        ])
    }

    /// Adds index words at which names come and go.
    pub fn index(self, places: std::ops::Range<usize>) -> Self {
        let first = (self.words[live(layout::live::ROOT)] & !63) as usize / 8;
        self.hot(places.map(|at| first + at)).hot([live(layout::live::INDEX_SEQ)])
    }

    /// Adds the structure lock and the words that it protects, for variables that are created and
    /// collected.
    pub fn structure(self) -> Self {
        let journal = layout::journal::AT as usize / 8;
        let bits = (2..CHUNKS).flat_map(|number| {
            let header = (number * layout::CHUNK) as usize / 8;
            [header + layout::chunk::BITS, header + layout::chunk::BITS + 1]
        });
        let chunks = (2..CHUNKS).map(|number| layout::table_word(number) as usize / 8);
        let room = layout::room::AT as usize / 8;
        let spare = layout::spare::AT as usize / 8;
        let mut region = self
            .cold(room..room + layout::room::WORDS)
            .cold(journal..journal + layout::journal::WORDS)
            .cold(bits)
            .cold(chunks)
            .cold(spare..spare + layout::spare::WORDS)
            .cold([live(layout::live::BIRTHS), live(layout::live::FREE_HINT)])
            .cold(live(layout::live::CLASS_HINT)..=live(layout::live::INDEX_USED))
            .cold((0..4).map(|class| live(layout::live::BLOCK_HINT + class)));
        region.locks.push(layout::live::LOCK_L);
        region
    }

    /// Adds wake words on which threads sleep.
    pub fn wakes(mut self, words: impl IntoIterator<Item = u64>) -> Self {
        self.wakes.extend(words);
        self
    }

    /// Adds the ring of changes, as far as its next `count` entries.
    pub fn ring(self, count: usize) -> Self {
        let head = live(layout::live::CHANGES);
        let first = layout::ring::AT as usize / 8 + layout::ring::place(self.words[head]);
        self.hot([head]).hot(first..first + count)
    }

    /// Adds the words by which variables are counted, for processes with seat 0.
    pub fn count(self) -> Self {
        let journal = layout::journal::AT as usize / 8;
        let words = [layout::live::NET, layout::live::LOST, layout::live::BORN];
        self.hot(words.map(live))
            .hot([layout::turns::AT as usize / 8, journal + layout::journal::OPERATION])
    }

    pub fn done(self) -> Arc<Self> {
        Arc::new(self)
    }
}

/// Returns the words of a record's name after the first.
pub const fn names(record: u64) -> std::ops::Range<usize> {
    let line = record as usize / 8;
    line + layout::record::NAME + 1..line + layout::record::LINE
}

/// Returns the index of a live word in the region.
pub const fn live(word: usize) -> usize {
    layout::live::AT as usize / 8 + word
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// A value of two equal words, and its version.
    Value(u64, u64),
    Absent,
    Stale,
    /// The lock was not available in time.
    Busy,
}

/// Bytes of a value that needs the next larger class of record.
pub const LARGE: usize = 112;

fn bytes(value: u64) -> [u8; 16] {
    (u128::from(value) << 64 | u128::from(value)).to_le_bytes()
}

/// Returns the number that was written twice.
fn whole(copy: [u8; 16], version: impl std::fmt::Display) -> u64 {
    let [one, two] =
        [0, 8].map(|at| u64::from_le_bytes(copy[at..at + 8].try_into().expect("eight bytes")));
    assert!(one == two, "TORN: {one} and {two}, version {version}");
    one
}

/// The models' operations on the engine. A value is one number, written as two equal words.
pub trait Vars {
    /// Reads by name as the library does: by one attempt at lookup and value, else as `get`.
    fn glance_or_get(&self, name: &str) -> Got;
    /// Sets by name; returns the version, or `None` if a lock was not available in time.
    fn put(&self, name: &str, value: u64) -> Option<u64>;
    /// Like [`put`](Self::put), with these bytes.
    fn put_bytes(&self, name: &str, bytes: &[u8]) -> Option<u64>;
    /// Sets by handle.
    fn put_by(&self, handle: Handle, value: u64) -> Option<Wrote>;
    /// Sets by handle on the fast path; returns whether it succeeded.
    fn poke_by(&self, handle: Handle, value: u64) -> bool;
    fn get_by(&self, handle: Handle) -> Got;
    /// Reads by handle on the fast path.
    fn peek_by(&self, handle: Handle) -> Option<u64>;
    fn handle(&self, name: &str) -> Option<Handle>;
    /// Reads by name, as [`Map::get`](mapvar::Map::get) does.
    fn get(&self, name: &str) -> Got;
    /// Removes by name; returns whether the variable existed, or `None` as [`put`](Self::put) does.
    fn take(&self, name: &str) -> Option<bool>;
}

/// Returns `None` for a timeout. Any other error is a fault of the engine.
fn in_time<T>(result: Result<T, EngineError>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(EngineError::Lock(mapvar_os::Refused::TimedOut(_))) => None,
        Err(trouble) => panic!("TROUBLE: {trouble:?}"),
    }
}

impl<M: Mem> Vars for Store<M> {
    fn put(&self, name: &str, value: u64) -> Option<u64> {
        self.put_bytes(name, &bytes(value))
    }

    fn put_bytes(&self, name: &str, bytes: &[u8]) -> Option<u64> {
        in_time(self.set(self.query(name.as_bytes()), &Raw::bytes(Kind::Bytes, 0, bytes)))
    }

    fn put_by(&self, handle: Handle, value: u64) -> Option<Wrote> {
        in_time(self.write(handle, &Raw::bytes(Kind::Bytes, 0, &bytes(value))))
    }

    fn poke_by(&self, handle: Handle, value: u64) -> bool {
        self.try_write_fast(handle, &Raw::bytes(Kind::Bytes, 0, &bytes(value)), false)
    }

    fn peek_by(&self, handle: Handle) -> Option<u64> {
        let mut copy = [0; 16];
        let len = self.try_read_fast_into(handle, &mut copy)?;
        assert!(len == 16, "TORN: {len} bytes");
        Some(whole(copy, "?"))
    }

    fn get_by(&self, handle: Handle) -> Got {
        let mut copy = [0; 16];
        let Some(seen) = in_time(self.read(handle, |view| view.copy_to(&mut copy))) else {
            return Got::Busy;
        };
        match seen {
            Seen::Value((), version) => Got::Value(whole(copy, version), version),
            Seen::Absent => Got::Absent,
            Seen::Stale => Got::Stale,
        }
    }

    fn handle(&self, name: &str) -> Option<Handle> {
        in_time(self.find(self.query(name.as_bytes()))).flatten()
    }

    fn get(&self, name: &str) -> Got {
        match self.handle(name) {
            Some(handle) => self.get_by(handle),
            None => Got::Absent,
        }
    }

    fn glance_or_get(&self, name: &str) -> Got {
        let mut copy = [0; 16];
        let take = |desc: Desc, slot: M::Words<'_>| {
            let words = [slot.load(slot::DATA, Relaxed), slot.load(slot::DATA + 1, Relaxed)];
            copy = <[u8; 16]>::try_from([words[0].to_le_bytes(), words[1].to_le_bytes()].concat())
                .expect("two words");
            desc.kind() == Kind::Bytes as u8 && desc.len() == 16
        };
        if let Some((true, version)) = self.glance(name.as_bytes(), take) {
            return Got::Value(whole(copy, version), version);
        }
        self.get(name)
    }

    fn take(&self, name: &str) -> Option<bool> {
        in_time(self.remove(self.query(name.as_bytes())))
    }
}
