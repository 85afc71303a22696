//! Information read from a region's bytes without the engine: the locks, and the kernel's changes
//! to them.

use mapvar_engine::layout::{self, CHUNK, commit, identity, journal, kind, live, record};

const OWNER: u32 = 0x3fff_ffff;
const DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
const FIRST_MARK: u32 = 0x3fff_fff0;

pub fn word(image: &[u8], at: u64) -> u64 {
    let at = at as usize;
    image.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}

pub fn half(image: &[u8], at: u64) -> u32 {
    let at = at as usize;
    image.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
}

fn put(image: &mut [u8], at: u64, word: u64) {
    let at = at as usize;
    image[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// Applies the death of thread `tid`, whose robust list named the lock word at `at`, as the
/// kernel's `handle_futex_death` does.
pub fn owner_dies(image: &mut [u8], at: u64, tid: u32) {
    let found = half(image, at);
    if at.is_multiple_of(4) && found & OWNER == tid && at as usize + 4 <= image.len() {
        let at = at as usize;
        image[at..at + 4].copy_from_slice(&(found & WAITERS | DIED).to_le_bytes());
    }
}

/// Returns the identity of a file, which lies at `0x200`.
pub fn identity_of(image: &[u8]) -> [u64; identity::WORDS] {
    std::array::from_fn(|number| word(image, identity::AT + number as u64 * 8))
}

/// Makes an image of one file one of another file that differs only in its identity. Each word of
/// the identity that equals `theirs` becomes `ours`. A half-written identity stays half-written.
pub fn change_identity(
    image: &mut [u8],
    theirs: &[u64; identity::WORDS],
    ours: &[u64; identity::WORDS],
) {
    for (number, (their, our)) in theirs.iter().zip(ours).enumerate() {
        let at = identity::AT + number as u64 * 8;
        if word(image, at) == *their {
            put(image, at, *our);
        }
    }
}

/// Returns the offsets of all slots for records.
fn places(image: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let chunks = word(image, live::AT + live::CHUNKS as u64 * 8);
    let chunks = chunks.min(image.len() as u64 / CHUNK);
    (layout::META_CHUNKS..chunks).flat_map(|number| {
        let said = word(image, layout::table_word(number));
        let class = (said >> 8) as usize & (layout::RECORD_CLASSES.len() - 1);
        let count = if said & 0xff == kind::RECORDS { layout::records_in_chunk(class) } else { 0 };
        (0..count as u64).map(move |within| {
            number * CHUNK + layout::CHUNK_HEADER + within * layout::record_bytes(class) as u64
        })
    })
}

/// The unfinished work of a dead process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The structure lock (L) is not free, or its journal is not empty.
    pub structure: bool,
    /// The commit lock (T) is not free, or its journal is not empty.
    pub transaction: bool,
    /// The flush lock (F) is not free.
    pub flush: bool,
    /// Records whose lock word is not 0, by the beginnings of their names.
    pub records: Vec<Vec<u8>>,
}

impl Pending {
    pub fn of(image: &[u8]) -> Self {
        let at = |words: u64, number: usize| word(image, words + number as u64 * 8);
        let name = |place: u64| {
            let name = place as usize + record::NAME * 8;
            // The same number of bytes for any length of name, and for any kind of variable.
            let name = image.get(name..name + 16).unwrap_or_default();
            name.iter().copied().take_while(|byte| *byte != 0).collect()
        };
        Self {
            structure: half(image, live::LOCK_L) != 0
                || at(journal::AT, journal::OPERATION) != journal::NOTHING,
            transaction: half(image, live::LOCK_T) != 0
                || at(commit::AT, commit::STATUS) != 0
                || at(commit::AT, commit::COUNT) != 0
                || at(live::AT, live::TSEQ) & 1 == 1,
            flush: at(live::AT, live::FLUSHER) != 0,
            records: places(image)
                .filter(|place| half(image, place + record::LOCK) != 0)
                .map(name)
                .collect(),
        }
    }

    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// Fails if an idle region has locks or journals left over.
pub fn left_over(image: &[u8]) -> Result<(), String> {
    let at = |words: u64, number: usize| word(image, words + number as u64 * 8);
    for (what, value) in [
        ("lock L", u64::from(half(image, live::LOCK_L))),
        ("lock T", u64::from(half(image, live::LOCK_T))),
        ("the journal of L", at(journal::AT, journal::OPERATION)),
        ("the status of T's journal", at(commit::AT, commit::STATUS)),
        ("the number in T's journal", at(commit::AT, commit::COUNT)),
        ("tseq's lowest bit", at(live::AT, live::TSEQ) & 1),
        ("F", at(live::AT, live::FLUSHER)),
    ] {
        if value != 0 {
            return Err(format!("{what} is left at {value:#x}"));
        }
    }
    let chunks = at(live::AT, live::CHUNKS).min(image.len() as u64 / CHUNK);
    for number in layout::META_CHUNKS..chunks {
        let said = word(image, layout::table_word(number));
        if matches!(said & 0xff, kind::EXTENTS | kind::RUN | kind::REST) {
            return Err(format!("chunk {number} is left as one of large values: {said:#x}"));
        }
    }
    for place in places(image) {
        let lock = half(image, place + record::LOCK);
        if lock & OWNER != 0 {
            let what = if lock & OWNER >= FIRST_MARK { "mark" } else { "lock" };
            return Err(format!("a {what} is left in the record at {place:#x}: {lock:#x}"));
        }
    }
    Ok(())
}
