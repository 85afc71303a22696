//! The C interface of mapvar. The header, `include/mapvar.h`, documents its promises and its
//! demands on the caller. `cbindgen` generates the header from this crate; its head is in
//! `cbindgen.toml`. The proofs here name the rules C1 to C4 of the header. `docs/DESIGN.md`, "The C
//! interface", gives the reasons.
//!
//! Each exported function is a line or two: it checks its arguments and calls the library.
//! [`run_call`](base::errors::run_call) turns the result, or a panic, into a code. Handles are keys
//! of the table in [`base::handles`], never addresses, so no handle is ever dereferenced.
#![allow(non_camel_case_types, reason = "the names of C")]
#![allow(clippy::missing_safety_doc, reason = "the header states it for all of them: C1 to C4")]
#![allow(missing_debug_implementations, reason = "handle types, of which no value exists")]
#![allow(clippy::doc_markdown, reason = "these docs go into a C header")]
#![allow(clippy::too_many_arguments, reason = "in C, results are arguments")]

pub mod base;
pub mod value;
pub mod maps;
pub mod variable;
pub mod wait;
pub mod raw;
pub mod gem;

#[cfg(test)]
mod tests;
