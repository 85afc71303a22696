//! Target (a): bytes as a region. A valid map is damaged at meaningful offsets, often with
//! corrected checksums, or all of it is noise. Then it is opened, repaired, read, checked and
//! written to.

use crate::DECODER;
use crate::{
    driver::{Case, Target},
    random::Random,
    regions::{self, Places, Region},
};
use mapvar::check::Severity;
use mapvar_engine::{
    layout::{self, CHUNK, chunk, commit, extent, header, journal, live, marks, record, slot},
    mem::Mem as _,
    store::Store,
};
use mapvar_engine_sim::{
    adversary::{Adversary, LockState, MOST_LOADS},
    operations,
};

/// The regions to damage.
#[derive(Debug)]
pub struct Bytes {
    regions: Vec<Region>,
}

impl Default for Bytes {
    /// Returns the target with all the regions.
    fn default() -> Self {
        Self { regions: regions::all() }
    }
}

/// A change of the bytes.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A word gets this value; true if the checksum over it is corrected.
    Word(u64, u64, bool),
    /// Bytes are copied from one offset to another; a whole chunk gets correct checksums.
    Copy(u64, u64, u64),
    /// These bytes become zero.
    Zero(u64, u64),
    /// From this offset on, so many bytes become noise.
    Noise(u64, u64, u64),
    /// The region gets this length.
    Length(u64),
    /// A lock word gets this state.
    Lock(u64, LockState),
}

impl Change {
    fn random(random: &mut Random, mem: &Adversary, places: &Places) -> Self {
        let bytes = places.chunks * CHUNK;
        let live_word = |word: usize| live::AT + word as u64 * 8;
        let sealed = random.below(4) != 0;
        let at = match random.below(24) {
            1 | 2 => live::AT + random.below(live::WORDS as u64) * 8,
            3 => journal::AT + random.below(5) * 8,
            4 => {
                // An operation that another process began, with any arguments.
                return Self::Word(journal::AT, random.below(6), false);
            }
            5 => {
                let entry = marks::AT + random.below(marks::MOST as u64) * 8;
                random.of(&[
                    commit::AT,
                    commit::AT + 8,
                    live_word(live::TSEQ),
                    marks::AT,
                    marks::AT + 8,
                    entry,
                ])
            }
            6 | 7 => {
                let at = layout::table_word(random.below(places.chunks + 1));
                let word = random.below(10)
                    | random.below(18) << 8
                    | random.of(&[0, 0, 1, 2, 3, 7, u64::from(u32::MAX), places.chunks]) << 32;
                return Self::Word(at, word, false);
            }
            8 => {
                let at = random.below(places.chunks) * CHUNK + random.below(8) * 8;
                if at.is_multiple_of(CHUNK) && random.one_in(2) {
                    let mark = chunk::MAGIC | random.below(10) << 32 | random.below(18) << 40;
                    return Self::Word(at, mark, sealed);
                }
                at
            }
            9..=11 if !places.records.is_empty() => {
                let (at, class) = random.of(&places.records);
                let word = random.of(&[record::STATE, record::ID, record::META, 4, 5, 6, 7]);
                if word == record::META && random.one_in(2) {
                    let len = random.of(&[0, 1, 8, 24, 25, 32, 33, 900, 1023, 1024, 0xffff]);
                    let flags = random.of(&[0, 1, 2, 0xff]);
                    let class = random.of(&[class as u64, 0, 1, 7, 8, 9, 15, 16, 0xff]);
                    return Self::Word(at + 24, len << 16 | class << 8 | flags, sealed);
                }
                at + word as u64 * 8
            }
            12..=15 if !places.records.is_empty() => {
                let (at, class) = random.of(&places.records);
                let number = random.below(4);
                let at = at
                    + record::LINE as u64 * 8
                    + number * layout::slot_bytes(class) as u64
                    + random.below(7) * 8;
                if random.one_in(3) {
                    let desc = at - (at - layout::CHUNK_HEADER) % 8;
                    let len = match random.below(4) {
                        0 => random.below(40),
                        1 => random.word() >> 16,
                        2 => random.below(20_000),
                        _ => random.of(&[8, 32, 96, 480, 960, 1088, 1089, 1 << 20, 1 << 40]),
                    };
                    let kind = random.of(&[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 255]);
                    return Self::Word(desc, len << 16 | kind << 8 | random.below(4), sealed);
                }
                at
            }
            16 => places.index.0 + random.below(places.index.1) * 8,
            17 => {
                let at = random.of(&layout::superblock::AT);
                at + random.below(layout::superblock::WORDS as u64) * 8
            }
            18 => {
                let at = header::AT + random.below(12) * 8;
                // A header that is refused at once tests little, so its checksum is mostly
                // corrected.
                return Self::Word(at, Self::value(random, mem, places, at), random.below(16) != 0);
            }
            19 => layout::PARTICIPANTS + random.below(16) * 64 + random.of(&[5, 7]) * 8,
            20 if !places.extents.is_empty() => {
                random.of(&places.extents) + random.below(extent::WORDS as u64 + 4) * 8
            }
            21 => {
                let lock = match random.below(4) {
                    0 => live::LOCK_L,
                    1 => live::LOCK_T,
                    _ if places.records.is_empty() => live::LOCK_L,
                    _ => random.of(&places.records).0 + record::LOCK,
                };
                let held = match random.below(5) {
                    0 => LockState::Alive,
                    1 => LockState::Died,
                    2 => LockState::Marked(random.word() as u32 | 1),
                    number => LockState::Marked(0x3fff_ffed + number as u32),
                };
                return Self::Lock(lock, held);
            }
            22 => {
                let piece = random.of(&[64, 320, 1024, 4096, CHUNK]);
                let [from, to] = [0, 0].map(|_: u64| random.below(bytes / piece) * piece);
                return match random.below(4) {
                    0 => Self::Zero(to, piece),
                    1 => Self::Noise(to, piece, random.word()),
                    _ => Self::Copy(from, to, piece),
                };
            }
            23 => {
                let length = match random.below(3) {
                    0 => random.below(bytes),
                    1 => random.below(places.chunks + 8) * CHUNK,
                    _ => bytes + random.below(regions::SPARE),
                };
                return Self::Length(length);
            }
            _ => random.below(bytes / 8) * 8,
        };
        Self::Word(at, Self::value(random, mem, places, at), sealed)
    }

    /// Returns a journal of an operation begun under the structure lock, with any arguments.
    fn begun(random: &mut Random, places: &Places) -> [Self; 5] {
        let mut argument = |word: usize| {
            let any = match random.below(5) {
                0 => random.below(places.chunks + 4),
                1 => u64::MAX - random.below(64),
                2 => random.word() >> random.below(64),
                3 => places.any(random) | random.below(64),
                _ => places.any(random),
            };
            Self::Word(journal::AT + word as u64 * 8, any, false)
        };
        let [record, block, old, new] =
            [journal::RECORD, journal::BLOCK, journal::OLD, journal::NEW].map(&mut argument);
        let operation = Self::Word(journal::AT, 1 + random.below(4), false);
        [record, block, old, new, operation]
    }

    /// Returns a slot, mostly the current one, that refers to an extent at any offset.
    fn value_elsewhere(random: &mut Random, mem: &Adversary, places: &Places) -> [Self; 3] {
        let (at, class) = random.of(&places.records);
        let current = mem.peek(at) >> 6 & 3;
        let number = if random.one_in(4) { random.below(4) } else { current };
        let slot = at + record::LINE as u64 * 8 + number * layout::slot_bytes(class) as u64;
        let len = match random.below(3) {
            0 => random.below(20_000),
            1 => random.word() >> 16 >> random.below(40),
            _ => random.of(&[0, 1, 16_320, CHUNK, 1 << 20, 1 << 40, (1 << 48) - 1]),
        };
        let capacity = random.of(&[u64::MAX, len, len + 7, CHUNK * 2 - 64, 1 << 40]);
        let kind = random.of(&[1, 3, 6, 7, 8, 9, 255]);
        let word = |word: usize| slot + word as u64 * 8;
        [
            Self::Word(word(slot::DESC), len << 16 | kind << 8 | 1, false),
            Self::Word(word(slot::DATA), places.any(random), false),
            Self::Word(word(slot::DATA + 1), capacity, random.one_in(2)),
        ]
    }

    fn value(random: &mut Random, mem: &Adversary, places: &Places, at: u64) -> u64 {
        let honest = mem.peek(at);
        match random.below(14) {
            0 => random.word(),
            1 => 0,
            2 => u64::MAX,
            3 => random.below(16),
            4 => honest ^ 1 << random.below(64),
            5 => honest.wrapping_add(random.below(5)).wrapping_sub(2),
            6 => honest ^ (random.below(256) << (random.below(8) * 8)),
            7 | 8 => places.any(random),
            9 => (places.any(random) / 64) | (honest & !0xff_ffff_ffff),
            10 => u64::MAX - random.below(1 << 20),
            11 => 1 << random.below(64),
            12 => places.any(random).wrapping_sub(8 * random.below(5)),
            _ => mem.peek(random.below(places.chunks * CHUNK / 8) * 8),
        }
    }

    fn make(self, store: &Store<Adversary>) {
        let mem = store.mem();
        match self {
            Self::Word(at, word, sealed) => {
                mem.poke(at, word);
                if sealed {
                    operations::reseal(store, at);
                }
            }
            Self::Copy(from, to, bytes) => {
                let words: Vec<u64> = (0..bytes / 8).map(|at| mem.peek(from + at * 8)).collect();
                for (at, word) in words.into_iter().enumerate() {
                    mem.poke(to + at as u64 * 8, word);
                }
                if bytes == CHUNK {
                    // So that it looks like this chunk's own.
                    mem.poke(to + chunk::NUMBER as u64 * 8, to / CHUNK);
                    operations::reseal(store, to);
                }
            }
            Self::Zero(to, bytes) => {
                (0..bytes / 8).for_each(|at| mem.poke(to + at * 8, 0));
            }
            Self::Noise(to, bytes, seed) => {
                let mut random = Random::new(seed);
                (0..bytes / 8).for_each(|at| mem.poke(to + at * 8, random.word()));
            }
            Self::Length(bytes) => mem.set_size(bytes),
            Self::Lock(at, held) => mem.put_lock(at, Some(held)),
        }
    }
}

/// Returns the faults that a check finds, as text.
fn faults(store: &Store<Adversary>) -> Vec<String> {
    let check = operations::one_look(store, true, DECODER);
    let faults = check.findings().iter().filter(|found| found.severity == Severity::Fault);
    faults.map(ToString::to_string).take(8).collect()
}

impl Bytes {
    /// Returns the changes of a case.
    fn changes(random: &mut Random, region: &Region) -> Vec<Change> {
        if random.one_in(64) {
            // The region stays as it is: the next owner completes what a death left.
            return Vec::new();
        }
        if random.one_in(256) {
            // All of it, or all but the header.
            let from = if random.one_in(2) { 0 } else { 512 };
            let bytes = region.places.chunks * CHUNK - from;
            return vec![Change::Noise(from, bytes, random.word())];
        }
        let count = 1 + random.below(random.clone().of(&[2, 4, 12]));
        let (mem, places) = (&region.mem, &region.places);
        let mut changes: Vec<Change> =
            (0..count).map(|_| Change::random(random, mem, places)).collect();
        if random.one_in(6) && !places.records.is_empty() {
            changes.extend(Change::value_elsewhere(random, mem, places));
        }
        if random.one_in(8) {
            changes.extend(Change::begun(random, places));
        }
        changes
    }

    /// Returns a region of a case, damaged, as the bytes of a file.
    pub(crate) fn damaged(&self, random: &mut Random, case: &Case) -> Vec<u8> {
        let region = regions::of_seed(&self.regions, case.seed);
        region.mem.reset();
        let changes = Self::changes(random, region);
        case.record(|| format!("region: {}", region.called));
        Self::damage(region, &changes, case);
        let image = region.mem.image();
        let mut bytes: Vec<u8> = image.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for (at, held) in image.held {
            // In the file, lock words are ordinary words.
            let word: u32 = match held {
                LockState::Alive => random.below(200) as u32 + 1,
                LockState::Died => 0x4000_0000,
                LockState::Marked(mark) => mark,
            };
            if let Some(to) = bytes.get_mut(at as usize..at as usize + 4) {
                to.copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes
    }

    fn execute(region: &Region, changes: &[Change], random: &mut Random, case: &Case) {
        let rot = Self::damage(region, changes, case);
        use_region(region, random, case, rot, changes.is_empty());
    }

    /// Makes the changes; returns whether they are plain rot, with no checksum corrected.
    fn damage(region: &Region, changes: &[Change], case: &Case) -> bool {
        let mem = &region.mem;
        mem.reset();
        // A correct checksum makes a change a forgery, whose values may be inconsistent. Checksums
        // detect plain rot.
        let mut rot = true;
        {
            let store = Store::new(mem.clone(), &region.facts).expect("a store");
            for (number, change) in changes.iter().enumerate() {
                if case.keeps(number) {
                    rot &= !matches!(change, Change::Word(_, _, true) | Change::Copy(..));
                    case.record(|| format!("{change:x?}"));
                    change.make(&store);
                }
            }
        }
        rot
    }
}

/// Opens a region and runs operations that `random` chooses. A region that only rotted must be
/// whole after a recovery.
fn use_region(region: &Region, random: &mut Random, case: &Case, rot: bool, undamaged: bool) {
    let mem = &region.mem;
    let forged: Vec<(u64, LockState)> = mem.held();
    let bytes = mem.size();
    // No load lies here, so an operation that needs more loads than this would not end.
    let begin = || mem.begin(None, MOST_LOADS / 4);
    begin();
    let free = |what: &str| {
        let held = mem.held();
        let left = held.iter().find(|it| it.1 == LockState::Alive && !forged.contains(it));
        assert!(left.is_none(), "{what} left a lock behind: {left:x?}");
    };
    let operate = |store: &mut Store<Adversary>, which: u64, number: usize| {
        begin();
        case.record(|| format!("{} {number}", operations::operation_name(which)));
        operations::operate(store, &region.handles, which, number, DECODER);
        free(operations::operation_name(which));
    };
    if random.below(8) < 3 {
        // Inspected without being opened as a map.
        case.record(|| "look at it".into());
        let Some((mut store, sound)) = operations::looked_at(mem.clone(), bytes) else { return };
        for which in [11, 26, 27] {
            if random.one_in(2) {
                operate(&mut store, which, usize::from(!sound));
            }
        }
        return;
    }
    case.record(|| "open it".into());
    let Ok(Some(mut store)) = operations::opened(mem.clone(), bytes) else { return };
    begin();
    match random.below(5) {
        // The map is from another boot.
        0 | 1 => {
            case.record(|| "recover".into());
            let recovered = store.recover(bytes);
            free("recover");
            if recovered.is_ok() && rot && random.one_in(2) {
                begin();
                let faults = faults(&store);
                assert!(faults.is_empty(), "recovered, and not whole: {faults:#?}");
            }
        }
        // This process is alone with the map.
        2 | 3 => {
            case.record(|| "quiesce".into());
            let quiet = store.quiesce();
            free("quiesce");
            if undamaged {
                assert!(quiet.is_ok(), "what a death left cannot be ended: {quiet:?}");
                begin();
                operations::tidy(&store).expect("tidy");
                let check = operations::one_look(&store, true, DECODER);
                let findings: Vec<String> =
                    check.findings().iter().map(ToString::to_string).take(8).collect();
                assert!(findings.is_empty(), "ended, and not whole: {findings:#?}");
            }
        }
        _ => {}
    }
    for _ in 0..=random.below(3) {
        let (which, number) =
            (random.below(operations::OPERATIONS), random.below(1 << 16) as usize);
        operate(&mut store, which, number);
    }
}

impl Target for Bytes {
    fn run(&mut self, case: &Case) -> u64 {
        let mut random = Random::new(case.seed);
        let region = regions::of_seed(&self.regions, case.seed);
        // The changes are drawn from the undamaged map.
        region.mem.reset();
        let changes = Self::changes(&mut random, region);
        case.record(|| format!("region: {}", region.called));
        Self::execute(region, &changes, &mut random, case);
        1
    }
}

impl Bytes {
    /// Runs a case from bytes that libFuzzer made: first a region's number and the seed of the
    /// operations, then pairs of offset and word.
    pub fn run_bytes(&mut self, bytes: &[u8]) {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return };
        let mut random = Random::new(u64::from_le_bytes(*head) >> 8);
        let region = &self.regions[usize::from(head[0]) % self.regions.len()];
        let words = region.places.chunks * CHUNK / 8;
        let changes: Vec<Change> = rest
            .chunks_exact(12)
            .take(32)
            .map(|entry| {
                let number = |bytes: &[u8]| {
                    bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
                };
                let (at, word) = (number(&entry[..4]), number(&entry[4..]));
                Change::Word((at >> 1) % words * 8, word, at & 1 == 1)
            })
            .collect();
        let case = Case::new(0);
        Self::execute(region, &changes, &mut random, &case);
    }
}

/// The mutator changes the first seven words of a slot, and the smallest slot must have them.
const _: () = assert!(slot::LEAST >= 7);
