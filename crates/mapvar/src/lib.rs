//! Typed variables that processes on one machine share by a name or by a file.
//!
//! One process sets a variable, another reads it, and neither waits for the other. The library runs
//! on Windows and Linux.
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
//! [`first_steps`] is one page with all that a beginner needs.
//!
//! # Types
//!
//! | type | purpose |
//! | --- | --- |
//! | [`Map`] | named variables in a file or in a named piece of memory; cheap to clone |
//! | [`MapOptions`] | creates or opens a map: name or file, size, scope, timeout |
//! | [`Var`] | a handle to one variable: resolved once, then a few nanoseconds an operation |
//! | [`PlainVar`] | the same for a `#[repr(C)]` struct, read and set at the speed of memory, whose fields every language reads by name |
//! | [`Atomic`] | a number of one machine word, with lock-free operations |
//! | [`Transaction`], [`Snapshot`] | several variables written as one, or read as of one instant |
//! | [`Watch`] | waits for one variable, or several, to change |
//! | [`Lock`](lock::Lock) | a named lock for the user's own critical sections; it reports its owner |
//! | [`Value`] | a value of a type that is known only at run time |
//! | [`Section`](section::Section), [`View`](section::View) | raw shared memory, without variables |
//!
//! # Guarantees
//!
//! For maps of the default layout, [`Format::Store`]:
//!
//! * A read returns a whole value, old or new. It takes no lock and writes nothing, unless writers
//!   change the variable during eight attempts: then the reader takes the variable's lock.
//! * A process may be killed at any instruction. Every value that it had set stays set, the value
//!   that it was setting is set or not, and other processes continue at once.
//! * After a power cut, a map in a file is as the last complete [`Map::flush`] left it, or one that
//!   was in progress. The last handle of a process flushes when it is closed or dropped.
//! * Every call ends with a result or an [`Error`], whatever another process writes into the
//!   memory. Every function of a map is safe to call.
//! * A call has the same meaning on every system. If a system cannot do it, the call fails with
//!   [`ErrorKind::Unsupported`], and the message names an alternative.
//! * A new map belongs to its user alone (mode 0600 on Unix, an explicit access list on Windows).
//!   A name that another user has taken is refused before a byte of it is read.
//!
//! There is no protection against programs of the same user: they can read the memory and write any
//! value to it.
//!
//! # Values
//!
//! A value is of any type that implements [serde](https://docs.rs/serde)'s traits. Numbers, `bool`,
//! text, bytes and `None` have kinds of their own ([`Kind`]). Every other type is stored as
//! MessagePack with the names of its fields, so that other languages and the command `mapvar` can
//! show it. A value may be as large as the map may grow.
//!
//! # Systems
//!
//! Maps work on Linux and on Windows; the tests for Windows have run under Wine only. On macOS and
//! FreeBSD, creating or opening a map of [`Format::Store`] fails with [`ErrorKind::Unsupported`].
//! `docs/PLATFORM.md` in the repository lists the differences between the systems.
//!
//! # Cargo features
//!
//! | feature | default | effect |
//! | --- | --- | --- |
//! | `stream` | off | `Watch::into_stream` returns the changes as a `Stream` (`Changes`), for any executor |
//! | `gem` | off | maps in the layout of Ruby's gem win32-mmap ([`Format::Marshal`]), and Ruby's Marshal format |
//! | `derive` | off | `#[derive(mapvar::Plain)]`, for structs that [`Map::plain`] stores as their bytes |
//!
//! # Raw bytes
//!
//! ```
//! # let name = format!("doc-raw.{}", std::process::id());
//! use mapvar::section::{Name, Section};
//!
//! let section = Section::options().name(Name::new(&name)?).size(4096).create()?;
//! let view = section.view().offset(100).len(50).map()?;
//! view.write_string("hello")?;
//! assert_eq!(view.read_string(5)?, b"hello");
//! assert!(view.write_at(48, b"too long").is_err());
//! # Ok::<(), mapvar::Error>(())
//! ```
//!
//! # Coming from other libraries
//!
//! | there | here |
//! | --- | --- |
//! | memmap2: `unsafe { MmapMut::map_mut(&file)? }`, then `&mut mmap[..]` | [`Section::options`](section::Section::options)`().file(path).open()?.view().map()?`, then [`View::read_at`](section::View::read_at) and [`View::write_at`](section::View::write_at), which are safe while others write; [`View::as_slice`](section::View::as_slice) is `unsafe` |
//! | memmap2: `mmap.flush()?` | [`View::flush_durable`](section::View::flush_durable) |
//! | `shared_memory`: `ShmemConf::new().size(4096).os_id("x").create()?` | [`Section::options`](section::Section::options)`().name(Name::new("x")?).size(4096).create()?`; the name ends with its last user on every system |
//! | `shared_memory` with a lock of `raw_sync` in the memory | [`Map::set`] and [`Map::get`]; a killed process leaves no lock behind |
//! | .NET: `MemoryMappedFile.CreateNew("x", 4096)`, `OpenExisting` | [`Section::options`](section::Section::options)`().name(Name::new("x")?)`, then `.create()?` with a size, or `.open()?` |
//! | .NET: `accessor.Write(16, 77)` | [`Map::set`]`("bar", 77)`, or [`View::write_at`](section::View::write_at) |
//! | Ruby's win32-mmap: `map.foo = 'hello'`, `map.foo` | [`Map::set`]`("foo", "hello")`, [`Map::get`]`("foo")`; [`Format::Marshal`] shares a map with the gem itself |
#![forbid(unsafe_code)]

// In the order of the layers: a module imports only modules that stand before it.
mod name;
mod name_table;
mod report;
mod value;
pub mod plain;
#[cfg(feature = "gem")]
pub mod gem;
#[cfg(not(feature = "gem"))]
mod gem;
mod map;
mod sync;
mod repair;

pub use map::{
    Map,
    atomic::{Atomic, Integer, Scalar},
    options::MapOptions,
    plain::{FieldVar, PlainVar},
    snapshot::Snapshot,
    transaction::Transaction,
    var::Var,
    versioned::Compared,
    walk::{
        entries::{Entry, Iter},
        names::Names,
    },
};
#[cfg(feature = "derive")]
#[doc(inline)]
pub use mapvar_derive::Plain;
#[doc(inline)]
pub use mapvar_engine::{value::Kind, version::Version};
#[doc(inline)]
pub use mapvar_os::{Error, ErrorKind, Holder, Origin, Result, Scope};
pub use plain::Plain;
pub use report::{Format, Recover, Recovery, Stat};
#[cfg(feature = "stream")]
pub use sync::stream::Changes;
pub use sync::{
    change::Change,
    participants::{Participant, Watches},
    watch::Watch,
};
pub use value::{
    Value,
    value_for::{FirstValue, ValueFor},
};

#[doc = include_str!("first_steps.md")]
pub mod first_steps {}

pub mod lock {
    //! Named locks for critical sections of the user's own; from [`Map::lock`](crate::Map::lock).

    pub use crate::sync::{
        lock::{Claim, Lock, LockGuard, LockMode, LockTicket, OwnedLockGuard},
        queue::Acquired,
    };
}

pub mod section {
    //! Raw shared memory, without variables: sections, and views of them.

    #[doc(inline)]
    pub use mapvar_os::faults::leave_alone as leave_faults_alone;
    #[doc(inline)]
    pub use mapvar_os::{
        Access, Name, Protection, Section, SectionFlags, SectionOptions, View, ViewOptions, Words,
        WordsMut,
    };
}

pub mod check {
    //! What a check, a salvage and a copy of a map report; from
    //! [`MapOptions::check`](crate::MapOptions::check),
    //! [`MapOptions::salvage`](crate::MapOptions::salvage) and
    //! [`Map::copy_to`](crate::Map::copy_to).

    pub use crate::repair::{copy::Copied, salvage::Salvage};
    #[doc(inline)]
    pub use mapvar_engine::inspect::{
        findings::{Check, Finding, Severity},
        survivors::Lost,
    };
}

#[doc(hidden)]
pub use mapvar_os::machine::Uncancelled;
