//! The command as its users see it: real processes, their output and their exit codes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may fail, also in its helpers, and says what it skips"
)]

mod bad_input;
mod bridge;
mod damage;
mod demo;
mod files;
mod harness;
mod kinds;
#[cfg(unix)]
mod messages;
mod names;
mod structs;
#[cfg(target_os = "linux")]
mod surroundings;
mod usage;
mod waits;
