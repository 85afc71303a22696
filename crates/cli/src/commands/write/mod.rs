//! Commands that change variables.

pub(super) mod set;
pub(super) mod rm;
