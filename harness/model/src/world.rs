//! What the processes share, as small as it can be and still go wrong, and what the checker alone
//! knows beside it.

use crate::actor::Actor;

pub const RECORDS: usize = 3;
/// Names are numbers from 1 on.
pub const NAMES: usize = 4;
/// Words of an index.
pub const CELLS: usize = 4;
pub const CHUNKS: usize = 4;
/// The last one is who comes when all others are at rest: the janitor.
pub const ACTORS: usize = 4;
pub const JANITOR: usize = ACTORS - 1;

/// The version of a slot that holds nothing.
pub const INVALID: u8 = u8::MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lock {
    #[default]
    Free,
    /// By a process, which may be dead if nothing told the kernel of this word.
    Held(u8),
    /// The kernel says so.
    Died,
    MarkT,
    MarkL,
}

/// A run of chunks in one of its incarnations. Token 0 is no extent. The token is what the checker
/// alone knows: no step looks at it but to see what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extent {
    pub at: u8,
    pub token: u8,
}

impl Extent {
    pub const NONE: Self = Self { at: 0, token: 0 };

    pub fn is_some(self) -> bool {
        self.token != 0
    }

    pub fn chunk(self) -> usize {
        usize::from(self.at)
    }

    /// How a pin names it: never 0.
    pub fn pin(self) -> u8 {
        self.at + 1
    }
}

/// A value of 0 is the tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub version: u8,
    pub value: u8,
    /// Where the value is too long for the slot: it stands there instead.
    pub extent: Extent,
}

/// As in a map without a file: A and B go with `current`, so that two slots alternate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The allocation bit.
    pub taken: bool,
    pub id: u8,
    pub name: u8,
    /// `state`: version, current slot, WAIT.
    pub version: u8,
    pub current: u8,
    pub waited: bool,
    pub lock: Lock,
    pub wake: u8,
    pub slots: [Slot; 2],
}

impl Record {
    pub const EMPTY: Self = Self {
        taken: false,
        id: 0,
        name: 0,
        version: 0,
        current: 0,
        waited: false,
        lock: Lock::Free,
        wake: 0,
        slots: [Slot { version: INVALID, value: 0, extent: Extent::NONE }; 2],
    };

    pub fn current(&self) -> Slot {
        self.slots[usize::from(self.current)]
    }

    pub fn other(&self) -> usize {
        1 - usize::from(self.current)
    }

    /// Whether that slot refers to the extent that begins there, whatever its version is.
    pub fn refers(&self, slot: usize, at: u8) -> bool {
        self.slots[slot].extent.is_some() && self.slots[slot].extent.at == at
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cell {
    #[default]
    Empty,
    Tombstone,
    Record(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Table {
    pub taken: bool,
    pub cells: [Cell; CELLS],
}

impl Table {
    pub fn place_of(&self, record: usize) -> Option<usize> {
        self.cells.iter().position(|cell| *cell == Cell::Record(record as u8))
    }

    pub fn vacancy(&self) -> Option<usize> {
        self.cells.iter().position(|cell| !matches!(cell, Cell::Record(_)))
    }
}

/// A word of the chunk table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Chunk {
    #[default]
    Free,
    /// The first one of so many.
    First(u8),
    Further,
}

/// What lies in a chunk: the head, if it is the first of an extent, and the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// What the checker alone knows.
    pub token: u8,
    pub record: u8,
    pub id: u8,
    /// Who fills it, plus 1; 0 once a slot refers to it.
    pub filler: u8,
    pub data: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Operation {
    #[default]
    Nothing,
    Insert,
    Unlink,
    Root,
    /// A run of chunks is taken: from `old`, `new` chunks.
    Run,
}

/// The journal of L.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    pub operation: Operation,
    pub record: u8,
    pub old: u8,
    pub new: u8,
}

/// The journal of T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Members {
    pub committed: bool,
    pub count: u8,
    pub records: [u8; 2],
    pub slots: [u8; 2],
    pub versions: [u8; 2],
}

/// What the checker alone knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// The value of each name that was published last; 0 = not there.
    pub values: [u8; NAMES],
    /// What was committed: ids and versions of both records.
    pub committed: [[(u8, u8); 2]; 2],
    pub commits: u8,
    pub deaths: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub structure: Lock,
    pub transactions: Lock,
    pub journal: Journal,
    pub members: Members,
    pub records: [Record; RECORDS],
    pub tables: [Table; 2],
    pub root: u8,
    pub index_seq: u8,
    pub births: u8,
    pub births_wake: u8,
    pub tseq: u8,
    pub chunks: [Chunk; CHUNKS],
    pub contents: [Content; CHUNKS],
    /// Extents ever reserved: what the checker alone knows.
    pub tokens: u8,
    /// The word `chunks`, and how long the section is.
    pub chunk_count: u8,
    pub section: u8,
    /// Of each process, as `Extent::pin`; 0 = none.
    pub pins: [u8; ACTORS],
    pub actors: [Actor; ACTORS],
    pub truth: Truth,
}

impl World {
    pub fn table(&self) -> &Table {
        &self.tables[usize::from(self.root)]
    }

    /// The record of a name, as who holds L finds it.
    pub fn find(&self, name: u8) -> Option<usize> {
        let mut found = None;
        for cell in self.table().cells {
            match cell {
                Cell::Empty => break,
                Cell::Record(record) if found.is_none() => {
                    let record = usize::from(record);
                    let seen = &self.records[record];
                    if seen.id != 0 && seen.name == name {
                        found = Some(record);
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether an extent is what it was, as the checker knows.
    pub fn stands(&self, extent: Extent) -> bool {
        matches!(self.chunks[extent.chunk()], Chunk::First(_))
            && self.contents[extent.chunk()].token == extent.token
    }

    /// Where there are so many chunks free in a row.
    pub fn free_run(&self, run: u8) -> Option<usize> {
        let (count, run) = (usize::from(self.chunk_count), usize::from(run));
        (0..count).find(|&first| {
            first + run <= count
                && self.chunks[first..first + run].iter().all(|chunk| *chunk == Chunk::Free)
        })
    }
}
