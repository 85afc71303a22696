//! The beginning of a region: writing a new one, and validating an existing one.

use crate::{
    layout::{self, Meta, Table, header, identity, incarnation, kind, live, record, spare},
    mem::{
        Load,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords,
    },
};

/// The content of a validated header, or of one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Random bits that no other region has.
    pub uuid: [u64; 2],
    /// Seed of the hash of names.
    pub seed: u64,
    /// Bytes of values that the region was made for.
    pub size: u64,
    /// Bytes of the region when it was made.
    pub region: u64,
    /// Bytes that the region may grow to; 0 = as the system allows.
    pub max_size: u64,
    /// Whether the region lives in a file.
    pub file: bool,
    /// When the region was made, in seconds since 1970.
    pub created: u64,
    /// Id of the process that made the region.
    pub creator: u32,
}

/// Why a header was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The creator has not finished.
    NotReady,
    /// The bytes are no header of a map.
    NotAMap,
    /// The header has a version that this build does not know.
    Version(u32),
    /// The header has this version, but a build with other constants wrote it.
    Layout,
    /// The header contradicts itself.
    Corrupt(&'static str),
    /// The region is shorter than the header says.
    Truncated {
        /// Bytes that the header claims.
        said: u64,
    },
}

/// The boot and the file that a region's locks belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Boot id of the machine.
    pub boot: [u64; 2],
    /// Volume, file id and birth time of the file.
    pub file: [u64; 3],
    /// The namespace of the process ids.
    pub pid_namespace: u64,
    /// The mounted device. The locks of the region are those of this mount. It belongs to a boot,
    /// so no checksum covers it.
    pub device: u64,
}

impl Identity {
    /// Reads the identity sector, whose words begin at [`identity::AT`]; `None` if no copy in it was
    /// written whole.
    pub fn read(words: impl Load) -> Option<Self> {
        [0, identity::SECOND].into_iter().find_map(|copy| Self::read_copy(words, copy))
    }

    fn read_copy(words: impl Load, copy: usize) -> Option<Self> {
        // Acquire. Pairs with the Release stores in `write_copy`.
        let crc = words.load(copy + identity::CRC, Acquire);
        let word = |at| words.load(copy + at, Relaxed);
        let identity = Self {
            boot: [word(identity::BOOT), word(identity::BOOT + 1)],
            file: [word(identity::VOLUME), word(identity::FILE), word(identity::BORN)],
            pid_namespace: word(identity::PID_NAMESPACE),
            device: word(identity::DEVICE),
        };
        (crc == identity.crc()).then_some(identity)
    }

    /// Writes the identity sector.
    ///
    /// A process that dies between two stores must leave an identity: without one the next opener
    /// would take the file for one of another boot, and take back what its users had set. So the
    /// second copy is written whole before the first one is touched.
    pub fn write(&self, words: impl StoreWords) {
        self.write_copy(words, identity::SECOND);
        self.write_copy(words, 0);
    }

    fn write_copy(&self, words: impl StoreWords, copy: usize) {
        // Release. Each store comes after those before it, in memory too. The last one pairs with
        // the Acquire load in `read_copy`.
        let put = |at, value| words.store(copy + at, value, Release);
        put(identity::BOOT, self.boot[0]);
        put(identity::BOOT + 1, self.boot[1]);
        put(identity::VOLUME, self.file[0]);
        put(identity::FILE, self.file[1]);
        put(identity::BORN, self.file[2]);
        put(identity::PID_NAMESPACE, self.pid_namespace);
        put(identity::DEVICE, self.device);
        put(identity::CRC, self.crc());
    }

    fn crc(&self) -> u64 {
        let mut crc = crc32fast::Hasher::new();
        for word in self.boot.iter().chain(&self.file).chain([&self.pid_namespace]) {
            crc.update(&word.to_le_bytes());
        }
        // Never 0: otherwise a sector of zeros would count as an identity.
        u64::from(crc.finalize()) | 1 << 32
    }
}

/// Length of a new region: header and index, a chunk for records and one more. All other chunks come
/// with growth.
pub const NEW_REGION: u64 = (layout::META_CHUNKS + 2) * layout::CHUNK;

/// Returns how long a region may become for `size` bytes of values: header and index, two spare
/// chunks, and eight times the size. The factor covers the slots of each variable, four in a file,
/// and the rounding to record classes. Above 1 MiB it is four, since larger maps are expected to hold larger variables.
pub fn region_bytes(size: u64) -> Option<u64> {
    let area = size.checked_mul(8)?.min(size.checked_mul(4)?.checked_add(4 << 20)?);
    let chunks = area.div_ceil(layout::CHUNK) + layout::META_CHUNKS + 2;
    (chunks <= layout::MOST_CHUNKS).then_some(chunks * layout::CHUNK)
}

/// Writes an empty region into zeroed memory. `words` are the first `META_CHUNKS * CHUNK` bytes.
///
/// The first word is stored last, with Release. An opener that sees it sees all the others.
pub fn format(words: impl StoreWords, facts: &Facts) {
    let put = |at: u64, index: usize, value| words.store((at / 8) as usize + index, value, Relaxed);

    let table = Table { at: layout::FIRST_INDEX, lines: layout::FIRST_INDEX_LINES };
    put(live::AT, live::ROOT, table.root());
    put(live::AT, live::CHUNKS, facts.region / layout::CHUNK);
    put(live::AT, live::FREE_HINT, layout::META_CHUNKS);
    for word in 0..spare::GROUPS {
        put(spare::AT, word, spare::ALL_FREE);
    }
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
    put(header::AT, header::CRC, header_crc(|at| words.load(at, Relaxed)));
    // Pairs with the Acquire load in `examine`. Stored earlier, an opener could map a half-written
    // region.
    words.store(header::MAGIC, layout::MAGIC, Release);
}

/// Returns the chunks from `first` on that hold chunk tables, in a region of `chunks` chunks. The
/// process that creates or grows the region marks them.
pub fn table_chunks(first: u64, chunks: u64) -> impl Iterator<Item = u64> {
    let groups = std::iter::successors(Some(layout::TABLE_WORDS), |group| group.checked_mul(2));
    groups
        .take_while(move |group| *group < chunks)
        .flat_map(|group| group..layout::past_table(group))
        .filter(move |chunk| (first..chunks).contains(chunk))
}

/// Validates a header: `words` are the first 64 words, `bytes` the region's real length.
pub fn examine(words: impl Load, bytes: u64) -> Result<Facts, HeaderError> {
    // Pairs with the Release store of the magic word in `format`.
    match words.load(header::MAGIC, Acquire) {
        layout::MAGIC => {}
        0 => return Err(HeaderError::NotReady),
        _ => return Err(HeaderError::NotAMap),
    }
    // Each word is loaded once: a peer that changes one between the checksum and its use would have
    // a word used that no checksum covers.
    let words: [u64; header::WORDS] = std::array::from_fn(|at| words.load(at, Relaxed));
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let version = word(header::VERSION);
    if version & !header::FILE != layout::VERSION {
        // An unknown flag counts as another version.
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
    if word(header::CRC) != header_crc(word) {
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

/// Returns the checksum of a header, with its own word taken as 0.
pub fn header_crc(word: impl Fn(usize) -> u64) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    for at in header::VERSION..header::WORDS {
        let word = if at == header::CRC { 0 } else { word(at) };
        crc.update(&word.to_le_bytes());
    }
    u64::from(crc.finalize())
}

/// Returns the checksum in a record's meta word.
pub fn meta_crc(id: u64, meta: Meta, name: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(id & !record::RETIRED).to_le_bytes());
    crc.update(&(meta.0 & 0xffff_ffff).to_le_bytes());
    crc.update(name);
    crc.finalize()
}

/// Returns the checksum of a chunk's header.
pub fn chunk_crc(mark: u64, number: u64, uuid: u64, id: u64) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    for word in [mark, number, uuid, id] {
        crc.update(&word.to_le_bytes());
    }
    u64::from(crc.finalize())
}
