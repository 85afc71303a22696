//! Checks maps that may be damaged, and saves the variables in them that are whole.

mod open;
pub(crate) mod check;
pub(crate) mod salvage;
