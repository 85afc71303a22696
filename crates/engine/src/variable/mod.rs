//! Operations on variables: what the library above is built of.

pub mod write;
pub mod read;
pub mod insert;
pub mod set;
pub mod follow;
