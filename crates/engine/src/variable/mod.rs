//! Operations on variables: what the library above is built of.

pub mod read;
pub mod write;
pub mod ephemeral;
pub mod named;
pub mod insert;
pub mod set;
pub mod follow;
