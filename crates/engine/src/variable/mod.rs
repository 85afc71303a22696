//! Operations on variables, of which the library above consists.

pub mod read;
pub mod write;
pub mod here;
pub mod ephemeral;
pub mod count;
pub mod named;
pub mod insert;
pub mod set;
pub mod follow;
