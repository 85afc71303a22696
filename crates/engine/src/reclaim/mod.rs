//! Space that is given back, and space that is made.

pub mod collect;
pub mod sweep;
pub mod grow;
pub mod reserve;
