//! What the processes of a run know of each other: words in a file that all have mapped, and that is
//! no map. A process that is killed leaves them as they are, so they say what it had been told to be
//! done, and what it was about.

#![allow(unsafe_code, reason = "words in a mapped file")]
#![allow(clippy::disallowed_types, reason = "the harness's own atomics, none of the engine's")]

use memmap2::{MmapOptions, MmapRaw};
use std::{
    fs::OpenOptions,
    io,
    path::Path,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

/// Processes and threads that have a block.
pub(crate) const ACTORS: usize = 32;
/// Words of a block.
const BLOCK: usize = 2048;

/// The words of an actor's block.
pub(crate) mod word {
    /// How many operations were begun, and how many of them have returned.
    pub(crate) const BEGUN: usize = 0;
    pub(crate) const DONE: usize = 1;
    /// Of the one under way: which; the word below that says what is acknowledged of what it
    /// changes; and what that word becomes.
    pub(crate) const OP: usize = 2;
    pub(crate) const OF: usize = 3;
    pub(crate) const STAMP: usize = 4;
    /// The life that has the map open.
    pub(crate) const READY: usize = 5;
    /// The longest operation, in nanoseconds.
    pub(crate) const LONGEST: usize = 6;
    /// Nobody looks at it: an operation that changes nothing, or what no word tells.
    pub(crate) const NOTHING: usize = 7;
    /// Not 0: the actor is to end.
    pub(crate) const STOP: usize = 8;
    /// Values read whole.
    pub(crate) const READS: usize = 9;
    /// What it added, in all its lives, to what all share.
    pub(crate) const ADDS: usize = 48;
    pub(crate) const STEPS: usize = 49;
    pub(crate) const MOVES: usize = 50;
    /// What its own variables hold.
    pub(crate) const OWN: usize = 64;
    /// What those of its variables hold that come and go; 0 = not there.
    pub(crate) const PASSING: usize = 128;
    pub(crate) const MOST_PASSING: usize = 1024;
}

pub(crate) struct Shared(MmapRaw);

impl Shared {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len((ACTORS * BLOCK * 8) as u64)?;
        Ok(Self(MmapOptions::new().map_raw(&file)?))
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(MmapOptions::new().map_raw(&file)?))
    }

    pub(crate) fn actor(&self, number: usize) -> Actor<'_> {
        assert!(number < ACTORS);
        Actor { shared: self, number }
    }

    #[allow(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at * 8 + 8 <= self.0.len());
        // SAFETY: the place lies within the mapping, by the line above.
        let word = unsafe { self.0.as_mut_ptr().cast::<u64>().add(at) };
        // SAFETY: the mapping lives as long as `self`, begins at a page, and is only ever looked at
        // through atomics of this size.
        unsafe { AtomicU64::from_ptr(word) }
    }
}

/// One actor's block.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    shared: &'a Shared,
    pub(crate) number: usize,
}

/// What an actor was about when it died.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    pub(crate) op: u64,
    pub(crate) of: usize,
    pub(crate) stamp: u64,
}

impl Actor<'_> {
    pub(crate) fn get(self, word: usize) -> u64 {
        self.word(word).load(Acquire)
    }

    pub(crate) fn put(self, word: usize, value: u64) {
        // Whoever looks does so after the death, or only counts.
        self.word(word).store(value, Release);
    }

    pub(crate) fn add(self, word: usize, value: u64) {
        self.put(word, self.get(word) + value);
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        assert!(word < BLOCK);
        self.shared.word(self.number * BLOCK + word)
    }

    /// An operation begins, by which the word `of` becomes `stamp`.
    pub(crate) fn begin(self, op: u64, of: usize, stamp: u64) {
        self.put(word::OP, op);
        self.put(word::OF, of as u64);
        self.put(word::STAMP, stamp);
        self.put(word::BEGUN, self.get(word::BEGUN) + 1);
    }

    /// It has returned: what it did is acknowledged.
    pub(crate) fn end(self) {
        self.put(self.get(word::OF) as usize, self.get(word::STAMP));
        self.cancel();
    }

    /// It has returned, and says that it did nothing.
    pub(crate) fn cancel(self) {
        self.put(word::DONE, self.get(word::BEGUN));
    }

    pub(crate) fn under_way(self) -> Option<UnderWay> {
        (self.get(word::BEGUN) != self.get(word::DONE)).then(|| UnderWay {
            op: self.get(word::OP),
            of: self.get(word::OF) as usize,
            stamp: self.get(word::STAMP),
        })
    }

    /// What a word says, and what it may be besides, for an operation was under way.
    pub(crate) fn expected(self, of: usize) -> (u64, Option<u64>) {
        let other = self.under_way().filter(|it| it.of == of).map(|it| it.stamp);
        (self.get(of), other)
    }
}
