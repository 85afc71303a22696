//! What waits for a change.

pub mod wake;
pub mod watches;
