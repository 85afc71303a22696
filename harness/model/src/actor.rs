//! A process: what it is about, where it stands in that, and what it remembers. What a step needs
//! no more is set back, so that states that differ in nothing that matters are one.

use crate::{steps::Pc, world::Extent};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Name and value; how many chunks the value takes, 0 = it fits the slot.
    Set(u8, u8, u8),
    Remove(u8),
    Get(u8),
    /// Until the name's value is another.
    Wait(u8),
    /// Of a record.
    Collect(u8),
    Rebuild,
    /// Two names with value and chunks.
    Transact([(u8, u8, u8); 2]),
    /// The same, and it does not wait for a record that somebody has.
    TransactAtOnce([(u8, u8, u8); 2]),
    Snapshot([u8; 2]),
    Sweep,
    Grow,
    /// What the next to come does, whoever it is: takes T and L, which replays, and sweeps.
    Mend,
}

impl Deed {
    /// Name, value and chunks of the set, or of member `number` of the transaction.
    pub fn member(self, number: usize) -> (u8, u8, u8) {
        match self {
            Self::Set(name, value, run) => (name, value, run),
            Self::Remove(name) | Self::Get(name) | Self::Wait(name) => (name, 0, 0),
            Self::Transact(members) | Self::TransactAtOnce(members) => members[number],
            Self::Snapshot(names) => (names[number], 0, 0),
            _ => (0, 0, 0),
        }
    }

    pub fn is_transaction(self) -> bool {
        matches!(self, Self::Transact(_) | Self::TransactAtOnce(_))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Life {
    Running,
    /// On `wake` of its record, or on `births_wake`.
    Parked,
    /// On the lock of a record.
    Asleep,
    Dead,
    #[default]
    AtRest,
}

/// A lock word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Word {
    #[default]
    None,
    L,
    T,
    Record(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    pub life: Life,
    /// Which of its deeds it is at, how often that began again, and the next step.
    pub deed: u8,
    pub tries: u8,
    pub at: Pc,
    /// What the kernel looks at when it dies: on Linux the one pending word of a thread.
    pub pending: Word,

    // Where the parts that several deeds have in common go on.
    pub found: Pc,
    pub missed: Pc,
    pub locked: Pc,
    pub entered: Pc,
    pub left: Pc,
    pub freed: Pc,
    pub swept: Pc,
    pub grown: Pc,
    pub reserved: Pc,
    pub released: Pc,
    pub marked: Pc,

    /// L or T: which one is being taken, or was.
    pub word: Word,
    pub replaying: bool,
    /// The record whose lock is wanted.
    pub wanted: u8,
    /// The record that L's holder is at.
    pub target: u8,

    /// The variable.
    pub name: u8,
    pub record: u8,
    pub id: u8,
    pub version: u8,
    pub slot: u8,
    pub value: u8,

    // Lookup.
    pub seq: u8,
    pub root: u8,
    pub cell: u8,
    pub seen: u8,

    /// Counts through what a step goes through.
    pub i: u8,
    /// The same for marks, under which `i` may be in use.
    pub said: bool,
    pub attempts: u8,
    pub torn: bool,
    /// Values that the name had since a `get` began, a bit each.
    pub answers: u8,

    // Members of a transaction or snapshot.
    pub member: u8,
    pub records: [u8; 2],
    pub ids: [u8; 2],
    pub versions: [u8; 2],

    // Extents: reserved, replaced, being copied from or to, being freed.
    pub mine: [Extent; 2],
    pub old: [Extent; 2],
    pub copied: Extent,
    pub run: u8,
    pub freeing: Extent,
    pub chunk: u8,
    pub has_swept: bool,
    pub reserve_for: u8,
    pub reserve_id: u8,
    /// The value goes to the extent that the slot has.
    pub in_place: bool,
    pub length: u8,
}

impl Actor {
    /// At the beginning of a deed.
    pub fn begin(deed: u8, tries: u8) -> Self {
        Self { life: Life::Running, deed, tries, ..Self::default() }
    }
}
