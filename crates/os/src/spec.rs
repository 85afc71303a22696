//! The plain data of the contract [`Platform`](crate::sys::Platform): what the common code asks of
//! a system, and what a system returns. Nothing here calls anything.

use crate::{
    error::{Error, Holder},
    name::Scope,
    options::Access,
};

/// What is asked of a section that may or may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It must not exist.
    Create,
    /// It must exist.
    Open,
    /// Either.
    OpenOrCreate,
}

impl How {
    /// For messages.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::OpenOrCreate => "open or create",
        }
    }
}

/// Whether a section was made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This call made it; its bytes are zero.
    Created,
    /// It was there.
    Opened,
}

/// The identity of a file: what tells it from a copy of it, or from another file at its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SectionId {
    /// Device (Unix) or volume serial number (Windows).
    pub volume: u64,
    /// Inode number or file id.
    pub file: u64,
    /// When it was made, in the system's own unit; 0 where the system does not tell so that it could
    /// be relied on (Windows).
    pub born: u64,
}

/// A range to map: aligned to the granularity, checked against the section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapSpec {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// How long it may become: `len` or more.
    pub(crate) reserve: usize,
    pub(crate) access: Access,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

/// The most seats that a section can have.
pub(crate) const MOST_SEATS: usize = 1 << 16;

/// Which seats there are, and what the system's objects for them are called.
#[derive(Clone, Debug)]
pub(crate) struct SeatSpec {
    #[allow(dead_code, reason = "only Windows has objects to name")]
    pub(crate) scope: Scope,
    #[allow(dead_code, reason = "only Windows has objects to name")]
    pub(crate) id: String,
    pub(crate) seats: usize,
    /// The seat that is taken has a number below this one.
    pub(crate) among: usize,
}

/// Where in the region the table of slots lies, and what its tokens are called.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "only Windows has tokens to name and slots to own")]
pub(crate) struct LockSpec {
    pub(crate) scope: Scope,
    pub(crate) id: String,
    pub(crate) table: usize,
    pub(crate) slots: usize,
}

// ---------------------------------------------------------------------------------------------
// The bits of a lock word.
//
// | bits of the word | meaning | who changes it |
// | --- | --- | --- |
// | 0..=29 | owner: thread id (Linux), slot and generation (Windows), or a mark; 0 = free | the thread that takes, frees or marks it; the kernel at death |
// | 30 `DIED` | the owner ended while it held the lock | the kernel (Linux) sets it, the next owner clears it |
// | 31 `WAITERS` | a thread sleeps on the word, or may | a thread sets it before it sleeps; the thread that frees the lock clears it with the word |

/// The owner's bits of a lock word.
pub(crate) const OWNER: u32 = 0x3fff_ffff;
/// The owner ended while it held the lock.
pub(crate) const DIED: u32 = 0x4000_0000;
/// A thread sleeps on the word.
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// Owners from here on are marks. Thread ids on Linux end at 2^22; slots and generations on
/// Windows are kept below.
pub(crate) const FIRST_MARK: u32 = 0x3fff_fff0;

/// A lock was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the lock is held until `unlock`"]
pub enum Taken {
    /// It was free.
    Clean,
    /// Its owner ended while it held it: what it protects may be half-changed.
    Recovered,
}

/// A lock was not taken.
#[derive(Debug)]
pub enum Refused {
    /// It bears this mark; take the lock that the mark stands for.
    Marked(u32),
    /// It was not free in time; its owner, where the system tells.
    TimedOut(Option<Holder>),
    /// This thread cannot take locks at all, and why.
    Failed(Error),
}
