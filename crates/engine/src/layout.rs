//! The layout of a region: the only place with offsets and sizes. `docs/FORMAT.md` describes it,
//! and a test compares the two.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::len_without_is_empty,
    clippy::return_self_not_must_use,
    reason = "docs/FORMAT.md describes each; a constant cannot be indexed otherwise, and each index \
              is masked"
)]

/// First word of a region: `MAPVAR\r\n`. It is stored last, so 0 means that the creator is not
/// done.
pub const MAGIC: u64 = u64::from_le_bytes(*b"MAPVAR\r\n");
/// Version of the format.
pub const VERSION: u64 = 1;
/// Distinguishes builds whose constants differ although the version is the same.
pub const LAYOUT: u64 = {
    let parts = [
        CHUNK,
        PARTICIPANTS,
        PARTICIPANT_SLOTS as u64,
        TABLE,
        TABLE_WORDS,
        dirty::AT,
        superblock::AT[0],
        marks::AT,
        ring::AT,
        turns::AT,
        FIRST_INDEX,
        FIRST_INDEX_LINES,
        ring::WORDS as u64,
        EXTENT_CLASSES.len() as u64,
        BLOCK_CLASSES[3] as u64,
        marks::MOST as u64,
        live::BLOCK_HINT as u64,
        room::BLOCKS as u64,
        spare::AT,
    ];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < parts.len() {
        sum = mixed(sum, parts[at]);
        at += 1;
    }
    let mut class = 0;
    while class < RECORD_CLASSES.len() {
        sum = mixed(mixed(sum, RECORD_CLASSES[class] as u64), slots_of(class) as u64);
        class += 1;
    }
    sum
};

/// Adds a number to an FNV-1a hash.
const fn mixed(sum: u64, part: u64) -> u64 {
    (sum ^ part).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Words of the header, by index. They never change once the region is published.
pub mod header {
    pub const AT: u64 = 0;
    pub const WORDS: usize = 64;
    pub const MAGIC: usize = 0;
    /// Version in bits 0..=31, flags above.
    pub const VERSION: usize = 1;
    /// CRC-32 of the sector with this word as 0.
    pub const CRC: usize = 2;
    pub const UUID: usize = 3;
    pub const SEED: usize = 5;
    pub const SIZE: usize = 6;
    pub const REGION: usize = 7;
    pub const MAX_SIZE: usize = 8;
    pub const LAYOUT: usize = 9;
    pub const CREATED: usize = 10;
    pub const CREATOR: usize = 11;

    /// Flag: the region lives in a file.
    pub const FILE: u64 = 1 << 32;
}

/// Words of the identity sector, which says to which boot and which file the region's locks and
/// cached pages belong.
pub mod identity {
    pub const AT: u64 = 0x200;
    pub const WORDS: usize = 17;
    pub const BOOT: usize = 0;
    pub const VOLUME: usize = 2;
    pub const FILE: usize = 3;
    pub const BORN: usize = 4;
    pub const PID_NAMESPACE: usize = 5;
    /// Checksum of the words before it.
    pub const CRC: usize = 6;
    /// Device of the mount by which the file is used.
    pub const DEVICE: usize = 7;
    /// Where the second copy of these words begins.
    pub const SECOND: usize = 8;
    /// Which process changes the identity, while one does.
    pub const CLAIM: usize = 16;
}

/// The incarnation counter, in a sector of its own.
pub mod incarnation {
    pub const AT: u64 = 0x400;
    pub const WORDS: usize = 1;
    pub const COUNT: usize = 0;
}

/// The superblocks, which say that an epoch reached the file whole: two, a sector each, written in
/// turns.
pub mod superblock {
    pub const AT: [u64; 2] = [0x1800, 0x1a00];
    pub const WORDS: usize = 6;
    pub const EPOCH: usize = 0;
    /// Slots that the epoch sealed, and the sum of their hashes.
    pub const COUNT: usize = 1;
    pub const SUM: usize = 2;
    /// The same for the newest durable slot of every variable, tombstones excepted.
    pub const ALL_COUNT: usize = 3;
    pub const ALL_SUM: usize = 4;
    pub const CHECK: usize = 5;

    /// A number further than this above the highest good epoch is corrupt and does not count.
    pub const FARTHEST: u64 = 1 << 32;
}

/// Live words: one cache line for each group that changes together.
pub mod live {
    pub const AT: u64 = 0x1000;
    pub const WORDS: usize = 64;
    /// Offset of the index, a multiple of 64, with log2 of its lines in the low 6 bits.
    pub const ROOT: usize = 0;
    pub const INDEX_SEQ: usize = 1;
    pub const BIRTHS: usize = 8;
    /// A 32-bit word: woken when a variable is made. Byte offset in the region.
    pub const BIRTHS_WAKE: u64 = AT + 72;
    /// A 32-bit word: woken when a variable is made, and when one changes that has WAIT. Byte
    /// offset in the region.
    pub const CHANGES_WAKE: u64 = AT + 76;
    /// How many entries the ring of changes ever got.
    pub const CHANGES: usize = 10;
    /// How many variables with a value were ever inserted, those with a reserved name excepted.
    pub const BORN: usize = 11;
    /// Revivals less removals, modulo 2^40. The bits above are of no meaning.
    pub const NET: usize = 12;
    /// How many processes took a seat whose bits in [`turns`](super::turns) were set; and
    /// [`UNKNOWN`](super::turns::UNKNOWN).
    pub const LOST: usize = 13;
    /// Odd while a transaction is being applied; each transaction adds 2.
    pub const TSEQ: usize = 16;
    /// Last complete flush epoch.
    pub const EPOCH: usize = 24;
    /// Number of the next flush epoch. A number once taken is never taken again.
    pub const NEXT_EPOCH: usize = 25;
    /// Ids and versions of this incarnation begin above this.
    pub const VERSION_BASE: usize = 26;
    /// Two words with a bit for each seat that has ever had a pin.
    pub const PINS: usize = 27;
    /// The flush lock (F): token of the flusher's seat; 0 = free.
    pub const FLUSHER: usize = 29;
    /// Not 0: a write to the disk failed. Only a recovery clears it.
    pub const FAILED: usize = 30;
    /// Not 0: the next flush counts all durable slots instead of updating the last count.
    pub const RECOUNT: usize = 31;
    /// The structure lock (L), a 32-bit word. Byte offset in the region.
    pub const LOCK_L: u64 = AT + 256;
    /// The transaction lock (T), a 32-bit word. Byte offset in the region.
    pub const LOCK_T: u64 = AT + 320;
    /// Number of chunks in the region.
    pub const CHUNKS: usize = 48;
    /// Where a search for a free chunk, and for a free record of each size, begins: hints only. A
    /// region has records of eight sizes.
    pub const FREE_HINT: usize = 49;
    pub const CLASS_HINT: usize = 50;
    /// Index words that are not empty: names and tombstones.
    pub const INDEX_USED: usize = 58;
    // 59 is reserved for more participants.
    /// Where a search for a free block of each class begins.
    pub const BLOCK_HINT: usize = 60;
    /// Where a search for a free extent begins: of class 0..=6, then for a run of chunks.
    pub const EXTENT_HINT: usize = 33;
    pub const RUN_HINT: usize = 41;
}

/// The journal of L: the operation of its owner, for the next owner if that one dies.
pub mod journal {
    pub const AT: u64 = 0x1200;
    pub const WORDS: usize = 8;
    /// Stored last when an operation begins, and as 0 when it ends.
    pub const OPERATION: usize = 0;
    pub const RECORD: usize = 1;
    pub const BLOCK: usize = 2;
    pub const OLD: usize = 3;
    pub const NEW: usize = 4;
    /// The word `BORN` after an insertion.
    pub const BORN: usize = 5;

    pub const NOTHING: u64 = 0;
    pub const INSERT: u64 = 1;
    pub const UNLINK: u64 = 2;
    pub const ROOT: u64 = 3;
    /// A run of chunks is being reserved: its first chunk in `OLD`, their number in `NEW`.
    pub const RUN: u64 = 4;
}

/// Counts of free space: exact, unless [`DOUBTFUL`](room::DOUBTFUL) is set. Then they are hints.
pub mod room {
    pub const AT: u64 = 0x1240;
    pub const WORDS: usize = 22;
    /// Free records in chunks of records, by size.
    pub const FREE: usize = 0;
    /// Records in all, free or not: the index has words for as many.
    pub const RECORDS: usize = 8;
    /// Free extents in chunks of extents, by class.
    pub const EXTENTS: usize = 9;
    /// Removals that left a record behind until a flush, since all of those were last collected.
    pub const LEFT: usize = 16;
    /// Free blocks in chunks of blocks, by class.
    pub const BLOCKS: usize = 17;
    /// Not 0: an owner of L died, perhaps between a bit and its count.
    pub const DOUBTFUL: usize = 21;
}

/// The journal of T: the transaction of its owner. Its entries lie apart, at [`marks::AT`].
pub mod commit {
    pub const AT: u64 = 0x1088;
    pub const WORDS: usize = 2;
    /// 0, or [`COMMITTED`] from the moment at which the transaction counts as done.
    pub const STATUS: usize = 0;
    /// Number of entries: records that are marked, or are about to be.
    pub const COUNT: usize = 1;

    pub const COMMITTED: u64 = 1;
}

/// Turns of variables: a removal, or a value for a removed variable. A word for 16 seats: a bit for
/// each seat whose process turns a variable, a bit for each whose process ever set an ephemeral value,
/// and 32 bits that grow with each change of the word.
pub mod turns {
    pub const AT: u64 = 0x1300;
    pub const WORDS: usize = super::PARTICIPANT_SLOTS / IN_WORD;
    const IN_WORD: usize = 16;

    /// Flag of [`LOST`](super::live::LOST): a process turns variables and has no seat.
    pub const UNKNOWN: u64 = 1 << 63;
    /// Bits of a number of variables.
    pub const COUNT: u64 = (1 << 40) - 1;
    /// Added to a word by each change.
    pub const STEP: u64 = 1 << 32;
    /// The bits that say that a process turns a variable.
    pub const TURNING: u64 = (1 << IN_WORD) - 1;

    /// Returns the word of a seat, and the bit that says that its process turns a variable.
    pub const fn turning(seat: usize) -> (usize, u64) {
        let seat = seat % super::PARTICIPANT_SLOTS;
        (seat / IN_WORD, 1 << (seat % IN_WORD))
    }

    /// Returns the word of a seat, and the bit that says that its process ever set an ephemeral
    /// value.
    pub const fn owning(seat: usize) -> (usize, u64) {
        let (word, bit) = turning(seat);
        (word, bit << IN_WORD)
    }

    /// Returns the seats that have a bit in a word.
    pub fn seats(word: usize, bits: u64) -> impl Iterator<Item = usize> {
        let bits = bits | bits >> IN_WORD;
        (0..IN_WORD).filter(move |at| bits >> at & 1 == 1).map(move |at| word * IN_WORD + at)
    }
}

/// A word for each record that the owner of T has marked.
pub mod marks {
    pub const AT: u64 = 0x6000;
    /// The most variables that one transaction can touch.
    pub const MOST: usize = 512;

    /// Flag: the transaction writes the record, to the slot in the low two bits. The other bits
    /// hold the record's offset.
    pub const WRITES: u64 = 4;
}

/// A word for each seat: the byte offset of the wake word on which a thread of its process sleeps;
/// 0 for none. For messages only.
pub mod sleeping {
    pub const AT: u64 = 0x1400;

    /// Returns the offset of the word of seat `number`.
    pub const fn at(number: usize) -> u64 {
        AT + (number % super::PARTICIPANT_SLOTS) as u64 * 8
    }
}

/// Bits that stand for chunks: 128 for each group of chunks, each for as many neighbors.
pub mod summary {
    /// Of chunks with records that are dirty or in flight.
    pub const DIRTY: u64 = 0x1c00;
    /// Of chunks in which an `Atomic` was ever made.
    pub const ATOMICS: u64 = 0x1e00;
    pub const WORDS: usize = 64;
    const OF_GROUP: u64 = 128;

    /// Returns the first chunk of group `number`, and log2 of how many chunks a bit of it stands for.
    const fn group(number: u64) -> (u64, u64) {
        if number == 0 { (0, 1) } else { (super::TABLE_WORDS << (number - 1), number) }
    }

    /// Returns the word and the bit of chunk `number`.
    pub const fn place(number: u64) -> (usize, u64) {
        let of = number / super::TABLE_WORDS;
        let (first, log) = group(if of == 0 { 0 } else { of.ilog2() as u64 + 1 });
        let group = if first == 0 { 0 } else { log };
        let bit = group * OF_GROUP + ((number - first) >> log);
        ((bit / 64) as usize % WORDS, 1 << (bit % 64))
    }

    /// Returns the chunks for which bit `bit` of word `word` stands.
    pub const fn chunks(word: usize, bit: u64) -> std::ops::Range<u64> {
        let bit = word as u64 * 64 + bit;
        let (first, log) = group(bit / OF_GROUP);
        let first = first + ((bit % OF_GROUP) << log);
        first..first + (1 << log)
    }
}

/// Bits that say which chunks a search for space looks at: in each word 32 for free chunks, and 32
/// for chunks with free parts. A word stands for a group of chunks, each bit of a half for as many
/// neighbors.
pub mod spare {
    pub const AT: u64 = 0x1340;
    pub const WORDS: usize = 24;
    /// The words with bits.
    pub const GROUPS: usize = 23;
    /// No more free chunks than this follow each other, tables between them not counted; 0 = not
    /// known.
    pub const LONGEST: usize = 23;
    /// The bits of free chunks, and of divided chunks with a free part: where their half of a word
    /// begins.
    pub const FREE: u32 = 0;
    pub const PARTS: u32 = 32;
    /// A word whose groups may have free chunks everywhere, and free parts nowhere.
    pub const ALL_FREE: u64 = u32::MAX as u64;

    /// Returns the word and the bit, in a half, of chunk `number`.
    pub const fn place(number: u64) -> (usize, u32) {
        let (first, _) = super::group(number);
        let (word, log) = if first == 0 { (0, 3) } else { (first.ilog2() - 7, first.ilog2() - 5) };
        let word = word as usize;
        (if word < GROUPS { word } else { GROUPS - 1 }, ((number - first) >> log) as u32 & 31)
    }

    /// Returns the chunks for which bit `bit` of a half of word `word` stands.
    pub const fn chunks(word: usize, bit: u32) -> std::ops::Range<u64> {
        let (first, log) =
            if word == 0 { (0, 3) } else { (super::TABLE_WORDS << (word - 1), word as u32 + 2) };
        let first = first + ((bit as u64) << log);
        first..first + (1 << log)
    }
}

/// A slot for each thread that writes (locks on Windows), and for each process that has a seat.
pub const PARTICIPANTS: u64 = 0x2000;
pub const PARTICIPANT_SLOTS: usize = 128;

/// A process takes a seat below this number to be seen. The others are reserved for processes that
/// need one.
pub const SEATS_OF_PRESENCE: usize = 96;

/// Words of a participant's slot that belong to the process with the seat of that number.
pub mod seat {
    pub const WORDS: usize = 8;
    /// Distinguishes the processes that have the seat one after the other.
    pub const TOKEN: usize = 5;
    /// Process id in the low half, and the time at which it took the seat, in seconds since 1970,
    /// above. For messages only.
    pub const PROCESS: usize = 6;
    /// Offset of the data of the extent that the process reads; 0 = none.
    pub const PIN: usize = 7;

    /// Returns the offset of the slot of seat `number`.
    pub const fn at(number: usize) -> u64 {
        super::PARTICIPANTS + (number % super::PARTICIPANT_SLOTS) as u64 * 64
    }
}

/// The chunk table: a word for each chunk. The first 256 words lie here. The others lie at the
/// beginning of the group of chunks that they describe.
pub const TABLE: u64 = 0x4000;
pub const TABLE_WORDS: u64 = 256;

/// Two words for each chunk, of which records are to be flushed: in a table of their own, so that a
/// flush of records all over a file changes few pages besides theirs. Those of the first 256 chunks
/// lie here, the others behind the table's words of their group.
pub mod dirty {
    pub const AT: u64 = 0x5000;
    pub const WORDS: usize = 2;
    /// Records of the chunk that were written since the last flush began, in a map of a file.
    pub const DIRTY: usize = 0;
    /// Records that a flush has begun to write and has not completed.
    pub const FLUSHING: usize = 1;

    /// Returns the offset of the words of chunk `number`.
    pub const fn at(number: u64) -> u64 {
        let (first, _) = super::group(number);
        let table = if first == 0 { AT } else { first * (super::CHUNK + 8) };
        table + (number - first) * 16
    }
}

/// The first index. Its successors lie in chunks of their own.
pub const FIRST_INDEX: u64 = 0x7000;
pub const FIRST_INDEX_LINES: u64 = 64;
/// A name's word lies within this many lines of its home line.
pub const PROBE_LINES: u64 = 16;

/// The ring of changes: which records were made, or changed while a thread waited for them.
pub mod ring {
    pub const AT: u64 = 0x4800;
    pub const WORDS: usize = 256;

    /// Bit of an entry: the record was made.
    pub const BORN: u64 = 1 << 40;

    /// Returns the word of entry `number`.
    pub const fn place(number: u64) -> usize {
        (number % WORDS as u64) as usize
    }

    /// Returns the high bits of entry `number`, which the entry of another lap at the same place
    /// does not have. Those of the first lap are not 0, as in a ring without entries.
    pub const fn lap(number: u64) -> u64 {
        (number / WORDS as u64).wrapping_add(1) << 41
    }

    /// Returns entry `number` for the record at `record`.
    pub const fn entry(number: u64, record: u64, born: bool) -> u64 {
        let born = if born { BORN } else { 0 };
        lap(number) | born | (record / 64) & (BORN - 1)
    }

    /// Whether `word` is entry `number`.
    pub const fn is(word: u64, number: u64) -> bool {
        (word ^ lap(number)) >> 41 == 0
    }

    /// Returns the offset of an entry's record.
    pub const fn record(word: u64) -> u64 {
        (word & (BORN - 1)) * 64
    }
}

/// Bytes of a chunk.
pub const CHUNK: u64 = 0x4000;
/// Chunks that header, live words, participants, table and first index take.
pub const META_CHUNKS: u64 = 2;
/// The most chunks that a region can have (16 TiB). An index word could name records in four times
/// as many.
pub const MOST_CHUNKS: u64 = 1 << 30;

/// Bytes of a chunk's header.
pub const CHUNK_HEADER: u64 = 64;
/// Words of a chunk's header.
pub mod chunk {
    pub const WORDS: usize = 8;
    /// `MVCH` in bits 0..=31, kind in 32..=39, class in 40..=47.
    pub const MARK: usize = 0;
    pub const NUMBER: usize = 1;
    pub const UUID: usize = 2;
    pub const CRC: usize = 3;
    /// A bit for each allocated part: two words in chunks that can have more than 64 parts, those of
    /// blocks and of records with two slots; one in the others.
    pub const BITS: usize = 4;
    /// In a chunk of records with four slots: a number that no other chunk, and no variable, ever
    /// has.
    pub const ID: usize = 5;
    /// In a chunk of records of a file: the bits, as in [`dirty`](super::dirty), of the records in
    /// which an `Atomic` was ever made.
    pub const ATOMICS: usize = 6;

    pub const MAGIC: u64 = u32::from_le_bytes(*b"MVCH") as u64;
}

/// Kinds of a chunk, in bits 0..=7 of its word in the table. Bits 8..=15 hold the class, bits
/// 32..=63 the chunks of the run.
pub mod kind {
    /// Bit of the word: an `Atomic` was ever made in the chunk.
    pub const HAS_ATOMICS: u64 = 1 << 16;
    /// Bit of the word: a part of the chunk may be free.
    pub const HAS_PARTS: u64 = 1 << 17;

    pub const FREE: u64 = 0;
    pub const META: u64 = 1;
    pub const RECORDS: u64 = 2;
    pub const BLOCKS: u64 = 3;
    pub const INDEX: u64 = 4;
    /// Divided into extents of one size.
    pub const EXTENTS: u64 = 5;
    /// First chunk of a run that is one extent.
    pub const RUN: u64 = 6;
    /// A further chunk of a run.
    pub const REST: u64 = 7;
    pub const TABLE: u64 = 8;
}

/// Bytes of a value that a record of each class holds inline. The records of classes 0 to 7 have two
/// slots, and those of classes 8 to 15 have four: see [`classes`]. Each size is at most 1.5 times the
/// one before, is a multiple of 64 bytes, and fills a chunk with little waste.
pub const RECORD_CLASSES: [usize; 16] =
    [32, 64, 128, 224, 320, 480, 736, 1088, 32, 64, 112, 192, 288, 448, 624, 960];

/// The longest value that any record holds inline.
pub const MOST_INLINE: usize = RECORD_CLASSES[7];

/// How many sizes of records a region has.
pub const RECORD_SIZES: usize = RECORD_CLASSES.len() / 2;

/// Returns the classes of the records of a region, from the smallest to the largest. Without a file
/// nothing but the current value is ever kept, and a writer needs one more slot. In a file two more
/// values are kept for recovery.
pub const fn classes(file: bool) -> std::ops::Range<usize> {
    if file { RECORD_SIZES..2 * RECORD_SIZES } else { 0..RECORD_SIZES }
}

/// Returns how many slots a record of `class` has.
pub const fn slots_of(class: usize) -> usize {
    if class & RECORD_SIZES == 0 { 2 } else { slot::MOST }
}

/// Returns the number of a class among those of the same slots.
pub const fn size_of_class(class: usize) -> usize {
    class & (RECORD_SIZES - 1)
}

/// Whether a chunk of this kind and class has an id. No checksum needs the id of another one.
pub const fn has_id(kind: u64, class: usize) -> bool {
    kind == kind::RECORDS && slots_of(class) == slot::MOST
}

/// Bytes of a block of each class, which holds an id and a name that is too long for its record.
pub const BLOCK_CLASSES: [usize; 4] = [128, 256, 512, 1088];

/// Bytes of an extent of each class, its head included. The sizes divide a chunk with little waste.
pub const EXTENT_CLASSES: [usize; 7] = [256, 544, 1088, 2040, 4080, 8160, 16320];

/// Words of an extent's head, which lies right before its data. In a run it is the second half of
/// the chunk's header.
pub mod extent {
    pub const HEAD: u64 = 32;
    pub const WORDS: usize = 4;
    /// Offset of the record whose value lies in it.
    pub const RECORD: usize = 0;
    /// Id of the variable whose value lies in it.
    pub const ID: usize = 1;
    /// Token of the process that fills it, with the seat in bits 56..=63; 0 once a slot refers to
    /// it.
    pub const FILLER: usize = 2;

    /// An extent up to this size is rewritten in place, under the record's lock, if the free slot
    /// already has one that is large enough. A larger one is filled before the lock is taken, so
    /// that no other writer waits for the copy.
    pub const IN_PLACE: usize = 64 << 10;
}

/// Words of a record, by index. Word 1 is a lock word and a wake word of 32 bits each, and is never
/// accessed as a whole.
pub mod record {
    pub const LINE: usize = 8;
    pub const STATE: usize = 0;
    /// Byte offsets of the 32-bit words.
    pub const LOCK: u64 = 8;
    pub const WAKE: u64 = 12;
    pub const ID: usize = 2;
    pub const META: usize = 3;
    pub const NAME: usize = 4;
    /// The last word of the line: end of the name, offset of its block, or an `Atomic`'s value.
    pub const VALUE: usize = 7;
    pub const VALUE_AT: u64 = VALUE as u64 * 8;
    /// Bytes of a name that lie in the record, and in that of an `Atomic`.
    pub const NAME_BYTES: usize = 32;
    pub const ATOMIC_NAME_BYTES: usize = 24;

    /// Bit of the id: the record is retired. Then `state` is the epoch after which it is free.
    pub const RETIRED: u64 = 1 << 63;
    /// Bit of a retired record's `state`: it was retired before a restart, so no operation on it
    /// can still be running. An `Atomic`'s record is not reused without it.
    pub const QUIET: u64 = 1 << 63;
    /// Flag in meta: an `Atomic`.
    pub const ATOMIC: u64 = 1;
}

/// Words of a slot, by index from its first.
pub mod slot {
    /// The most slots that a record has.
    pub const MOST: usize = 4;
    pub const VERSION: usize = 0;
    pub const DESC: usize = 1;
    /// Type in bits 32..=63, checksum in 0..=31.
    pub const TYPE: usize = 2;
    pub const SEAL: usize = 3;
    pub const DATA: usize = 4;
    pub const DATA_AT: u64 = DATA as u64 * 8;

    /// Words of the smallest slot.
    pub const LEAST: usize = super::slot_bytes(0) / 8;

    /// Version of a slot that holds no value.
    pub const INVALID: u64 = u64::MAX;
    /// Kind of the slot of a removed variable.
    pub const TOMBSTONE: u8 = 255;
    /// Flag in `desc`: the value lies in an extent, whose offset and capacity are the first two
    /// words of the slot's data.
    pub const EXTENT: u8 = 1;
    /// Flag in `desc`: the value is ephemeral; it exists as long as its owner process has the map
    /// open. The token of that process's seat is the word after the value's last word, or after the
    /// extent's capacity.
    pub const EPHEMERAL: u8 = 2;
    /// Flags that this version knows.
    pub const KNOWN: u8 = EXTENT | EPHEMERAL;
}

/// Offset of the name in a block, after the id of its variable.
pub const BLOCK_NAME: u64 = 8;

/// Longest name of a variable, in bytes.
pub const LONGEST_NAME: usize = 1023;

/// Returns the bytes of one slot of a record of `class`.
pub const fn slot_bytes(class: usize) -> usize {
    slot::DATA * 8 + RECORD_CLASSES[class & (RECORD_CLASSES.len() - 1)]
}

/// Returns the bytes of a record of `class`.
pub const fn record_bytes(class: usize) -> usize {
    record::LINE * 8 + slots_of(class) * slot_bytes(class)
}

/// Returns how many records a chunk of `class` holds.
pub const fn records_in_chunk(class: usize) -> usize {
    (CHUNK - CHUNK_HEADER) as usize / record_bytes(class)
}

/// Returns how many blocks a chunk of `class` holds.
pub const fn blocks_in_chunk(class: usize) -> usize {
    (CHUNK - CHUNK_HEADER) as usize / BLOCK_CLASSES[class & 3]
}

/// Returns the group of chunk `number`: its first chunk, and how many chunks at its beginning hold
/// the table words of the group. Group 0 is chunks 0 to 255, whose words lie in the first chunks of
/// the region. Each other group has as many chunks as all before it, and 24 bytes for each.
pub const fn group(number: u64) -> (u64, u64) {
    if number < TABLE_WORDS {
        return (0, 0);
    }
    let log = (number / TABLE_WORDS).ilog2();
    let table = (TABLE_WORDS * 24) << log;
    (TABLE_WORDS << log, table.div_ceil(CHUNK))
}

/// Returns the offset of the table word of chunk `number`.
pub const fn table_word(number: u64) -> u64 {
    let (first, _) = group(number);
    let table = if first == 0 { TABLE } else { first * CHUNK };
    table + (number - first) * 8
}

/// Whether chunk `number` holds table words.
pub const fn holds_table(number: u64) -> bool {
    let (first, table) = group(number);
    number - first < table
}

/// Returns the first chunk from `number` on that holds no table words.
pub const fn past_table(number: u64) -> u64 {
    let (first, table) = group(number);
    if number - first < table { first + table } else { number }
}

/// Returns the bytes from offset `at`, which lies in no table, to the next table.
pub const fn until_table(at: u64) -> u64 {
    let (first, _) = group(at / CHUNK);
    let next = if first == 0 { TABLE_WORDS } else { first.saturating_mul(2) };
    next.saturating_mul(CHUNK).saturating_sub(at)
}

/// Returns the pieces of an extent of `len` bytes that begins at `at`. They leave out the chunks
/// that hold tables.
pub fn pieces(at: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let (mut at, mut left) = (at, len);
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let piece = (at, left.min(until_table(at)));
        left -= piece.1;
        at = past_table((at + piece.1) / CHUNK) * CHUNK;
        Some(piece)
    })
}

/// Returns the bit of the record at `at` in its chunk's words `DIRTY` and `FLUSHING`. There is a bit
/// for each 320 bytes, the size of the smallest record in a file.
pub const fn dirty_bit(at: u64) -> u64 {
    const LEAST: u64 = record_bytes(classes(true).start) as u64;
    1 << ((at % CHUNK / LEAST) & 63)
}

/// The `state` word of a record: `ver:56 | cur:2 | A:2 | B:2 | WAIT:1 | REMOVED:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u64);

impl State {
    /// A waiter waits for the variable to change.
    pub const WAIT: u64 = 2;
    /// The current slot is a tombstone. Lock-free operations on an `Atomic`, and sets, read this word
    /// anyway.
    pub const REMOVED: u64 = 1;
    /// The greatest version.
    pub const LARGEST: u64 = (1 << 56) - 1;

    pub const fn new(version: u64, current: usize, a: usize, b: usize) -> Self {
        Self(
            (version & Self::LARGEST) << 8
                | (current as u64 & 3) << 6
                | (a as u64 & 3) << 4
                | (b as u64 & 3) << 2,
        )
    }

    pub const fn version(self) -> u64 {
        self.0 >> 8
    }

    /// Returns the slot with the current value.
    pub const fn current(self) -> usize {
        (self.0 >> 6) as usize & 3
    }

    /// Returns the slot of the last durable value.
    pub const fn a(self) -> usize {
        (self.0 >> 4) as usize & 3
    }

    /// Returns the slot that the newest flush chose.
    pub const fn b(self) -> usize {
        (self.0 >> 2) as usize & 3
    }

    pub const fn removed(self) -> bool {
        self.0 & Self::REMOVED != 0
    }

    pub const fn waited_for(self) -> bool {
        self.0 & Self::WAIT != 0
    }

    /// Returns the state that publishes `slot` as `version`, without WAIT and REMOVED.
    pub const fn publish(self, version: u64, slot: usize) -> Self {
        Self::new(version, slot, self.a(), self.b())
    }

    /// Returns the same state of a tombstone.
    pub const fn of_tombstone(self) -> Self {
        Self(self.0 | Self::REMOVED)
    }

    /// Returns the slot that a writer takes in a record with so many slots: of two, where A and B
    /// are not used, the one that is not current. A forged state may name a slot that the record
    /// does not have; its lowest bit counts.
    #[inline]
    pub const fn free_slot_of(self, slots: usize) -> usize {
        if slots == 2 { (self.current() & 1) ^ 1 } else { self.free_slot() }
    }

    /// Returns a slot that is none of current, A and B, in a record with four slots.
    pub const fn free_slot(self) -> usize {
        // By a table: a computation took a tenth of a set.
        const FREE: [u8; 64] = {
            let mut free = [0; 64];
            let mut three = 0;
            while three < 64 {
                let taken = 1_u8 << (three & 3) | 1 << (three >> 2 & 3) | 1 << (three >> 4);
                free[three] = (!taken).trailing_zeros() as u8;
                three += 1;
            }
            free
        };
        FREE[(self.0 >> 2) as usize & 63] as usize & 3
    }
}

/// The `desc` word of a slot: `len:48 | kind:8 | flags:8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desc(pub u64);

impl Desc {
    pub const fn new(len: usize, kind: u8) -> Self {
        Self((len as u64) << 16 | (kind as u64) << 8)
    }

    pub const fn with(self, flag: u8) -> Self {
        Self(self.0 | flag as u64)
    }

    pub const fn len(self) -> u64 {
        self.0 >> 16
    }

    pub const fn kind(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Whether the slot refers to an extent.
    pub const fn is_extent(self) -> bool {
        self.flags() & slot::EXTENT != 0
    }

    pub const fn is_ephemeral(self) -> bool {
        self.flags() & slot::EPHEMERAL != 0
    }

    /// Whether this version knows all its flags.
    pub const fn is_known(self) -> bool {
        self.flags() & !slot::KNOWN == 0
    }

    /// Returns how many words of the slot's data precede the token of an ephemeral value.
    pub const fn words_before_owner(self) -> u64 {
        if self.is_extent() { 2 } else { self.len().div_ceil(8) }
    }

    pub const fn flags(self) -> u8 {
        self.0 as u8
    }
}

/// Position and capacity of an extent: the offset of its first byte of data, and how many it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub at: u64,
    pub capacity: u64,
}

/// The `meta` word of a record: `crc:32 | name_len:16 | class:8 | flags:8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta(pub u64);

impl Meta {
    pub const fn new(name_len: usize, class: usize, flags: u64) -> Self {
        Self((name_len as u64 & 0xffff) << 16 | (class as u64 & 0xff) << 8 | flags & 0xff)
    }

    pub const fn with_crc(self, crc: u32) -> Self {
        Self(self.0 & 0xffff_ffff | (crc as u64) << 32)
    }

    pub const fn crc(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub const fn name_len(self) -> usize {
        (self.0 >> 16) as usize & 0xffff
    }

    pub const fn class(self) -> usize {
        (self.0 >> 8) as usize & 0xff
    }

    /// Flags that this version knows.
    pub const fn is_known(self) -> bool {
        self.0 & 0xff & !record::ATOMIC == 0
    }

    pub const fn atomic(self) -> bool {
        self.0 & record::ATOMIC != 0
    }

    /// Returns the class, if this is the word of a variable that is no `Atomic` and has a name of
    /// this length.
    #[inline]
    pub const fn class_of_named(self, name_len: usize) -> Option<usize> {
        // The bits of a valid class are those that may differ.
        const CLASS: u64 = RECORD_CLASSES.len() as u64 - 1;
        let others = (self.0 ^ Self::new(name_len, 0, 0).0) & (0xffff_ffff & !(CLASS << 8));
        if others == 0 { Some(self.class() & CLASS as usize) } else { None }
    }
}

const _: () = assert!(MOST_INLINE >= RECORD_CLASSES[15], "no class is larger");
const _: () = assert!(RECORD_SIZES.is_power_of_two(), "the bits of a class are masked");

/// A word of the index: `fingerprint:24 | record:40`, the record as its offset in the region / 64.
pub mod index_word {
    pub const EMPTY: u64 = 0;
    pub const TOMBSTONE: u64 = 1;

    pub const fn new(hash: u64, record: u64) -> u64 {
        (hash & !0xff_ffff_ffff) | (record / 64)
    }

    pub const fn record(word: u64) -> u64 {
        (word & 0xff_ffff_ffff) * 64
    }

    /// Whether the fingerprint is that of `hash`.
    pub const fn fits(word: u64, hash: u64) -> bool {
        (word ^ hash) >> 40 == 0
    }
}

/// Position and size of an index, as the root encodes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub at: u64,
    pub lines: u64,
}

impl Table {
    pub const fn of_root(root: u64) -> Self {
        // Capped, so that a forged root cannot overflow a sum.
        let log = if root & 63 > 34 { 34 } else { root & 63 };
        Self { at: root & !63, lines: 1 << log }
    }

    pub const fn root(self) -> u64 {
        self.at | self.lines.trailing_zeros() as u64
    }

    /// Returns the offset of the line that is `step` lines after the home line of `hash`.
    pub const fn line(self, hash: u64, step: u64) -> u64 {
        self.at.wrapping_add((hash.wrapping_add(step) & (self.lines - 1)) * 64)
    }

    /// Returns the offset of the home line of `hash` in the index of `root`. A forged root, of more
    /// lines than an index can have, gives any offset.
    pub const fn home_line(root: u64, hash: u64) -> u64 {
        let number = hash & !(u64::MAX << (root & 63));
        (root & !63).wrapping_add(number << 6)
    }

    /// Returns how many chunks the index takes; the first index has none of its own.
    pub const fn chunks(self) -> u64 {
        if self.at == FIRST_INDEX { 0 } else { (self.lines * 64).div_ceil(CHUNK) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_line_is_the_first_of_the_table() {
        for log in 0..=34 {
            for hash in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
                let root = FIRST_INDEX | log;
                assert_eq!(Table::home_line(root, hash), Table::of_root(root).line(hash, 0));
            }
        }
        // A forged root gives some offset.
        for root in [u64::MAX, u64::MAX << 6 | 63, 63, 35] {
            assert!(Table::home_line(root, u64::MAX).is_multiple_of(64));
        }
    }

    #[test]
    fn sizes_of_the_classes() {
        let records = |file: bool| -> Vec<_> {
            classes(file).map(|c| (record_bytes(c), records_in_chunk(c))).collect()
        };
        let two = [
            (192, 85),
            (256, 63),
            (384, 42),
            (576, 28),
            (768, 21),
            (1088, 15),
            (1600, 10),
            (2304, 7),
        ];
        assert_eq!(records(false), two);
        let four = [
            (320, 51),
            (448, 36),
            (640, 25),
            (960, 17),
            (1344, 12),
            (1984, 8),
            (2688, 6),
            (4032, 4),
        ];
        assert_eq!(records(true), four);
        for sizes in [two, four] {
            for (bytes, count) in sizes {
                assert!(bytes % 64 == 0);
                let waste = CHUNK as usize - CHUNK_HEADER as usize - bytes * count;
                assert!(waste <= 512, "{bytes}: {waste} bytes of a chunk are wasted");
            }
            assert!(sizes.windows(2).all(|pair| pair[1].0 * 2 <= pair[0].0 * 3), "{sizes:?}");
        }
        let blocks: Vec<_> = (0..4).map(blocks_in_chunk).collect();
        assert_eq!(blocks, [127, 63, 31, 15]);
    }

    #[test]
    fn each_chunk_has_a_bit_in_a_summary() {
        let mut last = (0, 0);
        for number in (0..70_000).chain(MOST_CHUNKS - 9..MOST_CHUNKS) {
            let (word, bit) = summary::place(number);
            assert!(word < summary::WORDS && bit.is_power_of_two(), "{number}");
            let at = (word, bit.trailing_zeros());
            assert!(at >= last, "{number}: the bits are in the order of the chunks");
            last = at;
            assert!(summary::chunks(word, u64::from(at.1)).contains(&number), "{number}");
        }
        assert_eq!(summary::chunks(0, 0), 0..2);
        assert_eq!(summary::chunks(2, 0), 256..258);
    }

    #[test]
    fn each_chunk_has_a_bit_for_what_is_spare() {
        let mut last = (0, 0);
        for number in (0..70_000).chain(MOST_CHUNKS - 9..MOST_CHUNKS) {
            let (word, bit) = spare::place(number);
            assert!(word < spare::GROUPS && bit < 32, "{number}");
            assert!((word, bit) >= last, "{number}: the bits are in the order of the chunks");
            last = (word, bit);
            assert!(spare::chunks(word, bit).contains(&number), "{number}");
        }
        assert_eq!(last, (22, 31));
        assert_eq!(spare::chunks(0, 0), 0..8);
        assert_eq!(spare::chunks(0, 31).end, 256);
        assert_eq!(spare::chunks(22, 31).end, MOST_CHUNKS);
    }

    #[test]
    fn one_slot_is_always_free() {
        for bits in 0..64_usize {
            let state = State::new(7, bits >> 4, bits >> 2, bits);
            let free = state.free_slot();
            assert!(free < 4);
            assert!(![state.current(), state.a(), state.b()].contains(&free), "{state:?}");
            let next = state.publish(8, free);
            assert_eq!((next.version(), next.current()), (8, free));
            assert_eq!((next.a(), next.b()), (state.a(), state.b()));
        }
    }

    #[test]
    fn every_chunk_has_a_table_word_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for number in (0..40_000).chain((1 << 20) - 50..(1 << 20) + 50) {
            let at = table_word(number);
            let words = dirty::at(number);
            assert!([at, words, words + 8].into_iter().all(|at| seen.insert(at)), "{number}");
            if number >= TABLE_WORDS {
                assert!(holds_table(at / CHUNK) && holds_table((words + 8) / CHUNK), "{number}");
                assert!(at / CHUNK <= number);
            } else {
                assert!(at < ring::AT && words < marks::AT);
            }
        }
    }

    #[test]
    fn pieces_leave_out_the_tables_and_nothing_else() {
        for first in [2, 250, 255, 257, 511, 513, 1023, 1026, 4000, 4110] {
            let first = past_table(first);
            let (mut expected, mut number, mut skip) = (Vec::new(), first, CHUNK_HEADER);
            let len = 9000 * CHUNK + 17;
            let mut left = len;
            while left > 0 {
                if !holds_table(number) {
                    let part = left.min(CHUNK - skip);
                    expected.extend((0..2).map(|end| number * CHUNK + skip + end * (part - 1)));
                    left -= part;
                    skip = 0;
                }
                number += 1;
            }
            let mut found = Vec::new();
            for (at, len) in pieces(first * CHUNK + CHUNK_HEADER, len) {
                let mut at_chunk = at;
                while at_chunk < at + len {
                    let end = (at_chunk / CHUNK + 1) * CHUNK;
                    found.extend([at_chunk, end.min(at + len) - 1]);
                    at_chunk = end;
                }
            }
            assert_eq!(found, expected, "{first}");
        }
    }

    #[test]
    fn records_of_a_chunk_have_dirty_bits_of_their_own() {
        for class in classes(true) {
            let mut all = 0;
            for number in 0..records_in_chunk(class) {
                let at = 7 * CHUNK + CHUNK_HEADER + (number * record_bytes(class)) as u64;
                let bit = dirty_bit(at);
                assert_eq!(all & bit, 0, "{class} {number}");
                all |= bit;
            }
        }
    }
}
