//! The record of a history: words in a file that all processes map and that is no mapvar map. A
//! process notes an operation before it begins and after it has ended, so that the notes of a
//! killed process say which operation was under way.

#![allow(unsafe_code, reason = "words in a mapped file")]

use crate::{
    clock,
    history::{ABSENT, Change, KEYS, Need, Operation, Part},
};
use memmap2::{MmapOptions, MmapRaw};
use std::{
    fs::OpenOptions,
    io,
    path::Path,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release, SeqCst},
        fence,
    },
    thread,
    time::Duration,
};

/// The processes that make histories.
pub(crate) const PROCESSES: usize = 8;
/// The number of the harness's own process, which reads all values at the end of each history.
pub(crate) const HARNESS: usize = PROCESSES;
/// Operations that a process can note.
pub(crate) const MOST: usize = 64;

/// Words before the blocks: the round that all may begin.
const GO: usize = 0;
const BLOCKS: usize = 8;
/// Words of a block before its notes: the round that the process is ready for; how many operations
/// it has begun; and whether it is to be killed by now.
const READY: usize = 0;
const BEGUN: usize = 1;
const DYING: usize = 2;
const NOTES: usize = 8;
const BLOCK: usize = NOTES + MOST * note::WORDS;

/// The words of a note.
mod note {
    /// Times; 0: not yet.
    pub(super) const BEGAN: usize = 0;
    pub(super) const ENDED: usize = 1;
    pub(super) const KIND: usize = 2;
    /// What single operations are about: the key, an expected value, and a new one.
    pub(super) const KEY: usize = 3;
    pub(super) const OLD: usize = 4;
    pub(super) const NEW: usize = 5;
    /// 0 refused, 1 done.
    pub(super) const DONE: usize = 6;
    /// The keys that it has read and that it writes, as bits. Then the values, by keys.
    pub(super) const HAS_READ: usize = 7;
    pub(super) const WRITES: usize = 8;
    pub(super) const READ: usize = 10;
    pub(super) const WRITTEN: usize = READ + super::KEYS;
    pub(super) const WORDS: usize = WRITTEN + super::KEYS;
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    /// A plain read.
    Get = 1,
    Set,
    Remove,
    /// Sets `NEW` if the value is `OLD`.
    Compare,
    /// Reads, and sets `NEW` if the value has not changed.
    Update,
    Add,
    Transaction,
    Snapshot,
}

impl Kind {
    const ALL: [(Self, &str); 8] = [
        (Self::Get, "get"),
        (Self::Set, "set"),
        (Self::Remove, "remove"),
        (Self::Compare, "compare"),
        (Self::Update, "update"),
        (Self::Add, "add"),
        (Self::Transaction, "transaction"),
        (Self::Snapshot, "snapshot"),
    ];
}

pub(crate) struct Shared(MmapRaw);

impl Shared {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(((BLOCKS + (PROCESSES + 1) * BLOCK) * 8) as u64)?;
        Ok(Self(MmapOptions::new().map_raw(&file)?))
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(MmapOptions::new().map_raw(&file)?))
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

    /// Lets all processes that are ready begin.
    pub(crate) fn begin(&self, round: u64) {
        self.word(GO).store(round, Release);
    }

    pub(crate) fn has_begun(&self, round: u64) -> bool {
        self.word(GO).load(Acquire) == round
    }

    pub(crate) fn log(&self, process: usize) -> Log<'_> {
        assert!(process <= PROCESSES);
        Log { shared: self, process }
    }
}

/// Waits until something is so: for a short time without a sleep, so that processes that wait for
/// the same begin at the same time.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    for attempt in 0_u32.. {
        if is_so() {
            break;
        }
        if attempt < 50 {
            thread::yield_now();
        } else {
            thread::sleep(Duration::from_micros(30));
        }
    }
}

/// The notes of one process.
#[derive(Clone, Copy)]
pub(crate) struct Log<'a> {
    shared: &'a Shared,
    process: usize,
}

impl<'a> Log<'a> {
    fn get(&self, word: usize) -> u64 {
        assert!(word < BLOCK);
        self.shared.word(BLOCKS + self.process * BLOCK + word).load(Acquire)
    }

    fn put(&self, word: usize, value: u64) {
        assert!(word < BLOCK);
        self.shared.word(BLOCKS + self.process * BLOCK + word).store(value, Release);
    }

    /// Forgets all notes.
    pub(crate) fn clear(&self) {
        for word in 0..BLOCK {
            self.put(word, 0);
        }
    }

    pub(crate) fn is_ready(&self, round: u64) -> bool {
        self.get(READY) == round
    }

    pub(crate) fn set_ready(&self, round: u64) {
        self.put(READY, round);
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.get(DYING) == 1
    }

    pub(crate) fn set_dying(&self) {
        self.put(DYING, 1);
    }

    /// Returns how many operations have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.get(BEGUN)
    }

    /// Notes the arguments of the next operation.
    pub(crate) fn note(self, kind: Kind) -> Note<'a> {
        let number = self.begun() as usize;
        assert!(number < MOST);
        let note = Note { log: self, at: NOTES + number * note::WORDS };
        note.put(note::KIND, kind as u64);
        note
    }

    /// Returns the operations in the notes.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let notes = (0..self.begun() as usize).map(|number| NOTES + number * note::WORDS);
        notes.filter_map(|at| Note { log: *self, at }.operation()).collect()
    }
}

/// The note of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Note<'a> {
    log: Log<'a>,
    at: usize,
}

impl Note<'_> {
    fn get(&self, word: usize) -> u64 {
        self.log.get(self.at + word)
    }

    fn put(&self, word: usize, value: u64) {
        self.log.put(self.at + word, value);
    }

    pub(crate) fn on(self, key: usize, old: u64, new: u64) -> Self {
        self.put(note::KEY, key as u64);
        self.put(note::OLD, old);
        self.put(note::NEW, new);
        self
    }

    /// Notes a value that is to be written.
    pub(crate) fn writes(&self, key: usize, value: u64) {
        self.put(note::WRITTEN + key, value);
        self.put(note::WRITES, self.get(note::WRITES) | 1 << key);
    }

    /// Notes that the operation begins.
    pub(crate) fn begin(&self) {
        self.put(note::BEGAN, clock::now());
        self.log.put(BEGUN, self.log.begun() + 1);
        // No access of the operation comes before the time is taken: the fence waits for the store
        // of it.
        fence(SeqCst);
    }

    /// Notes a value that the operation has found.
    pub(crate) fn read(&self, key: usize, value: u64) {
        self.put(note::READ + key, value);
        self.put(note::HAS_READ, self.get(note::HAS_READ) | 1 << key);
    }

    /// Forgets the values that it has found: the operation starts again.
    pub(crate) fn start_again(&self) {
        self.put(note::HAS_READ, 0);
    }

    /// Notes that the operation has ended, and whether it has done what it should.
    pub(crate) fn end(&self, done: bool) {
        // Every store of the operation is visible before the time is taken.
        fence(SeqCst);
        let now = clock::now();
        self.put(note::DONE, done.into());
        self.put(note::ENDED, now);
    }

    fn operation(&self) -> Option<Operation> {
        let word = |word| self.get(word);
        let (kind, what) = *Kind::ALL.iter().find(|(kind, _)| *kind as u64 == word(note::KIND))?;
        let ended = Some(word(note::ENDED)).filter(|ended| *ended != 0);
        let done = word(note::DONE) == 1;
        // The order of the notes is the program's: a killed process may leave a part of the last.
        let (key, old, new) = (word(note::KEY) as usize, word(note::OLD), word(note::NEW));
        let bit = |bits: usize, key: usize| word(bits) >> key & 1 == 1;
        let seen = |key: usize| {
            let read = bit(note::HAS_READ, key).then(|| word(note::READ + key));
            read.map_or(Need::Any, Need::Is)
        };
        let part = |need, change| vec![Part { key, need, change }];
        let parts = match (kind, ended) {
            // It has changed nothing, and its result is unknown.
            (Kind::Get | Kind::Snapshot, None) => return None,
            // After so many conflicts it has changed nothing; what it read last is of no moment.
            (Kind::Transaction | Kind::Update, Some(_)) if !done => return None,
            (Kind::Get, _) => part(seen(key), Change::Keep),
            (Kind::Set, _) => part(Need::Any, Change::Write(new)),
            (Kind::Remove, None) => part(Need::Any, Change::Write(ABSENT)),
            (Kind::Remove, _) if done => part(Need::Not(ABSENT), Change::Write(ABSENT)),
            (Kind::Remove, _) => part(Need::Is(ABSENT), Change::Keep),
            // An Atomic also returns the value that it has.
            (Kind::Compare, Some(_)) if !done => match seen(key) {
                Need::Any => part(Need::Not(old), Change::Keep),
                found => part(found, Change::Keep),
            },
            (Kind::Compare, _) => part(Need::Is(old), Change::Write(new)),
            (Kind::Update, _) => part(seen(key), Change::Write(new)),
            (Kind::Add, _) => part(seen(key), Change::Add(new)),
            (Kind::Transaction | Kind::Snapshot, _) => {
                let keys =
                    (0..KEYS).filter(|key| bit(note::HAS_READ, *key) || bit(note::WRITES, *key));
                keys.map(|key| Part {
                    key,
                    need: seen(key),
                    change: if bit(note::WRITES, key) {
                        Change::Write(word(note::WRITTEN + key))
                    } else {
                        Change::Keep
                    },
                })
                .collect()
            }
        };
        Some(Operation { process: self.log.process, what, began: word(note::BEGAN), ended, parts })
    }
}
