//! The files that maps lie in: what they hold byte by byte, what a flush leaves, how they grow, and
//! what becomes of those that are damaged or no maps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test fails by a panic, and says what it saw"
)]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod durable;
mod fixtures;
mod format;
mod growth;
mod hostile;
