//! A region's beginning: how it is made, whole, and how it is recognised.

use crate::{
    layout::{self, Meta, Table, header, identity, incarnation, kind, live, record},
    mem::{
        Load,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords,
    },
};

/// What a header says, checked; and what one is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Random bits that no other region has.
    pub uuid: [u64; 2],
    /// Seed of the hash of names.
    pub seed: u64,
    /// Bytes of values that it was made for.
    pub size: u64,
    /// Bytes of the region when it was made.
    pub region: u64,
    /// Bytes that it may grow to; 0 = as the system allows.
    pub max_size: u64,
    /// Whether it lives in a file.
    pub file: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The process that made it.
    pub creator: u32,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Its creator is not done.
    NotReady,
    /// Something else.
    NotAMap,
    /// A version that this build does not know.
    Version(u32),
    /// This version, laid out by a build with other constants.
    Layout,
    /// It contradicts itself.
    Corrupt(&'static str),
    /// Shorter than it says.
    Truncated {
        /// Bytes that it says it has.
        said: u64,
    },
}

/// Whose boot and file a region's locks are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The boot of the machine.
    pub boot: [u64; 2],
    /// Volume, file and birth of the file.
    pub file: [u64; 3],
    /// The namespace that process ids are of.
    pub pid_namespace: u64,
}

impl Identity {
    /// What the sector says; `None` where it was not written whole. `words` begin at
    /// [`identity::AT`].
    pub fn read(words: impl Load) -> Option<Self> {
        let word = |at| words.load(at, Relaxed);
        let identity = Self {
            boot: [word(identity::BOOT), word(identity::BOOT + 1)],
            file: [word(identity::VOLUME), word(identity::FILE), word(identity::BORN)],
            pid_namespace: word(identity::PID_NAMESPACE),
        };
        (word(identity::CRC) == identity.crc()).then_some(identity)
    }

    /// Writes the sector.
    pub fn write(&self, words: impl StoreWords) {
        let put = |at, value| words.store(at, value, Relaxed);
        put(identity::BOOT, self.boot[0]);
        put(identity::BOOT + 1, self.boot[1]);
        put(identity::VOLUME, self.file[0]);
        put(identity::FILE, self.file[1]);
        put(identity::BORN, self.file[2]);
        put(identity::PID_NAMESPACE, self.pid_namespace);
        put(identity::CRC, self.crc());
    }

    fn crc(&self) -> u64 {
        let mut crc = crc32fast::Hasher::new();
        for word in self.boot.iter().chain(&self.file).chain([&self.pid_namespace]) {
            crc.update(&word.to_le_bytes());
        }
        // Never 0: a sector of zeros is no identity.
        u64::from(crc.finalize()) | 1 << 32
    }
}

/// Bytes of a region with room for `size` bytes of values: header and index, two chunks to spare,
/// and eight times the size, since each variable has four slots and is put into a class of records;
/// four times where it is above a MiB, where variables are taken to be larger.
pub fn region_bytes(size: u64) -> Option<u64> {
    let room = size.checked_mul(8)?.min(size.checked_mul(4)?.checked_add(4 << 20)?);
    let chunks = room.div_ceil(layout::CHUNK) + layout::META_CHUNKS + 2;
    (chunks <= layout::MOST_CHUNKS).then_some(chunks * layout::CHUNK)
}

/// Writes an empty region into zeroed memory. `words` are all of its first
/// `META_CHUNKS * CHUNK` bytes. The first word is stored last, with Release: an opener that sees it
/// sees the rest.
pub fn format(words: impl StoreWords, facts: &Facts) {
    let put = |at: u64, index: usize, value| words.store((at / 8) as usize + index, value, Relaxed);

    let table = Table { at: layout::FIRST_INDEX, lines: layout::FIRST_INDEX_LINES };
    put(live::AT, live::ROOT, table.root());
    put(live::AT, live::CHUNKS, facts.region / layout::CHUNK);
    put(live::AT, live::FREE_HINT, layout::META_CHUNKS);
    put(incarnation::AT, incarnation::COUNT, 0);
    for number in 0..layout::META_CHUNKS {
        put(layout::table_word(number), 0, kind::META);
    }

    put(header::AT, header::VERSION, layout::VERSION | if facts.file { header::FILE } else { 0 });
    put(header::AT, header::UUID, facts.uuid[0]);
    put(header::AT, header::UUID + 1, facts.uuid[1]);
    put(header::AT, header::SEED, facts.seed);
    put(header::AT, header::SIZE, facts.size);
    put(header::AT, header::REGION, facts.region);
    put(header::AT, header::MAX_SIZE, facts.max_size);
    put(header::AT, header::LAYOUT, layout::LAYOUT);
    put(header::AT, header::CREATED, facts.created);
    put(header::AT, header::CREATOR, u64::from(facts.creator));
    put(header::AT, header::CRC, header_crc(words));
    words.store(header::MAGIC, layout::MAGIC, Release);
}

/// Chunks from `first` on that hold chunk tables, in a region of `chunks` chunks; whoever makes or
/// lengthens the region marks them.
pub fn table_chunks(first: u64, chunks: u64) -> impl Iterator<Item = u64> {
    let groups = std::iter::successors(Some(layout::TABLE_WORDS), |group| group.checked_mul(2));
    groups
        .take_while(move |group| *group < chunks)
        .flat_map(|group| group..layout::past_table(group))
        .filter(move |chunk| (first..chunks).contains(chunk))
}

/// Reads a header: `words` are the first 64 words, `bytes` the region's real length.
pub fn examine(words: impl Load, bytes: u64) -> Result<Facts, HeaderError> {
    // Pairs with the Release store in `format`.
    match words.load(header::MAGIC, Acquire) {
        layout::MAGIC => {}
        0 => return Err(HeaderError::NotReady),
        _ => return Err(HeaderError::NotAMap),
    }
    let word = |at| words.load(at, Relaxed);
    let version = word(header::VERSION);
    if version & !header::FILE != layout::VERSION {
        // An unknown flag counts as a version of its own.
        return Err(HeaderError::Version(version as u32));
    }
    let facts = Facts {
        uuid: [word(header::UUID), word(header::UUID + 1)],
        seed: word(header::SEED),
        size: word(header::SIZE),
        region: word(header::REGION),
        max_size: word(header::MAX_SIZE),
        file: version & header::FILE != 0,
        created: word(header::CREATED),
        creator: word(header::CREATOR) as u32,
    };
    if word(header::CRC) != header_crc(words) {
        return Err(HeaderError::Corrupt("the checksum of the header is wrong"));
    }
    if word(header::LAYOUT) != layout::LAYOUT {
        return Err(HeaderError::Layout);
    }
    if facts.region < layout::META_CHUNKS * layout::CHUNK {
        return Err(HeaderError::Corrupt("the region is too short to be one"));
    }
    if facts.max_size != 0 && facts.max_size < facts.region {
        return Err(HeaderError::Corrupt("the region is larger than it may grow to"));
    }
    if facts.region > bytes {
        return Err(HeaderError::Truncated { said: facts.region });
    }
    Ok(facts)
}

/// The checksum of a header, of which the word for it counts as 0.
pub fn header_crc(words: impl Load) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    for at in header::VERSION..header::WORDS {
        let word = if at == header::CRC { 0 } else { words.load(at, Relaxed) };
        crc.update(&word.to_le_bytes());
    }
    u64::from(crc.finalize())
}

/// The checksum in a record's meta word.
pub fn meta_crc(id: u64, meta: Meta, name: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(id & !record::RETIRED).to_le_bytes());
    crc.update(&(meta.0 & 0xffff_ffff).to_le_bytes());
    crc.update(name);
    crc.finalize()
}

/// The checksum of a chunk's header.
pub fn chunk_crc(mark: u64, number: u64, uuid: u64, id: u64) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    for word in [mark, number, uuid, id] {
        crc.update(&word.to_le_bytes());
    }
    u64::from(crc.finalize())
}
