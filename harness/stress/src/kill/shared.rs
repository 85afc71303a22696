//! What the processes of a run know of each other: words in a file that all of them map and that is
//! no mapvar map. A killed process leaves its words as they are. So they say which operations were
//! acknowledged, and which one was under way.

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

/// Processes and threads that have a block each.
pub(crate) const ACTORS: usize = 32;
/// Words of a block.
const BLOCK: usize = 2048;

/// The words of an actor's block.
pub(crate) mod word {
    /// How many operations have begun, and (DONE) how many of them have returned.
    pub(crate) const BEGUN: usize = 0;
    pub(crate) const DONE: usize = 1;
    /// The operation under way: its kind; the word that records the acknowledged value of what it
    /// changes (OF); and what that word becomes (STAMP).
    pub(crate) const OP: usize = 2;
    pub(crate) const OF: usize = 3;
    pub(crate) const STAMP: usize = 4;
    /// The life that has the map open.
    pub(crate) const READY: usize = 5;
    /// The longest operation, in nanoseconds.
    pub(crate) const LONGEST: usize = 6;
    /// A word that is never read, for operations that change nothing that a word records.
    pub(crate) const NOTHING: usize = 7;
    /// Not 0: the actor must end.
    pub(crate) const STOP: usize = 8;
    /// How many values were read and found whole.
    pub(crate) const READS: usize = 9;
    /// The process that outlives this life; 0: none yet, all ones: it could not be started.
    pub(crate) const LINGERS: usize = 10;
    /// What the actor added, in all its lives, to the shared counts.
    pub(crate) const ADDS: usize = 48;
    pub(crate) const STEPS: usize = 49;
    pub(crate) const MOVES: usize = 50;
    /// The values of the actor's own variables.
    pub(crate) const OWN: usize = 64;
    /// The values of its variables that come and go; 0: there is none.
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
        // SAFETY: the word lies within the mapping, by the assertion above.
        let word = unsafe { self.0.as_mut_ptr().cast::<u64>().add(at) };
        // SAFETY: the mapping lives as long as `self`, begins at a page, and is only accessed
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

/// The operation that an actor had begun when it died.
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
        // Pairs with the Acquire load in `get`, which runs after the writer's death or only counts.
        self.word(word).store(value, Release);
    }

    pub(crate) fn add(self, word: usize, value: u64) {
        self.put(word, self.get(word) + value);
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        assert!(word < BLOCK);
        self.shared.word(self.number * BLOCK + word)
    }

    /// Records the beginning of an operation that changes the word `of` to `stamp`.
    pub(crate) fn begin(self, op: u64, of: usize, stamp: u64) {
        self.put(word::OP, op);
        self.put(word::OF, of as u64);
        self.put(word::STAMP, stamp);
        self.put(word::BEGUN, self.get(word::BEGUN) + 1);
    }

    /// Records that the operation has returned: its effect is acknowledged.
    pub(crate) fn end(self) {
        self.put(self.get(word::OF) as usize, self.get(word::STAMP));
        self.cancel();
    }

    /// Records that the operation has returned without an effect.
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

    /// Returns a word's value, and the other value that it may have because an operation is under
    /// way.
    pub(crate) fn expected(self, of: usize) -> (u64, Option<u64>) {
        let other = self.under_way().filter(|it| it.of == of).map(|it| it.stamp);
        (self.get(of), other)
    }
}
