//! The handle types: C's names for numbers. No value of these types ever exists; each stands for an
//! object in the table of `handles.rs`.

use mapvar::{Atomic, Names, section::Access};
use std::vec;

/// Options to create or open a map: a name or a file is required, all else is optional. They can be
/// used any number of times. Any number of threads may use one at once.
pub struct mapvar_options;

/// Named variables in memory that processes share. Any number of threads may use one at once. In
/// the child of a fork, calls on a parent's map fail with MAPVAR_CLOSED; the child opens its own.
pub struct mapvar_map;

/// A value of any kind, read from a variable or to be stored in one. It never changes, so any
/// number of threads may use it at once. It is a copy: later changes of the variable do not affect
/// it.
pub struct mapvar_value;

/// A variable, looked up once: calls through it skip the search for the name. It is closed with its
/// map. Any number of threads may use one at once. The variable need not exist: without it, reading
/// fails with MAPVAR_NOT_FOUND, and a set creates it.
pub struct mapvar_var;

/// A number of one machine word whose operations take no lock. Its type (int64_t, uint64_t, double
/// or bool) is permanent, and it has no versions. It is closed with its map. Any number of threads
/// may use one at once. An operation of another type fails with MAPVAR_WRONG_KIND.
pub struct mapvar_atomic;

/// Many variables, read and written as one. Writes are buffered until mapvar_transaction_commit,
/// which publishes all of them or none. No lock is held meanwhile. Begin, read and set, commit. If
/// any of these returns MAPVAR_CONFLICT, call mapvar_transaction_restart and repeat everything. Up
/// to 512 variables, no atomics. It is closed with its map. Threads that use one at once take turns.
pub struct mapvar_transaction;

/// Several variables as they were at one instant. It never changes.
pub struct mapvar_snapshot;

/// A walk over the variables of a map, in no particular order. Other processes may set, create and
/// remove variables meanwhile; a variable that exists throughout appears exactly once. It is closed
/// with its map. Threads that use one at once take turns.
pub struct mapvar_iter;

/// A walk over the names of a map's variables, which copies no values. It is closed with its map.
/// Threads that use one at once take turns.
pub struct mapvar_names;

/// A variable as a walk found it: name, value and version at one moment. It never changes.
pub struct mapvar_entry;

/// Waits for variables of a map to change. It reports every change after its creation, also one
/// that came while no thread waited. It is closed with its map. Threads that use one at once take
/// turns; a thread that needs one for itself creates its own.
pub struct mapvar_watch;

/// A change as a watch reported it, with the newest value at that moment. It never changes.
pub struct mapvar_change;

/// A named lock of a map. It is closed with its map. Any number of threads may use one at once.
pub struct mapvar_lock;

/// An acquired lock: held until this is released, or the process ends in any way. Any thread may
/// release it. It keeps its map open.
pub struct mapvar_held;

/// A place in the queue of a lock. It is closed with its map.
pub struct mapvar_ticket;

/// Figures of a map at one moment.
pub struct mapvar_stat;

/// The findings of a check.
pub struct mapvar_check;

/// The variables salvaged from a damaged map, and those lost.
pub struct mapvar_salvage;

/// Variables set by a map that gems were seen to erase. It never changes.
pub struct mapvar_clobbered;

/// Statistics of the lock of a gem's map, up to one moment.
pub struct mapvar_lock_stat;

/// Options to create or open a section. Without a file and a name the section is anonymous: private
/// to this process.
pub struct mapvar_section_options;

/// The system's object: a file, a named piece of memory, or an anonymous one. Any number of threads
/// may use one at once. A named one lives until its last handle and view are gone.
pub struct mapvar_section;

/// Which range of a section to map, and how; by default the whole section, for reading and writing.
pub struct mapvar_view_options;

/// A range of a section, mapped into this process. Any number of threads may use one at once. If
/// another process writes bytes meanwhile, each single byte read is either old or new. Offsets
/// count from the first byte of the range.
pub struct mapvar_view;

/// The object of a [`mapvar_atomic`], of any type.
pub(crate) enum AnyAtomic {
    I64(Atomic<i64>),
    U64(Atomic<u64>),
    F64(Atomic<f64>),
    Bool(Atomic<bool>),
}

/// The object of a [`mapvar_names`]: the names to come, and the one that did not fit
/// the caller's buffer.
pub(crate) struct NameWalk {
    pub(crate) left: NamesLeft,
    pub(crate) next: Option<String>,
}

pub(crate) enum NamesLeft {
    AsFound(Names<'static>),
    Sorted(vec::IntoIter<String>),
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
