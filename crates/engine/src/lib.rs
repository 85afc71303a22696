//! The engine of [mapvar](https://docs.rs/mapvar): a region of named variables in memory that
//! processes share, and the protocol that they follow. Programs use `mapvar`; of this crate's
//! interface no promise is made.
//!
//! The engine knows a region of words and nothing of values beyond their bytes: no MessagePack, no
//! types of users, no names of files. [`mem::Mem`] is its only way to the memory, so that the same
//! code runs on a mapping, under a model checker, and on a memory that lies.
//!
//! # Layers
//!
//! A module uses only those above it in this list; within a folder its `mod.rs` says the order. A
//! test (`xtask/tests/modules.rs`) reads paths and method calls, and finds what goes the
//! other way.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`layout`] | offsets, sizes and bits of the region, and nothing else |
//! | [`error`] | what can go wrong in the engine |
//! | [`mem`] | the seam to the memory: loads, stores, locks, wakes, barriers |
//! | [`value`], [`version`], [`header`], [`handle`] | values on their way in and out; versions; headers, made and recognised; a record that was checked |
//! | [`store`] | the store over its memory |
//! | [`record`] | one record: read, written and published, waited for |
//! | [`space`] | chunks, extents, pins; the walk over all records |
//! | [`index`] | names to records |
//! | [`locks`] | the engine's locks, and what a process does for a dead owner when it takes one |
//! | [`reclaim`] | space given back, and made: collection, sweep, growth |
//! | [`commit`] | transactions |
//! | [`durable`] | checksums, flush, recovery |
//! | [`variable`] | operations on variables by name, in terms of all the above |
//! | [`inspect`] | a region that is only looked at: whole or not, and what can be saved |
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
