//! Commands that run until something happens, or as long as another command does.

mod alongside;
pub(super) mod watch;
pub(super) mod wait_for;
pub(super) mod hold;
pub(super) mod lock;
