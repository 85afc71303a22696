//! Threads on several cores.

pub mod crowd;
pub mod pauses;
pub mod readers;
pub mod writer;
