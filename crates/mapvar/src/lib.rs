//! mapvar
#![forbid(unsafe_code)]

mod alloc;
mod codec;
mod index;
mod iter;
mod layout;
mod map;
mod mem;
mod options;
mod raw;
mod region;
mod slots;
mod store;
mod trouble;
mod value;
mod var;

pub use iter::{Entry, Iter};
pub use map::{Map, Stat};
pub use mapvar_os::{
    Access, Error, ErrorKind, Holder, Name, Origin, Protection, Result, Scope, Section,
    SectionFlags, SectionOptions, View, ViewOptions,
};
pub use options::MapOptions;
pub use raw::Kind;
pub use value::Value;
pub use var::{Atomic, Integer, Scalar, Var};

/// The engine, for the harnesses of this repository: models, fuzzers, benchmarks. Not part of what
/// the version number promises.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        alloc::Space,
        index::Query,
        mem::{Fault, Load, Mapped, Mem, Ordering, Store as StoreWords, heap::Heap},
        raw::{Captured, Raw, Shot},
        region::{Facts, Flaw, Identity},
        slots::Seen,
        store::{Handle, Inserted, Store, Wrote},
        trouble::Trouble,
    };
    /// Making and recognising a region.
    pub mod region {
        pub use crate::region::{examine, format, format_table, region_bytes, table_chunks};
    }
    /// Offsets and sizes, for those who place faults.
    pub mod layout {
        pub use crate::layout::*;
    }
}

/// Bytes that a value can have, at the most, in this version.
pub const LONGEST_VALUE: usize = layout::RECORD_CLASSES[3];
