//! Handles to plain structs, and access to their fields by name.

mod place;
mod field;
mod var;

pub use field::FieldVar;
pub use var::PlainVar;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by a panic"
)]
mod tests;
