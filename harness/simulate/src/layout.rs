//! Where the words lie: the region of FORMAT.md, made small. Each number that has a sector of its
//! own there has one here.

pub const IDENTITY: usize = 0;
pub const INCARNATION: usize = 64;
/// Live words: the last complete epoch, and the number of chunks as memory has it.
pub const COMPLETE: usize = 128;
pub const COUNT: usize = 129;
/// The file's length in chunks. It is no word of the file but goes the same way: what a cut leaves
/// of it is what it was at some time since the last barrier.
pub const LENGTH: usize = 192;
pub const SUPERBLOCKS: [usize; 2] = [256, 320];
pub const SUPERBLOCK: usize = 6;

pub const CHUNKS_AT: usize = 384;
pub const CHUNKS: usize = 7;
pub const CHUNK: usize = CHUNK_HEADER + 2 * RECORD;
pub const WORDS: usize = CHUNKS_AT + CHUNKS * CHUNK;

/// Words of a chunk's header: what it is, its number, its id, the checksum of the three.
pub const CHUNK_HEADER: usize = 8;
pub const CHUNK_ID: usize = 2;
pub const CHUNK_CHECK: usize = 3;

pub const RECORDS_PER_CHUNK: usize = 2;
pub const RECORDS: usize = CHUNKS * RECORDS_PER_CHUNK;
pub const RECORD: usize = 8 + SLOTS * SLOT;
pub const STATE: usize = 0;
pub const ID: usize = 2;
pub const META: usize = 3;
pub const NAME: usize = 4;
pub const ATOMIC: usize = 5;
/// Offset of the block that holds the name, 0 = the name is short.
pub const BLOCK_AT: usize = 6;
/// The value of an Atomic.
pub const WORD: usize = 7;

pub const SLOTS: usize = 4;
pub const SLOT: usize = 8;
pub const VERSION: usize = 0;
pub const DESC: usize = 1;
pub const CHECK: usize = 2;
pub const SEAL: usize = 3;
pub const DATA: usize = 4;
pub const INLINE: usize = SLOT - DATA;

pub const INVALID: u64 = u64::MAX;
pub const RETIRED: u64 = 1 << 63;
pub const VALUE: u64 = 1;
pub const TOMBSTONE: u64 = 2;
pub const IN_EXTENT: u64 = 1 << 8;

/// As large as a record, and at the same places: a value can hold the image of one.
pub const EXTENT: usize = RECORD;
pub const EXTENTS_PER_CHUNK: usize = 2;
pub const EXTENTS: usize = CHUNKS * EXTENTS_PER_CHUNK;
pub const BLOCK: usize = 8;
pub const BLOCKS_PER_CHUNK: usize = 2 * RECORD / BLOCK;
pub const BLOCKS: usize = CHUNKS * BLOCKS_PER_CHUNK;

/// Names 0, 1 and 4 are short, 2 and 3 long, 5 is the Atomic's.
pub const NAMES: usize = 6;
pub const LONG_NAMES: std::ops::Range<usize> = 2..4;
pub const ATOMIC_NAME: usize = 5;

/// A new incarnation's versions and ids begin at its number, shifted so far.
pub const INCARNATION_SHIFT: u32 = 30;

pub const fn chunk_at(chunk: usize) -> usize {
    CHUNKS_AT + chunk * CHUNK
}

pub const fn record_at(record: usize) -> usize {
    chunk_at(record / RECORDS_PER_CHUNK) + CHUNK_HEADER + record % RECORDS_PER_CHUNK * RECORD
}

pub const fn slot_at(record: usize, slot: usize) -> usize {
    record_at(record) + 8 + slot * SLOT
}

pub const fn extent_at(extent: usize) -> usize {
    chunk_at(extent / EXTENTS_PER_CHUNK) + CHUNK_HEADER + extent % EXTENTS_PER_CHUNK * EXTENT
}

pub const fn block_at(block: usize) -> usize {
    chunk_at(block / BLOCKS_PER_CHUNK) + CHUNK_HEADER + block % BLOCKS_PER_CHUNK * BLOCK
}

/// The word `state` of a record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct State {
    pub version: u64,
    pub current: usize,
    /// The slot that was durable when the newest flush chose.
    pub a: usize,
    /// The slot that the newest flush chose.
    pub b: usize,
}

impl State {
    pub const fn unpack(word: u64) -> Self {
        const fn slot(word: u64, shift: u32) -> usize {
            (word >> shift & 3) as usize
        }
        Self { version: word >> 8, current: slot(word, 6), a: slot(word, 4), b: slot(word, 2) }
    }

    pub const fn pack(self) -> u64 {
        self.version << 8 | (self.current as u64) << 6 | (self.a as u64) << 4 | (self.b as u64) << 2
    }
}
