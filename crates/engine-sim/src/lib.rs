//! Memories for the engine that behave like real ones at their worst, for its tests and for the
//! harnesses.
//!
//! - [`heap`]: plain words of this process.
//! - [`mortal`]: a process may die at any step.
//! - [`adversary`]: an attacker forges the values of loads.
//! - [`power`]: the disk behind the memory loses power.
//!
//! [`operations`] calls every operation of the engine and ignores the results.
//!
//! The engine's own tests on these memories are in `tests/`.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "words that are no shared memory")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "of a test: what must not fail is to be seen if it does"
)]

pub mod heap;
pub mod mortal;
pub mod adversary;
pub mod power;
pub mod operations;
