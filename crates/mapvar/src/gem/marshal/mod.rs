//! Ruby's Marshal 4.8, as far as a map of the gem win32-mmap needs it: one Hash of variables, of
//! which single ones are read, set and removed, while all others keep their bytes.
//!
//! The bytes may be hostile. Nothing is executed, and nothing is built from them but tables of where
//! objects and Symbols begin; a claimed length or count is compared with the bytes that are there
//! before it is believed; no function calls itself for each level of nesting, but for a fixed number
//! of levels of lists and dictionaries. So memory stays below 64 times the bytes, and each
//! operation takes a time that grows as they do.
//!
//! Within, in this order: the smallest parts (`bytes`), the grammar (`walk`), where everything begins
//! (`scan`), writing a dump from parts of others (`write`), a [`Value`] of an object (`view`) and the
//! reverse (`encode`), the classes that a dump names (`classes`), the Hash (`dump`).
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

/// The number of Ruby's Marshal among the languages of opaque values.
pub(crate) const RUBY: u32 = 1;

/// A value as `Marshal.dump` would give it.
pub(crate) fn dump(value: &Value) -> Result<Vec<u8>, ParseError> {
    encode::encode(value)
}

/// What `Marshal.dump` gave, as a value.
pub(crate) fn load(bytes: &[u8]) -> Result<Value, ParseError> {
    view::view(&scan::Scan::of_alone(bytes)?, scan::HEAD)
}
