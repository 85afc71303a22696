//! Commands for what a process left behind: locks and damage.

pub(super) mod unlock;
pub(super) mod check;
pub(super) mod repair;
