//! Commands that run until an event, or while another command runs.

mod signals;
mod alongside;
pub(super) mod watch;
pub(super) mod wait_for;
pub(super) mod hold;
pub(super) mod lock;
pub(super) mod bridge;
