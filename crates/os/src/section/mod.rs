//! A section, and what a process has of it: views, lock words, a seat.

pub(crate) mod shared;
pub(crate) mod view;
pub(crate) mod handle;
pub(crate) mod lock;
pub(crate) mod seat;
pub(crate) mod ruby;
