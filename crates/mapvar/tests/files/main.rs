//! The files of maps: their content byte by byte, their state after a flush, their growth, and the
//! treatment of files that are damaged or are no maps.
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
#[cfg(feature = "derive")]
mod layouts;
#[cfg(target_os = "linux")]
mod sparse;
#[cfg(unix)]
mod names;
mod size;
