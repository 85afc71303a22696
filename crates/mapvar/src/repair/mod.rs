//! Checks maps that may be damaged, saves the variables in them that are whole, and copies maps in
//! use.

mod open;
mod structs;
pub(crate) mod check;
pub(crate) mod salvage;
pub(crate) mod copy;
