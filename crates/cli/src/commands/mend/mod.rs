//! Commands that free locks, and find and repair damage.

mod aside;
pub(super) mod unlock;
pub(super) mod check;
pub(super) mod repair;
pub(super) mod copy;
