//! What the parts of the engine share: the store over its memory, and handles to records.

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]

use crate::{
    layout::{self, Meta, State, chunk, journal, live, record, record_bytes, slot, slot_bytes},
    mem::{Load, Mem, Ordering::Acquire},
    region::Facts,
    trouble::{Trouble, outside},
};
use std::{fmt, sync::Mutex};

/// A store in the region `M`.
#[derive(Debug)]
pub struct Store<M> {
    pub(crate) mem: M,
    // Private copies of what the header said when it was checked.
    pub(crate) seed: u64,
    pub(crate) uuid: u64,
    pub(crate) file: bool,
    pub(crate) max_size: u64,
    pub(crate) version_base: u64,
    /// Taken by the thread that has this process's pin.
    pub(crate) pinning: Mutex<()>,
    /// Taken by the thread that flushes for this process.
    pub(crate) flushing: Mutex<()>,
}

/// A record that was found to be one: where it lies, of which class it is, and the id of the
/// variable that it stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Where its record lies.
    pub at: u64,
    /// The variable's id.
    pub id: u64,
    /// Words of one of its slots: what its class comes to.
    pub(crate) slot_words: u8,
    /// Whether it is an `Atomic`.
    pub atomic: bool,
}

impl Handle {
    /// Checks that a record of the class in `meta` can lie at `at`.
    #[inline]
    pub(crate) fn checked<M: Mem>(at: u64, id: u64, meta: Meta, mem: &M) -> Option<Self> {
        let class = meta.class();
        if class >= layout::RECORD_CLASSES.len()
            || !meta.is_known()
            || at < layout::META_CHUNKS * layout::CHUNK
        {
            return None;
        }
        let end = at.checked_add(record_bytes(class) as u64)?;
        let within = at % layout::CHUNK + record_bytes(class) as u64 <= layout::CHUNK;
        (within && (end <= mem.size() || mem.reach(end)))
            .then(|| Self::new(at, id, class, meta.atomic()))
    }

    #[inline]
    pub(crate) fn new(at: u64, id: u64, class: usize, atomic: bool) -> Self {
        Self { at, id, slot_words: (slot_bytes(class) / 8) as u8, atomic }
    }

    /// Words of its record.
    #[inline]
    pub fn words(self) -> usize {
        record::LINE + slot::COUNT * usize::from(self.slot_words)
    }

    /// Index of the first word of slot `number`.
    #[inline]
    pub(crate) fn slot(self, number: usize) -> usize {
        record::LINE + (number & 3) * usize::from(self.slot_words)
    }

    /// Offset of slot `number` in the region.
    #[inline]
    pub(crate) fn slot_at(self, number: usize) -> u64 {
        self.at + self.slot(number) as u64 * 8
    }

    /// Bytes of a value that its slots hold.
    #[inline]
    pub(crate) fn room(self) -> usize {
        // The smallest slot is larger than its header.
        usize::from(self.slot_words).wrapping_sub(slot::DATA) * 8
    }

    /// Whether records of `class` are of its size.
    pub(crate) fn is_of(self, class: usize) -> bool {
        usize::from(self.slot_words) == slot_bytes(class) / 8
    }

    #[inline]
    pub(crate) fn lock(self) -> u64 {
        self.at + record::LOCK
    }

    #[inline]
    pub(crate) fn wake(self) -> u64 {
        self.at + record::WAKE
    }
}

/// What came of a write to a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is published, under this version.
    Version(u64),
    /// The record is another variable's, or nobody's, by now.
    Stale,
    /// The record is a removed `Atomic`'s: it is to be collected first.
    Unfit,
    /// It was removed already: nothing to do.
    Absent,
    /// Another version stands there than was expected; 0 = it is removed.
    Other(u64),
}

/// Which value of a variable: the id of the variable and the version; zeros = there is none.
pub type Which = (u64, u64);

/// Which value of a variable it is: of which variable of the name, and the how-manieth. Two that are
/// equal stand for the same `set`; of a gem's map, whose layout counts nothing, for the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    pub(crate) id: u64,
    pub(crate) number: u64,
}

impl Version {
    /// That there is no variable of the name.
    pub const ABSENT: Self = Self { id: 0, number: 0 };

    pub(crate) fn expected(self) -> Option<(u64, u64)> {
        (self != Self::ABSENT).then_some((self.id, self.number))
    }
}

impl From<(u64, u64)> for Version {
    fn from((id, number): (u64, u64)) -> Self {
        Self { id, number }
    }
}

/// The id of the variable and the number of the value; zeros = [`ABSENT`](Version::ABSENT). For
/// other languages: the numbers mean nothing by themselves.
impl From<Version> for (u64, u64) {
    fn from(version: Version) -> Self {
        (version.id, version.number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.number)
    }
}

/// What is to stand in a record before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything, also a removed variable.
    Any,
    /// A variable, of whatever version.
    Present,
    /// This version of it.
    Version(u64),
    /// A removed variable.
    Absent,
}

impl Expect {
    /// What to answer, where it is not as expected.
    pub(crate) fn refuses(self, version: u64, removed: bool, removing: bool) -> Option<Wrote> {
        match self {
            Self::Any if removing && removed => Some(Wrote::Absent),
            Self::Present => removed.then_some(Wrote::Absent),
            Self::Version(wanted) if removed || wanted != version => {
                Some(Wrote::Other(if removed { 0 } else { version }))
            }
            Self::Absent if !removed => Some(Wrote::Other(version)),
            Self::Absent if removing => Some(Wrote::Absent),
            Self::Any | Self::Version(_) | Self::Absent => None,
        }
    }
}

impl<M: Mem> Store<M> {
    /// The store in a region whose header said this.
    pub fn new(mem: M, facts: &Facts) -> Result<Self, Trouble> {
        let store = Self {
            mem,
            seed: facts.seed,
            uuid: facts.uuid[0],
            file: facts.file,
            max_size: if facts.max_size == 0 { u64::MAX } else { facts.max_size },
            version_base: 0,
            pinning: Mutex::new(()),
            flushing: Mutex::new(()),
        };
        let mut store = store;
        store.settled()?;
        Ok(store)
    }

    /// Reads anew what a recovery may have changed.
    pub(crate) fn settled(&mut self) -> Result<(), Trouble> {
        let base = self.live()?.load(live::VERSION_BASE, Acquire);
        self.version_base = base.min(State::LARGEST);
        Ok(())
    }

    /// The memory underneath.
    pub fn mem(&self) -> &M {
        &self.mem
    }

    pub(crate) fn into_mem(self) -> M {
        self.mem
    }

    pub(crate) fn live(&self) -> Result<M::Words<'_>, Trouble> {
        self.mem.words(live::AT, live::WORDS).ok_or_else(|| outside(live::AT))
    }

    pub(crate) fn live_mut(&self) -> Result<M::WordsMut<'_>, Trouble> {
        self.mem.words_mut(live::AT, live::WORDS).ok_or(Trouble::ReadOnly)
    }

    pub(crate) fn journal(&self) -> Result<M::WordsMut<'_>, Trouble> {
        self.mem.words_mut(journal::AT, journal::WORDS).ok_or(Trouble::ReadOnly)
    }
}

/// The checksum in a record's meta word.
pub(crate) fn meta_crc(id: u64, meta: Meta, name: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(id & !record::RETIRED).to_le_bytes());
    crc.update(&(meta.0 & 0xffff_ffff).to_le_bytes());
    crc.update(name);
    crc.finalize()
}

/// The checksum of a chunk's header.
pub(crate) fn chunk_crc(mark: u64, number: u64, uuid: u64, id: u64) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    for word in [mark, number, uuid, id] {
        crc.update(&word.to_le_bytes());
    }
    u64::from(crc.finalize())
}

const _: () = assert!(chunk::BITS + 2 <= chunk::WORDS, "the header holds both words of bits");
