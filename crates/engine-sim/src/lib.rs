//! Memories for the engine that do what real ones do at their worst, for its tests and for the
//! harnesses: words of this process ([`heap`]), of which a process may die at any step
//! ([`mortal`]), whose loads an attacker answers ([`adversary`]), and behind which a disk loses
//! power ([`power`]). [`operations`] calls every operation of the engine, whatever it reports.
//!
//! The engine's own tests on them are in `tests/`.
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
