//! One record: its slots, and the word that publishes one of them. No function here waits for a
//! lock.

pub mod owner;
pub mod wake;
pub mod turns;
pub mod read;
pub mod dirty;
pub mod write;
pub mod atomic;
pub mod wait;
pub mod changes;
