//! The peers, one file each, and the traits by which the workloads use them.
//!
//! A workload is written once, generic over one of these traits; so nothing stands between the loop
//! and the peer's own call. A peer implements the traits of what it can do.
//!
//! Each peer runs in its fastest documented configuration, which [`SETUPS`] names.

pub mod bells;
pub mod board;
pub mod cells;
pub mod databases;
pub mod gem;
pub mod hash;
pub mod memory;
pub mod mutex;
pub mod ours;
pub mod python;
pub mod seqlock;
pub mod threads;

use crate::Result;

/// Where a store is, and whether what it commits survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// In memory, without durability.
    Memory,
    /// In a file; a change waits for the disk.
    Disk,
}

/// Numbers under names.
pub trait Store: Sized + 'static {
    /// As the rows name it.
    const PEER: &'static str;

    /// Creates an empty store with space for `count` variables of `bytes` each.
    fn create(label: &str, count: usize, bytes: usize, place: Place) -> Result<Self>;

    /// Inserts these variables, in the fastest way that the peer has: in one transaction where it
    /// has transactions.
    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()>;

    /// Prepares for reads only: opens the transaction that they share, where there is one.
    fn begin_reads(&mut self) -> Result<()> {
        Ok(())
    }

    fn get(&mut self, name: &str) -> u64;

    /// Changes a variable that is there, in a transaction of its own.
    fn set(&mut self, name: &str, value: u64);
}

/// A store that can be read as a whole.
pub trait Walk: Store {
    /// Visits all variables with their names and values; returns their number.
    fn walk(&mut self) -> u64;
}

/// A store to which several commands are sent before the answer of the first.
pub trait Piped: Store {
    /// As the rows name it.
    const PEER: &'static str;

    fn queue_get(&mut self, name: &str);
    fn queue_set(&mut self, name: &str, value: u64);

    /// Sends what is queued, and waits for the answers; returns the sum of what was read.
    fn send(&mut self) -> u64;
}

/// Uses a name and a value as a program that reads them would, so that each peer has to fetch both.
#[inline]
pub fn visit(name: &str, value: u64) {
    std::hint::black_box((name.as_bytes().first(), value));
}

/// A store that several threads use at once.
pub trait Shared: Store {
    type User: User;

    /// Returns what one thread uses.
    fn user(&self) -> Result<Self::User>;
}

/// A thread's way into a store.
pub trait User: Send + 'static {
    /// Comes before every few dozen reads: opens the transaction that they share, where there is
    /// one.
    fn begin_reads(&mut self) {}

    /// Comes after them, so that the next reads see new values and the store can drop old ones.
    fn end_reads(&mut self) {}

    fn get(&mut self, name: &str) -> u64;
    fn set(&mut self, name: &str, value: u64);
}

/// Several variables at once.
pub trait Batch: Store {
    /// Sets them all; other processes and threads see all of it or nothing.
    fn transaction(&mut self, names: &[&str], value: u64);

    /// Reads them all as of one moment; returns the sum.
    fn snapshot(&mut self, names: &[&str]) -> u64;
}

/// Changes that survive a power cut.
pub trait Durable {
    const PEER: &'static str;

    /// Sets these variables, and returns when the disk has them. The store is at [`Place::Disk`].
    fn change(&mut self, names: &[&str], value: u64);
}

/// What the variables take.
pub trait Weighed: Store {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()>;

    /// Bytes that the store takes now.
    fn bytes(&mut self) -> Result<f64>;
}

/// A store that a process opens which another has open.
pub trait Attach: Store {
    /// As the child's arguments name the peer.
    const WORD: &'static str;

    /// Creates an empty store that other processes can open.
    fn create_shared(label: &str, count: usize) -> Result<Self> {
        Self::create(label, count, 8, Place::Memory)
    }

    /// The argument of [`attach`](Self::attach).
    fn address(&self) -> String;

    /// Opens the store, gets one variable, and closes the store.
    fn attach(address: &str, name: &str) -> Result<u64>;
}

/// A value of a [`Cell`], as words and as a sample.
pub trait Value: Copy + Send + 'static {
    const WORDS: usize;

    fn of(number: u64) -> Self;

    /// Makes the next `set` another one. Arrays stay as they are: a store of eight bytes just
    /// before a copy by wider loads stalls, which is no cost of the peer.
    fn touch(&mut self, _number: u64) {}

    fn from_words(word: impl FnMut(usize) -> u64) -> Self;
    fn word(&self, at: usize) -> u64;
}

impl Value for u64 {
    const WORDS: usize = 1;

    fn of(number: u64) -> Self {
        number
    }

    #[inline]
    fn touch(&mut self, number: u64) {
        *self = number;
    }

    #[inline]
    fn from_words(mut word: impl FnMut(usize) -> u64) -> Self {
        word(0)
    }

    #[inline]
    fn word(&self, _: usize) -> u64 {
        *self
    }
}

impl Value for [u8; 64] {
    const WORDS: usize = 8;

    fn of(number: u64) -> Self {
        [number.to_le_bytes()[0]; 64]
    }

    #[inline]
    fn from_words(mut word: impl FnMut(usize) -> u64) -> Self {
        let mut bytes = [0; 64];
        for (at, to) in bytes.chunks_exact_mut(8).enumerate() {
            to.copy_from_slice(&word(at).to_le_bytes());
        }
        bytes
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
    }
}

/// 320 bytes.
impl Value for [u64; 40] {
    const WORDS: usize = 40;

    fn of(number: u64) -> Self {
        [number; 40]
    }

    #[inline]
    fn from_words(word: impl FnMut(usize) -> u64) -> Self {
        std::array::from_fn(word)
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        self[at]
    }
}

/// One value, by the peer's handle for it.
pub trait Cell: Sized + Send + 'static {
    const PEER: &'static str;
    type Value: Value;

    fn get(&self) -> Self::Value;

    /// Copies the value into an existing one.
    #[inline]
    fn get_into(&self, into: &mut Self::Value) {
        *into = self.get();
    }

    fn set(&self, value: &Self::Value);
}

/// One value of many bytes.
pub trait Bulk: Sized + 'static {
    const PEER: &'static str;

    fn create(label: &str, size: usize) -> Result<Self>;
    fn read(&mut self, into: &mut [u8]);
    fn write(&mut self, from: &[u8]);
}

/// Waking a process that waits, and waiting to be woken. The two sides take turns.
pub trait Bell: Sized + 'static {
    const PEER: &'static str;
    /// As the child's arguments name the peer.
    const WORD: &'static str;

    /// Creates the bell on the side of the parent.
    fn create(label: &str) -> Result<Self>;

    /// The argument of [`attach`](Self::attach).
    fn address(&self) -> String;

    /// Opens the bell on the side of the child.
    fn attach(address: &str) -> Result<Self>;

    /// Rings the other side, then waits until it rings.
    fn ring_and_wait(&mut self, turn: u32);

    /// Waits until the other side rings, then rings it.
    fn wait_and_ring(&mut self, turn: u32);
}

/// How each peer is set up, for the head of the table.
pub const SETUPS: &[&str] = &[
    "mapvar: named map (shared memory); durable rows: a map in a file, set and flush",
    "std HashMap: String keys, with_capacity; foldhash HashMap: the same, foldhash::fast",
    "DashMap: 6, with_capacity, hasher foldhash::fast; RwLock<HashMap>: std's, foldhash::fast",
    "LMDB: heed 0.22; WRITEMAP, NOSYNC, NOMETASYNC, MAPASYNC, NORDAHEAD, NOTLS, on tmpfs; gets in \
     one open transaction, a transaction each set; durable rows: WRITEMAP and NOTLS alone, on disk",
    "redb: 4, cache of 1 GiB, Durability::None, on tmpfs; gets in one open transaction; durable \
     rows: Immediate, on disk",
    "SQLite: rusqlite 0.39, bundled; WITHOUT ROWID, prepared, locking EXCLUSIVE, mmap 4 GiB, \
     journal MEMORY and synchronous OFF on tmpfs; gets in one open transaction; durable rows: WAL, \
     synchronous FULL, on disk",
    "Redis: redis-server on a unix socket of its own, on the same core (two cores take longer), \
     no TCP, no persistence; single commands and a pipeline of 100 (its fastest), MSET and MGET; a \
     client written here, values of eight bytes; full run only",
    "gem's way: win32-mmap's protocol by mapvar's Format::Marshal: one Hash of all variables, read \
     and written whole under one lock (on Linux of a file)",
    "Python shared_memory: multiprocessing's; struct.Struct's unpack_from and pack_into, and slices; \
     a process on the same core times its own loop",
    "named event: left out: Windows only",
    "iceoryx2: 0.10, blackboard, service ipc (shared memory, as peers in other processes use), \
     handles made beforehand",
    "robust mutex: glibc's, PROCESS_SHARED and ROBUST, lock and unlock with nothing between",
    "seqlock by hand: in shared memory, one writer, no lock; raw futex: FUTEX_WAIT and FUTEX_WAKE \
     on a shared word, no timeout",
    "memcpy: from and to an anonymous shared mapping (memmap2); stores and msync: memmap2, as many \
     bytes apart as records lie, MmapMut::flush",
];
