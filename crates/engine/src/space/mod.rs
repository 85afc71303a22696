//! The bytes of the region: chunks, the parts that they are divided into, and the extents of large
//! values.

pub(crate) mod data;
pub mod chunks;
pub mod usage;
pub mod walk;
pub mod pin;
pub mod extents;
