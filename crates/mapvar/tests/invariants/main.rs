//! Small tests of the invariants of the threat model, I1 to I21, each named by its number.
//! docs/INVARIANTS.md has a table of the test, and of the larger harness, for each invariant.
//!
//! The tests of sharing start second processes: this executable again, in a role. No test asserts a
//! time. A watchdog ends a test that hangs. A test kills only processes that it has started.
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
mod death;
mod disk;
mod memory;
mod names;
mod peer;
#[cfg(unix)]
mod unix;

use common::{Watchdog, role};
use std::time::Duration;

/// Not a test: the entry point of second processes.
#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let _watchdog = Watchdog::new("a second process", Duration::from_mins(2));
    match role.as_str() {
        "storm" => death::storm(&arguments),
        "set on" => death::set_on(&arguments),
        "set once" => death::set_once(&arguments),
        "rewrite" => memory::rewrite(&arguments),
        "hold" => names::hold(&arguments),
        "race" => names::race(&arguments),
        "create" => names::create(&arguments),
        #[cfg(unix)]
        "fill up" => unix::fill_up(&arguments),
        #[cfg(unix)]
        "fork" => unix::fork_with_a_map(&arguments),
        #[cfg(unix)]
        "fork-amid" => unix::fork_amid_threads(&arguments),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        "no-lists" => unix::without_robust_lists(&arguments),
        #[cfg(unix)]
        "spawn" => unix::spawn_under_locks(&arguments),
        #[cfg(unix)]
        "overflow" => unix::overflow_after_a_loss(&arguments),
        #[cfg(unix)]
        "calls" => unix::calls(&arguments),
        other => panic!("no role {other}"),
    }
}
