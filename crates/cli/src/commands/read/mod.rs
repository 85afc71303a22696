//! Commands that look into a map and leave it as it is.

pub(super) mod get;
pub(super) mod list;
pub(super) mod stat;
pub(super) mod locks;
pub(super) mod who;
