//! Read-only inspection of a region: no function here writes or takes a lock.

pub mod parts;
pub mod findings;
pub mod verify;
pub mod open;
pub mod survivors;

/// Returns whether the bytes are one whole MessagePack value. The engine knows no MessagePack, so
/// its caller provides this.
pub type IsMessagePack = fn(&[u8]) -> bool;
