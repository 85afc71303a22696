//! The command as its users see it: real processes, their output and their exit codes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail, also in its helpers"
)]

mod bad_input;
mod damage;
mod demo;
mod files;
mod harness;
mod names;
#[cfg(target_os = "linux")]
mod surroundings;
mod usage;
mod waits;
