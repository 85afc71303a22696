//! Ruby's Marshal 4.8, as far as a map of the gem win32-mmap needs it: one Hash of variables.
//! Single variables are read, set and removed, while all others keep their bytes.
//!
//! The bytes may be hostile. No code in them runs. The only structures built from them are tables
//! of where objects and Symbols begin. A claimed length or count is compared with the remaining
//! bytes before it is trusted. No function recurses with the nesting, except for a fixed number of
//! levels of lists and dictionaries. So memory stays below 64 times the input, and the time of each
//! operation grows with the input.
//!
//! The modules, in this order:
//!
//! * `bytes`: the smallest parts;
//! * `walk`: the grammar;
//! * `scan`: where objects and Symbols begin;
//! * `write`: writing a dump from parts of others;
//! * `view`: a [`Value`] from an object, and `encode`, the reverse;
//! * `classes`: the classes that a dump names;
//! * `dump`: the Hash.
//!
//! [`Value`]: crate::Value

mod parse_error;
mod bytes;
mod walk;
mod scan;
mod write;
mod number;
mod view;
mod encode;
mod classes;
mod dump;
#[cfg(test)]
mod tests;

pub(crate) use classes::classes;
pub(crate) use dump::Dump;
pub(crate) use parse_error::ParseError;

use crate::value::Value;

/// The language number of Ruby's Marshal in opaque values.
pub(crate) const RUBY: u32 = 1;

/// Encodes a value as `Marshal.dump` does.
pub(crate) fn dump(value: &Value) -> Result<Vec<u8>, ParseError> {
    encode::encode(value)
}

/// Decodes the output of `Marshal.dump`.
pub(crate) fn load(bytes: &[u8]) -> Result<Value, ParseError> {
    view::view(&scan::Scan::of_alone(bytes)?, scan::HEAD)
}
