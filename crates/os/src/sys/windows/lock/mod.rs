//! Lock words whose owner is known by a mutex that it owns, and the events that end a sleep.

pub(crate) mod event;
pub(crate) mod token;
pub(crate) mod locks;
