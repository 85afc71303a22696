//! The region as all processes see it, and what the simulator keeps beside it.

use crate::{
    chance::{Chance, hash, mix},
    disk::Disk,
    fault::Fault,
    layout::{
        ATOMIC, BLOCK, BLOCK_AT, BLOCKS, BLOCKS_PER_CHUNK, CHECK, CHUNK_CHECK, CHUNK_HEADER,
        CHUNK_ID, CHUNKS, COMPLETE, DATA, DESC, EXTENT, EXTENTS, EXTENTS_PER_CHUNK, ID, IN_EXTENT,
        INLINE, LENGTH, LONG_NAMES, NAME, NAMES, RECORDS, RECORDS_PER_CHUNK, RETIRED, SEAL, SLOTS,
        STATE, SUPERBLOCK, SUPERBLOCKS, State, TOMBSTONE, VALUE, VERSION, WORDS, block_at,
        chunk_at, extent_at, record_at, slot_at,
    },
    oracle::Oracle,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    Free,
    Held(u32),
    /// Its owner died; the kernel says so.
    Died,
    /// Marks of the holder of T, and of L.
    ByT,
    ByL,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Free = 0,
    Records = 1,
    Blocks = 2,
    Extents = 3,
}

/// The journal of L.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structural {
    Nothing,
    Insert { record: usize, block: Option<usize> },
    Unlink { record: usize },
}

/// The journal of T: the records marked, and, once committed, the slot and version of each.
#[derive(Clone, Default, Debug)]
pub struct Transactional {
    pub committed: bool,
    pub records: Vec<usize>,
    pub to: Vec<(usize, u64)>,
}

/// What of the region recovery makes anew, and so need not be words here.
pub struct Live {
    pub locks: [Lock; RECORDS],
    pub l: Lock,
    pub t: Lock,
    /// The flush lock; a death frees it.
    pub flushing: bool,
    pub structural: Structural,
    pub transactional: Transactional,
    pub dirty: [bool; RECORDS],
    pub in_flight: [bool; RECORDS],
    pub index: [Option<usize>; NAMES],
    pub kinds: [Kind; CHUNKS],
    pub records: [bool; RECORDS],
    pub blocks: [bool; BLOCKS],
    pub extents: [bool; EXTENTS],
    /// Freed last: reused first in half of the cases, which is when reuse hurts most.
    pub freed_extents: Vec<usize>,
    pub freed_blocks: Vec<usize>,
    /// Retired records, each with its R.
    pub limbo: Vec<(usize, u64)>,
    pub next_epoch: u64,
    pub births: u64,
    pub version_base: u64,
    /// The region is known to be damaged: the next flush sums up all.
    pub sums_unknown: bool,
}

impl Live {
    pub fn new() -> Self {
        Self {
            locks: [Lock::Free; RECORDS],
            l: Lock::Free,
            t: Lock::Free,
            flushing: false,
            structural: Structural::Nothing,
            transactional: Transactional::default(),
            dirty: [false; RECORDS],
            in_flight: [false; RECORDS],
            index: [None; NAMES],
            kinds: [Kind::Free; CHUNKS],
            records: [false; RECORDS],
            blocks: [false; BLOCKS],
            extents: [false; EXTENTS],
            freed_extents: Vec::new(),
            freed_blocks: Vec::new(),
            limbo: Vec::new(),
            next_epoch: 1,
            births: 0,
            version_base: 0,
            sums_unknown: false,
        }
    }
}

/// What a superblock says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Superblock {
    pub epoch: u64,
    pub count: u64,
    pub sum: u64,
    pub count_all: u64,
    pub sum_all: u64,
}

/// How often a place was used again: what was never used again was never at risk.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reused {
    /// Retired records, when their time had come.
    pub records: u64,
    /// Young records, at once.
    pub erased: u64,
    pub blocks: u64,
    pub extents: u64,
    pub chunks: u64,
}

pub struct World {
    pub disk: Disk,
    pub chance: Chance,
    pub fault: Option<Fault>,
    pub live: Live,
    pub oracle: Oracle,
    pub boot: u64,
    /// A cut tells most here: where a flush ends, and where a place is used again.
    pub telling: bool,
    /// Same few values again and again: a slot's checksum may be right by its value.
    pub few_values: bool,
    pub trace: bool,
    pub reused: Reused,
}

impl World {
    pub fn new(seed: u64, fault: Option<Fault>, trace: bool) -> Self {
        let mut chance = Chance::new(seed);
        let few_values = chance.once_in(4);
        Self {
            disk: Disk::new(WORDS),
            chance,
            fault,
            live: Live::new(),
            oracle: Oracle::new(),
            boot: 1,
            telling: false,
            few_values,
            trace,
            reused: Reused::default(),
        }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn tell(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("    {}", line());
        }
    }

    // --- Words of a record -------------------------------------------------------------------

    pub fn record(&self, record: usize, word: usize) -> u64 {
        self.disk.load(record_at(record) + word)
    }

    pub fn put_record(&mut self, record: usize, word: usize, value: u64) {
        self.disk.store(record_at(record) + word, value);
    }

    pub fn slot(&self, record: usize, slot: usize, word: usize) -> u64 {
        self.disk.load(slot_at(record, slot) + word)
    }

    pub fn put_slot(&mut self, record: usize, slot: usize, word: usize, value: u64) {
        self.disk.store(slot_at(record, slot) + word, value);
    }

    pub fn state(&self, record: usize) -> State {
        State::unpack(self.record(record, STATE))
    }

    pub fn id(&self, record: usize) -> u64 {
        self.record(record, ID)
    }

    /// The variable's id, retired or not.
    pub fn plain_id(&self, record: usize) -> u64 {
        self.id(record) & !RETIRED
    }

    pub fn is_atomic(&self, record: usize) -> bool {
        self.record(record, ATOMIC) == 1
    }

    /// The record of a name, as a lookup finds it.
    pub fn find(&self, name: usize) -> Option<usize> {
        let record = self.live.index[name]?;
        let id = self.id(record);
        (id != 0 && id & RETIRED == 0 && self.name(record) == Some(name)).then_some(record)
    }

    pub fn is_tombstone(&self, record: usize, slot: usize) -> bool {
        self.slot(record, slot, DESC) == TOMBSTONE
    }

    pub fn is_durable(&self, record: usize, slot: usize) -> bool {
        let seal = self.slot(record, slot, SEAL);
        0 < seal && seal <= self.complete()
    }

    pub fn complete(&self) -> u64 {
        self.disk.load(COMPLETE)
    }

    // --- Names -------------------------------------------------------------------------------

    pub fn block_of(&self, record: usize) -> Option<usize> {
        let at = self.record(record, BLOCK_AT);
        (0..BLOCKS).find(|&block| at == block_at(block) as u64)
    }

    /// A block begins with the id of the variable whose name it holds: of two records that point to
    /// it after a cut, a retired one and the next user of the same name, only one has a good meta.
    pub fn long_name(&self, id: u64, name: usize) -> [u64; BLOCK] {
        let owner = if self.has(Fault::BlockWithoutId) { 0 } else { id };
        std::array::from_fn(|i| match i {
            0 => owner,
            1 => name as u64,
            _ => mix(name as u64, i as u64),
        })
    }

    /// What a record's meta must be: over its id and the whole of its name.
    pub fn meta(&self, record: usize) -> u64 {
        let head = [
            self.plain_id(record),
            self.record(record, NAME),
            self.record(record, ATOMIC),
            self.record(record, BLOCK_AT),
        ];
        let block = self.block_of(record);
        let rest = block.map_or(&[] as &[u64], |block| self.disk.words(block_at(block), BLOCK));
        // The block's owner must be the record's: a bad one makes a bad checksum.
        hash(head.into_iter().chain(rest.iter().copied()))
    }

    pub fn name(&self, record: usize) -> Option<usize> {
        let name = match self.block_of(record) {
            None => self.record(record, NAME),
            Some(block) => self.disk.load(block_at(block) + 1),
        };
        usize::try_from(name).ok().filter(|&name| name < NAMES)
    }

    pub fn is_long(name: usize) -> bool {
        LONG_NAMES.contains(&name)
    }

    // --- Slots -------------------------------------------------------------------------------

    pub fn extent_of(&self, record: usize, slot: usize) -> Option<usize> {
        (self.slot(record, slot, DESC) == VALUE | IN_EXTENT)
            .then(|| self.slot(record, slot, DATA) as usize)
            .filter(|&extent| extent < EXTENTS)
    }

    pub fn data(&self, record: usize, slot: usize) -> &[u64] {
        match self.extent_of(record, slot) {
            Some(extent) => self.disk.words(extent_at(extent), EXTENT),
            None => self.disk.words(slot_at(record, slot) + DATA, INLINE),
        }
    }

    pub fn checksum(&self, record: usize, slot: usize, seal: u64) -> u64 {
        let chunk = if self.has(Fault::NoChunkId) {
            0
        } else {
            self.disk.load(chunk_at(record / RECORDS_PER_CHUNK) + CHUNK_ID)
        };
        let desc = self.slot(record, slot, DESC);
        let head = [chunk, self.plain_id(record), self.slot(record, slot, VERSION), desc, seal];
        let place = if desc & IN_EXTENT == 0 { 0 } else { self.slot(record, slot, DATA) };
        let data = if desc == TOMBSTONE { &[] } else { self.data(record, slot) };
        hash(head.into_iter().chain([place]).chain(data.iter().copied()))
    }

    /// What stands for a slot in the sums.
    pub fn share(&self, record: usize, slot: usize) -> u64 {
        let check = self.slot(record, slot, CHECK);
        hash([self.plain_id(record), self.slot(record, slot, VERSION), check])
    }

    /// A slot that a writer may take.
    pub fn free_slot(&mut self, record: usize) -> usize {
        let state = self.state(record);
        if self.has(Fault::TwoSlots) {
            return 1 - state.current % 2;
        }
        (0..SLOTS)
            .find(|slot| ![state.current, state.a, state.b].contains(slot))
            .expect("three of four are taken at most")
    }

    pub fn next_version(&self, record: usize) -> u64 {
        (self.state(record).version + 1).max(self.live.version_base)
    }

    /// The value in a slot: None = removed. An error if its words are not those of one value.
    pub fn value(&self, record: usize, slot: usize) -> Result<Option<u64>, String> {
        match self.slot(record, slot, DESC) {
            TOMBSTONE => Ok(None),
            desc if desc & !IN_EXTENT == VALUE => {
                let words = self.data(record, slot);
                if self.is_atomic(record) || self.oracle.is_value(words) {
                    Ok(Some(words[0]))
                } else {
                    Err(format!("r{record} slot {slot} is torn"))
                }
            }
            desc => Err(format!("r{record} slot {slot} has desc {desc:#x}")),
        }
    }

    // --- Chunks ------------------------------------------------------------------------------

    /// What a chunk's header says, if it is a good one.
    pub fn header(&self, chunk: usize) -> Option<Kind> {
        let words = self.disk.words(chunk_at(chunk), CHUNK_HEADER);
        if words[1] != chunk as u64 || words[CHUNK_CHECK] != hash(words[..CHUNK_CHECK].to_vec()) {
            return None;
        }
        [Kind::Records, Kind::Blocks, Kind::Extents]
            .into_iter()
            .find(|&kind| words[0] == Self::magic(kind))
    }

    pub fn magic(kind: Kind) -> u64 {
        0xc0de_0000 + kind as u64
    }

    pub fn length(&self) -> usize {
        self.disk.load(LENGTH) as usize
    }

    pub fn new_id(&mut self) -> u64 {
        self.live.births = (self.live.births + 1).max(self.live.version_base);
        let id = self.live.births;
        self.oracle.id_given(id);
        id
    }

    pub fn free_extent(&mut self, extent: usize) {
        self.live.extents[extent] = false;
        self.live.freed_extents.push(extent);
    }

    pub fn free_block(&mut self, block: usize) {
        self.live.blocks[block] = false;
        self.live.freed_blocks.push(block);
    }

    /// Extents of a chunk that is one of extents, or blocks likewise: free ones.
    pub fn choose_extent(&mut self) -> Option<usize> {
        let is_free = |live: &Live, extent: usize| {
            !live.extents[extent] && live.kinds[extent / EXTENTS_PER_CHUNK] == Kind::Extents
        };
        let last = self.live.freed_extents.pop().filter(|&extent| is_free(&self.live, extent));
        if last.is_some() && self.chance.once_in(2) {
            self.reused.extents += 1;
            return last;
        }
        let start = self.chance.below(EXTENTS);
        (0..EXTENTS).map(|i| (start + i) % EXTENTS).find(|&extent| is_free(&self.live, extent))
    }

    pub fn choose_block(&mut self) -> Option<usize> {
        let is_free = |live: &Live, block: usize| {
            !live.blocks[block] && live.kinds[block / BLOCKS_PER_CHUNK] == Kind::Blocks
        };
        let last = self.live.freed_blocks.pop().filter(|&block| is_free(&self.live, block));
        self.reused.blocks += u64::from(last.is_some());
        last.or_else(|| (0..BLOCKS).find(|&block| is_free(&self.live, block)))
    }

    // --- Superblocks -------------------------------------------------------------------------

    pub fn superblock(&self, which: usize) -> Option<Superblock> {
        let words = self.disk.words(SUPERBLOCKS[which], SUPERBLOCK);
        let check = hash(words[..SUPERBLOCK - 1].iter().copied());
        (words[0] != 0 && words[SUPERBLOCK - 1] == check).then(|| Superblock {
            epoch: words[0],
            count: words[1],
            sum: words[2],
            count_all: words[3],
            sum_all: words[4],
        })
    }

    pub fn superblock_words(said: Superblock) -> [u64; SUPERBLOCK] {
        let words = [said.epoch, said.count, said.sum, said.count_all, said.sum_all];
        [words[0], words[1], words[2], words[3], words[4], hash(words)]
    }

    // --- Death -------------------------------------------------------------------------------

    /// The kernel frees what a dead process held.
    pub fn died(&mut self, process: u32) {
        let held = Lock::Held(process);
        let live = &mut self.live;
        for lock in live.locks.iter_mut().chain([&mut live.l, &mut live.t]) {
            if *lock == held {
                *lock = Lock::Died;
            }
        }
    }
}
