//! The C interface of mapvar. What it promises and what it asks of its caller stands in the header,
//! `include/mapvar.h`, which `cbindgen` makes from this crate (`cbindgen.toml` has its beginning); the
//! rules C1 to C4 that the proofs here name are the header's. `docs/DESIGN.md`, "The C interface",
//! says why it is as it is.
//!
//! Each exported function is a line or two: it looks at its arguments, calls the library, and
//! [`answer`](base::errors::answer) turns what comes of it, a panic too, into a code. Handles are
//! numbers of the table in [`base::handles`], never addresses, so none of them is ever followed.
#![allow(non_camel_case_types, reason = "the names of C")]
#![allow(clippy::missing_safety_doc, reason = "the header says it, for all of them: C1 to C4")]
#![allow(
    missing_debug_implementations,
    reason = "the types of handles, of which there is never one"
)]
#![allow(clippy::doc_markdown, reason = "what is documented here goes into a header of C")]
#![allow(clippy::too_many_arguments, reason = "results of C are arguments")]

pub mod base;
pub mod value;
pub mod maps;
pub mod variable;
pub mod wait;
pub mod raw;
pub mod gem;

#[cfg(test)]
mod tests;
