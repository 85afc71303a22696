//! The bytes of the region: chunks, the parts that they are divided into, and the extents of large
//! values.

pub(crate) mod data;
mod spare;
pub(crate) mod table;
pub(crate) mod runs;
pub mod chunks;
pub mod walk;
pub mod pin;
pub mod extents;
