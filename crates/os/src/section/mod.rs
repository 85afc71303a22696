//! A section, and the objects that a process creates from it: views, locks, a seat.

pub(crate) mod shared;
pub(crate) mod view;
pub(crate) mod handle;
pub(crate) mod lock;
pub(crate) mod spot;
pub(crate) mod seat;
pub(crate) mod ruby;
