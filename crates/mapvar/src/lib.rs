//! Live, typed variables in memory that processes share, by a name or by a file, on Windows and
//! Linux.
//!
//! ```
//! # let name = format!("doc-lib.{}", std::process::id());
//! use mapvar::Map;
//!
//! // In one process:
//! let map = Map::options().name(&name).size(2000).create()?;
//! map.set("foo", "hello")?;
//! map.set("bar", 77)?;
//!
//! // In another:
//! let map = Map::open(&name)?;
//! let foo: String = map.get("foo")?;
//! let bar: i64 = map.get("bar")?;
//! assert_eq!((foo.as_str(), bar), ("hello", 77));
//! # Ok::<(), mapvar::Error>(())
//! ```
//!
//! # The nouns
//!
//! | noun | is |
//! | --- | --- |
//! | [`Map`] | named variables in a file or a named piece of memory; a cheap handle, to be cloned |
//! | [`Var`] | a handle to one variable: resolved once, then a few nanoseconds an operation |
//! | [`Atomic`] | a number of one machine word, with operations that take no lock |
//! | [`Watch`] | waits for one variable, or many, to change |
//! | [`Lock`] | a named lock, for the user's own critical sections: says who has it |
//! | [`Value`] | what a variable holds, when its type is not known beforehand |
//! | [`Section`], [`View`] | the system's memory itself: raw bytes, when no variables are wanted |
//!
//! # What it promises
//!
//! * Reading takes no lock and writes nothing, unless others rewrite the same variable without a
//!   pause: after eight attempts a reader waits its turn. A variable is always seen whole: old or
//!   new.
//! * A process may be killed at any instruction: what it had set stays set, what it was setting is
//!   set or not, and whoever comes next goes on at once.
//! * After a power cut a map in a file is as a complete [`Map::flush`] left it: the last one, or one
//!   that was under way. The last handle of a process flushes when it goes.
//! * Whatever another process writes into the memory, each call ends, with a result or an
//!   [`Error`]. Opening a map is a safe function; nothing here is `unsafe`.
//! * The same call means the same on every system; what a system cannot do answers
//!   [`ErrorKind::Unsupported`] and says what to use instead.
//! * A map belongs to its user alone (mode 0600; an explicit access list on Windows), and a name
//!   that another user has squatted is refused before a byte is read.
//!
//! What it does not promise: privacy or honest values against programs of the same user, which may
//! write to the memory as they like.
//!
//! # Values
//!
//! Any type that [serde](https://docs.rs/serde) knows. Numbers, `bool`, text, bytes and `None` have
//! kinds of their own ([`Kind`]); all else is stored as MessagePack with the names of its fields,
//! so that other languages and the command can show it. A value is as large as the map may grow.
//!
//! # Raw bytes
//!
//! ```
//! # let name = format!("doc-raw.{}", std::process::id());
//! use mapvar::{Name, Section};
//!
//! let section = Section::options().name(Name::new(&name)?).size(4096).create()?;
//! let view = section.view().offset(100).len(50).map()?;
//! view.write_string("hello")?;
//! assert_eq!(view.read_string(5)?, b"hello");
//! assert!(view.write_at(48, b"too long").is_err());
//! # Ok::<(), mapvar::Error>(())
//! ```
//!
//! # Coming from …
//!
//! | there | here |
//! | --- | --- |
//! | memmap2: `unsafe { MmapMut::map_mut(&file)? }`, then `&mut mmap[..]` | [`Section::options`]`().file(path).open()?.view().map()?`, then [`View::read_at`] and [`View::write_at`], which are safe though others write; [`View::as_slice`] is `unsafe` |
//! | memmap2: `mmap.flush()?` | [`View::flush_durable`] |
//! | `shared_memory`: `ShmemConf::new().size(4096).os_id("x").create()?` | [`Section::options`]`().name(Name::new("x")?).size(4096).create()?`: the name is the system's own, and ends with its last user everywhere |
//! | `shared_memory` with a lock of `raw_sync` in the memory | [`Map::set`] and [`Map::get`]: there is no lock to be left behind |
//! | .NET: `MemoryMappedFile.CreateNew("x", 4096)`, `OpenExisting` | [`Section::options`]`().name(Name::new("x")?)`, `.create()?` with a size, `.open()?` |
//! | .NET: `accessor.Write(16, 77)` | [`Map::set`]`("bar", 77)`, or [`View::write_at`] |
//! | Ruby's win32-mmap: `map.foo = 'hello'`, `map.foo` | [`Map::set`]`("foo", "hello")`, [`Map::get`]`("foo")` |
//!
//! # Modules
//!
//! A module imports only those before it in the list below.
#![forbid(unsafe_code)]

mod name;
mod report;
mod value;
mod gem;
mod map;
mod sync;
mod repair;

pub use gem::value::marshal_classes;
pub use map::{
    Map,
    atomic::{Atomic, Integer, Scalar},
    iter::{Entry, Iter},
    options::MapOptions,
    snapshot::Snapshot,
    transaction::Transaction,
    var::Var,
};
#[doc(inline)]
pub use mapvar_engine::{
    inspect::{
        survivors::Lost,
        verify::{Check, Finding, Severity},
    },
    value::Kind,
    version::Version,
};
#[doc(inline)]
pub use mapvar_os::faults::leave_alone as leave_faults_alone;
pub use mapvar_os::{
    Access, Error, ErrorKind, Holder, Name, Origin, Protection, Result, Scope, Section,
    SectionFlags, SectionOptions, View, ViewOptions, Words, WordsMut,
};
pub use repair::salvage::Salvage;
pub use report::{Clobbered, Format, LockStat, OnClobber, Recovery, Stat, Unlocked};
#[cfg(feature = "tokio")]
pub use sync::stream::Changes;
pub use sync::{
    change::Change,
    lock::{Claim, HeldLock, Lock, LockGuard, LockPlace},
    participants::{Participant, Watches},
    queue::Outcome,
    watch::Watch,
};
pub use value::Value;

/// The Rust blocks of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
