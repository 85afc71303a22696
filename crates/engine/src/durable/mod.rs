//! Surviving a power cut, for a map in a file: checksums, the flush that makes a checkpoint, and
//! the recovery that finds the last one.

pub mod checksum;
pub mod dirty;
pub mod flush;
pub mod recover;
