//! Commands that read a map and do not change it.

pub(super) mod get;
pub(super) mod list;
pub(super) mod stat;
pub(super) mod locks;
pub(super) mod who;
