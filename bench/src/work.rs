//! The workloads, one file each.

pub mod attach;
pub mod batch;
pub mod bytes;
pub mod child;
pub mod cores;
pub mod flush;
pub mod growth;
pub mod kill;
pub mod names;
pub mod waiting;
