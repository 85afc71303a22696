//! Threads on several cores.

pub mod readers;
pub mod writer;
