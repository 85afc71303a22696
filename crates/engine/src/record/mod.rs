//! One record: four slots and the word that publishes one of them. Nothing here takes a lock that
//! it does not find free at once.

pub mod owner;
pub mod wake;
pub mod read;
pub mod write;
pub mod atomic;
pub mod wait;
