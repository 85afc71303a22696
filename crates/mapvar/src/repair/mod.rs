//! Maps that may be damaged: checked, and what is whole in them saved.

mod open;
pub(crate) mod check;
pub(crate) mod salvage;
