//! Calls that wait for other processes: for a change, or for a lock.

pub mod watch;
pub mod until;
pub mod locks;
