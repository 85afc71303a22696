//! Freeing space, and making more.

pub mod usage;
pub mod collect;
pub mod sweep;
pub mod grow;
pub mod reserve;
