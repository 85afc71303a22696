//! The workloads, one file each.

pub mod attach;
pub mod batch;
pub mod bytes;
pub mod child;
pub mod flush;
pub mod growth;
pub mod kill;
pub mod names;
pub mod readers;
pub mod wake;
pub mod watches;
pub mod writer;
