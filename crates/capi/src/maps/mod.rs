//! A map as a whole: opening it, and facts about it.

pub mod options;
pub mod map;
pub mod walk;
pub mod names;
pub mod facts;
pub mod presence;
