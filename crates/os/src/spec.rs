//! The plain data of the contract [`Platform`](crate::sys::Platform): the requests of the common
//! code and the results of a system.

use crate::{
    error::{Error, Holder},
    name::Scope,
    options::Access,
};

/// How a section is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The section must not exist.
    Create,
    /// The section must exist.
    Open,
    /// The section is opened if it exists, and created otherwise.
    OpenOrCreate,
}

impl How {
    /// Returns the operation, for messages.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::OpenOrCreate => "open or create",
        }
    }
}

/// Whether a section was created or opened.
///
/// ```
/// use mapvar_os::{Origin, Section};
///
/// let section = Section::options().size(4096).create()?;
/// assert_eq!(section.origin(), Origin::Created);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This call created the section; its bytes are zero unless a `fill` function wrote to them.
    Created,
    /// The section existed.
    Opened,
}

/// The identity of a file, which differs from that of a copy, or of another file at the same path.
///
/// ```
/// let section = mapvar_os::Section::options().size(4096).create()?;
/// assert_eq!(section.id()?, None, "an anonymous section has no file");
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SectionId {
    /// Number of the file system, which a remount does not change: its own id (Linux), or the
    /// volume serial number (Windows). 0 if the system has none.
    pub volume: u64,
    /// Number of the mounted device (Unix); 0 on Windows. A remount may change it, and two mounts
    /// of one file that do not share locks have different ones.
    pub device: u64,
    /// Inode number or file id.
    pub file: u64,
    /// Time of creation, in the system's own unit; 0 if the system does not report it reliably
    /// (Windows).
    pub born: u64,
    /// Whether the file system itself keeps these numbers, and shares locks and pages with every
    /// view of the file on this machine. False for network drives and for FUSE.
    pub lasting: bool,
}

impl SectionId {
    /// Returns whether both are the same file; `None` if the system does not report enough to tell.
    ///
    /// A remount may give the file another [`device`](Self::device), and an overlay shows the file
    /// of its upper layer under another one. Then the file system's own number decides, or the
    /// time of creation.
    pub fn is_same_file(&self, other: &Self) -> Option<bool> {
        if (self.file, self.born) != (other.file, other.born) {
            return Some(false);
        }
        if self.device == other.device && (self.device != 0 || self.volume == other.volume) {
            return Some(true);
        }
        match (self.volume, other.volume) {
            (0, _) | (_, 0) => (self.born != 0).then_some(true),
            (one, two) => Some(one == two),
        }
    }
}

/// A range to map, aligned to the granularity and checked against the section's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapSpec {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// Length to which the mapping may grow: `len` or more.
    pub(crate) reserve: usize,
    pub(crate) access: Access,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

/// The maximum number of seats of a section.
pub(crate) const MOST_SEATS: usize = 1 << 16;

/// The number of seats, and the names of the system's objects for them.
#[derive(Clone, Debug)]
pub(crate) struct SeatSpec {
    #[allow(dead_code, reason = "only Windows has objects to name")]
    pub(crate) scope: Scope,
    #[allow(dead_code, reason = "only Windows has objects to name")]
    pub(crate) id: String,
    pub(crate) seats: usize,
    /// Upper bound, exclusive, of the number of the seat that is taken.
    pub(crate) among: usize,
}

/// The position of the table of slots in the region, and the names of its tokens.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "only Windows has tokens to name and slots to own")]
pub(crate) struct LockSpec {
    pub(crate) scope: Scope,
    pub(crate) id: String,
    pub(crate) table: usize,
    pub(crate) slots: usize,
    /// Whether the region is only read, so that no lock of it is ever taken.
    pub(crate) reading: bool,
}

// ---------------------------------------------------------------------------------------------
// The bits of a lock word.
//
// | bits of the word | meaning | changed by |
// | --- | --- | --- |
// | 0..=29 | owner: thread id (Linux), slot and generation (Windows), or a mark; 0 = free | the thread that acquires, releases or marks the lock; the kernel at its death |
// | 30 `DIED` | the owner ended while it owned the lock | the kernel (Linux) sets it, the next owner clears it |
// | 31 `WAITERS` | a thread may sleep on the word | a thread sets it before it sleeps; the thread that releases the lock clears it with the word |

/// The bits of a lock word that name the owner.
pub(crate) const OWNER: u32 = 0x3fff_ffff;
/// The owner ended while it owned the lock.
pub(crate) const DIED: u32 = 0x4000_0000;
/// A thread may sleep on the word.
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// The first mark; all owners below it are threads. Thread ids on Linux end at 2^22; owners on
/// Windows (slot and generation) are kept below the first mark.
pub(crate) const FIRST_MARK: u32 = 0x3fff_fff0;

/// The state of a lock that [`Locks::lock`](crate::Locks::lock) has acquired.
///
/// ```
/// use mapvar_os::Taken;
///
/// fn must_repair(taken: Taken) -> bool {
///     match taken {
///         Taken::Clean => false,
///         // The dead owner may have left the protected data half-changed.
///         Taken::Recovered => true,
///     }
/// }
/// assert!(must_repair(Taken::Recovered));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the lock is held until `unlock`"]
pub enum Taken {
    /// The lock was free.
    Clean,
    /// The previous owner ended while it owned the lock; the protected data may be half-changed.
    Recovered,
}

/// The reason why [`Locks::lock`](crate::Locks::lock) did not acquire a lock.
///
/// ```
/// use mapvar_os::{Holder, Refused};
///
/// fn message(refused: &Refused) -> String {
///     match refused {
///         Refused::Marked(mark) => format!("marked {mark:#x}"),
///         Refused::TimedOut(Some(owner)) => format!("owned by {owner}"),
///         Refused::TimedOut(None) => "not released in time".into(),
///         Refused::Failed(error) => error.to_string(),
///     }
/// }
/// assert_eq!(message(&Refused::TimedOut(Some(Holder::new(17)))), "owned by process 17");
/// ```
#[derive(Debug)]
pub enum Refused {
    /// The lock word contains this mark; the caller acquires the lock that the mark stands for.
    Marked(u32),
    /// The lock was not released in time; contains its owner, if the system reports it.
    TimedOut(Option<Holder>),
    /// This thread cannot acquire locks; contains the cause.
    Failed(Error),
}
