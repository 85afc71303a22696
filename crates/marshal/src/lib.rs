//! Ruby's Marshal 4.8, read and written within bounds.
//!
//! The bytes may be hostile. **No code of a dump runs**, no name in it is resolved, and no object of
//! a class is made: what has no counterpart in Rust stays a dump of its own.
//!
//! ```
//! use mapvar_marshal::{Dump, Value, classes, dump, load};
//!
//! // Marshal.dump([1, true, "two"])
//! let bytes = b"\x04\x08[\x08i\x06TI\"\x08two\x06:\x06ET";
//! let list = Value::List(vec![Value::I64(1), Value::Bool(true), Value::Str("two".into())]);
//! assert_eq!(load::<Value>(bytes)?, list);
//! assert_eq!(dump(&list)?, bytes);
//!
//! // A Range has no counterpart. Its class is named, so a program can decide whether Ruby may load it.
//! let range = b"\x04\x08o:\x0aRange\x08:\x09exclF:\x0abegini\x06:\x08endi\x07";
//! assert_eq!(load::<Value>(range)?, Value::Object(range.to_vec()));
//! assert!(classes(range)?.contains("Range"));
//!
//! // A Hash with Strings for keys: one entry changes, and all others keep their bytes.
//! let mut hash = Dump::parse(b"\x04\x08{\x07I\"\x06a\x06:\x06ETi\x06I\"\x06b\x06;\x00T:\x06c")?;
//! hash.set("a", &list)?;
//! assert_eq!(hash.value::<Value>("a")?, Some(list));
//! assert_eq!(hash.dump_of("b")?.as_deref(), Some(&b"\x04\x08:\x06c"[..]));
//! # Ok::<(), mapvar_marshal::ParseError>(())
//! ```
//!
//! # Interface
//!
//! | item | purpose |
//! | --- | --- |
//! | [`load`], [`dump`] | a value from the output of `Marshal.dump`, and the reverse |
//! | [`classes`] | the classes and modules that `Marshal.load` would use, whose code it would run |
//! | [`Dump`] | a Hash of variables: single entries are read, set and removed |
//! | [`Value`] | the values that `load` returns and `dump` takes |
//! | [`Tree`] | implemented for a program's own type of values, it takes the place of [`Value`] |
//! | [`ParseError`] | what is wrong with the bytes, or with a value |
//!
//! # The format
//!
//! Ruby itself is the only specification: `marshal.c` of its source, and `doc/marshal.rdoc`, which
//! leaves out the numbering of objects. This crate reads every type of version 4.8, and older minor
//! versions, whose types are a subset. It writes 4.8, as `Marshal.dump` does, byte for byte: the
//! repository of mapvar compares it with Ruby itself on random values, in both directions.
//!
//! # Limits
//!
//! * A claimed length or count is compared with the remaining bytes before it is trusted. The only
//!   structures built from the bytes are tables of where objects and Symbols begin.
//! * No function recurses with the nesting, except for 100 levels of lists and dictionaries. A list
//!   that is nested deeper stays a dump of its own.
//! * Memory stays below 64 times the input plus 64 KiB, if a value of the type `T` takes 32 bytes or
//!   less, as [`Value`] does. The time of each operation grows with the input.
//! * A shared object becomes several copies. A value that contains itself, or whose copies would
//!   take more memory than that, stays a dump of its own as a whole.
//! * A Hash loses its default in [`load`], and keeps it in [`Dump`].
//! * A dump of 4 GiB or more is refused.
#![forbid(unsafe_code)]

// In the order of the layers: a module imports only modules that stand before it.
mod parse_error;
mod bytes;
mod walk;
mod scan;
mod write;
mod tree;
mod classes;
mod dump;
#[cfg(test)]
mod tests;

pub use classes::classes;
pub use dump::Dump;
pub use parse_error::ParseError;
pub use tree::{Node, Owned, Tree, value::Value};

/// Encodes a value as `Marshal.dump` does.
///
/// # Errors
/// [`ParseError::Foreign`] if the type of the value refuses it; an error of the bytes if a
/// [`Node::Object`] is not one dump; [`ParseError::TooLarge`] for more bytes or elements than
/// Marshal can count.
pub fn dump<T: Tree>(value: &T) -> Result<Vec<u8>, ParseError> {
    tree::encode::encode(value)
}

/// Decodes the output of `Marshal.dump`. Fails if more bytes follow the value.
///
/// # Errors
/// What is wrong with the bytes; [`ParseError::Tangled`] if user-defined objects contain each
/// other, so that a copy would be larger than the dump; [`ParseError::NoMemory`] if the system
/// refuses the memory.
pub fn load<T: Tree>(bytes: &[u8]) -> Result<T, ParseError> {
    tree::view::view(&scan::Scan::of_alone(bytes)?, scan::HEAD)
}

/// The example of the README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
