//! The engine of [mapvar](https://docs.rs/mapvar): a region of named variables in shared memory,
//! and the protocol that its processes follow. Programs use `mapvar`. The interface of this crate
//! carries no stability promise.
//!
//! The engine knows a region of words, and values only as bytes: no MessagePack, no user types, no
//! file names. [`mem::Mem`] is its only way to the memory. So the same code runs on a mapping,
//! under a model checker, and on a memory that returns forged words.
//!
//! # Layers
//!
//! A module uses only the modules above it in this list. Within a folder, the order of the
//! declarations in its `mod.rs` counts. A test (`xtask/tests/modules.rs`) reads paths and method
//! calls, and finds each use in the wrong direction.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`layout`] | offsets, sizes and bits of the region, and nothing else |
//! | [`error`] | the errors of the engine |
//! | [`mem`] | the seam to the memory: loads, stores, locks, wakes, barriers |
//! | [`value`], [`version`], [`header`], [`handle`] | values on their way in and out; versions; headers, written and validated; a validated record |
//! | [`store`] | the store over its memory |
//! | [`record`] | one record: read, written and published, waited for |
//! | [`space`] | chunks, extents, pins; the walk over all records |
//! | [`index`] | names to records |
//! | [`locks`] | the engine's locks, and the replay of a dead owner's journal when a process takes one |
//! | [`reclaim`] | freeing and making space: collection, sweep, growth |
//! | [`commit`] | transactions |
//! | [`durable`] | checksums, flush, recovery |
//! | [`variable`] | operations on variables by name, in terms of all the above |
//! | [`inspect`] | read-only inspection of a region: whether it is whole, and which variables can be saved |
#![forbid(unsafe_code)]

pub mod layout;
pub mod error;
pub mod mem;
pub mod value;
pub mod version;
pub mod header;
pub mod handle;
pub mod store;
pub mod record;
pub mod space;
pub mod index;
pub mod locks;
pub mod reclaim;
pub mod commit;
pub mod durable;
pub mod variable;
pub mod inspect;
