//! Watches for changes of variables, user locks, and the processes that have a map open.

pub(crate) mod change;
mod watched;
mod watch_set;
pub(crate) mod watch;
mod until;
#[cfg(feature = "stream")]
pub(crate) mod notifier;
#[cfg(feature = "stream")]
pub(crate) mod stream;
pub(crate) mod queue;
pub(crate) mod lock;
#[cfg(feature = "stream")]
mod async_lock;
pub(crate) mod participants;
