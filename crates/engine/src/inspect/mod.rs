//! A region that is only looked at: nothing here writes or takes a lock.

pub mod parts;
pub mod verify;
pub mod open;
pub mod survivors;

/// Whether bytes are one MessagePack value, whole. The engine knows no MessagePack, so that its
/// caller says.
pub type IsMessagePack = fn(&[u8]) -> bool;
