//! The types of handles: names that C has for numbers, of which there is never a value. Each stands
//! for an object in the table of `handles.rs`.

use mapvar::{Access, Atomic};

/// How to make or open a map: a name or a file is needed, all else may be left as it is. Can be used
/// any number of times. Threads that use one at once take turns.
pub struct mapvar_options;

/// Named variables in a piece of memory that other processes share. Any number of threads may use one
/// at once. A child of a fork gets MAPVAR_CLOSED from its parent's and opens its own.
pub struct mapvar_map;

/// A value of any kind: what a variable holds, or is to hold. It never changes, so any number of
/// threads may use it at once. It is a copy: what happens to the variable does not concern it.
pub struct mapvar_value;

/// A variable, found once: each call by it saves looking for the name. It keeps its map open. Any
/// number of threads may use one at once. Where the variable is removed it answers MAPVAR_REMOVED
/// until there is one of that name again, and then it is that one's.
pub struct mapvar_var;

/// A number of one machine word, for ever of its type (int64_t, uint64_t, double or bool), whose
/// operations take no lock and have no versions. It keeps its map open. Any number of threads may use
/// one at once; each operation is of one of its type, else MAPVAR_WRONG_KIND.
pub struct mapvar_atomic;

/// Many variables, read and written as one: what is set here is kept aside until
/// mapvar_transaction_commit, and then there whole or not at all. No lock is held meanwhile. Begin,
/// read and set, commit; whichever of these answers MAPVAR_CONFLICT: mapvar_transaction_restart, and
/// all of it once more. Up to 512 variables, no atomic. It keeps its map open. Threads that use one at
/// once take turns.
pub struct mapvar_transaction;

/// Several variables as they were at one instant. It never changes.
pub struct mapvar_snapshot;

/// A walk over the variables of a map, in no order that means anything. Others may set, make and remove
/// variables meanwhile: one that is there throughout comes exactly once. It keeps its map open. Threads
/// that use one at once take turns.
pub struct mapvar_iter;

/// A variable as a walk found it: name, value and version of one moment. It never changes.
pub struct mapvar_entry;

/// Waits for variables of a map to change. It begins with its making: what changes after that is told,
/// whether somebody waits at that moment or not. It keeps its map open. Threads that use one at once take
/// turns: a thread that wants one to itself makes its own.
pub struct mapvar_watch;

/// A change as a watch saw it: the newest value when it was asked. It never changes.
pub struct mapvar_change;

/// A named lock of a map. It keeps its map open. Any number of threads may use one at once.
pub struct mapvar_lock;

/// That a lock is had: until this is given back, or the process ends in any way. Any thread may give it
/// back.
pub struct mapvar_held;

/// A place in the queue of a lock.
pub struct mapvar_place;

/// Facts and figures of a map, of one moment.
pub struct mapvar_stat;

/// What a check found.
pub struct mapvar_check;

/// What was salvaged from a damaged map, and what not.
pub struct mapvar_salvage;

/// What was seen to be erased of what a map had set. It never changes.
pub struct mapvar_clobbered;

/// How the lock of a gem's map went, up to one moment.
pub struct mapvar_lock_stat;

/// How to make or open a section. Without a file and a name it is anonymous: of this process alone.
pub struct mapvar_section_options;

/// The system's object: a file, a named piece of memory, or an anonymous one. Any number of threads may
/// use one at once. A named one lives until its last handle and view is gone.
pub struct mapvar_section;

/// Which range of a section to map, and how: the whole, for reading and writing, unless changed.
pub struct mapvar_view_options;

/// A range of a section, mapped into this process. Any number of threads may use one at once; bytes
/// that another process writes meanwhile come old or new, each by itself. Offsets count from the
/// range's first byte.
pub struct mapvar_view;

/// The object of a [`mapvar_atomic`], of whatever type it is.
pub(crate) enum AnyAtomic {
    I64(Atomic<i64>),
    U64(Atomic<u64>),
    F64(Atomic<f64>),
    Bool(Atomic<bool>),
}

/// The object of a [`mapvar_view_options`].
#[derive(Clone, Default)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) len: Option<u64>,
    pub(crate) reserve: u64,
    pub(crate) access: Option<Access>,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}
