//! When a map in a file is trusted as it is, and when it is not: after errors of the disk, after a
//! remount, as a copy, through a second mount, and without the right to write.
//!
//! The tests start second processes: this executable again, in a role. They kill only processes
//! that they have started, and a test that needs a mount says SKIPPED where it may not mount.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

#[path = "../common/mod.rs"]
mod common;
mod copies;
#[cfg(target_os = "linux")]
mod mounts;
mod roles;
#[cfg(target_os = "linux")]
mod sync_errors;

use common::{Watchdog, role};
use std::time::Duration;

/// Not a test: the entry point of second processes.
#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let _watchdog = Watchdog::new("a second process", Duration::from_mins(2));
    roles::run(&role, &arguments);
}
