//! What the writing and the reading side agree on.

/// How deeply a value may be nested: lists, dictionaries, and in a type also newtypes and `Some`.
pub(super) const DEEPEST: u32 = 128;

/// The number in the type word of bytes that a type wrote as a sequence of `u8`. A type that asks for
/// whatever there is, as an untagged enum does, gets a sequence again.
pub(super) const SEQUENCE: u32 = 1;

/// The newtype as which [`Value`](crate::Value) asks for any value.
pub(crate) const VALUE: &str = "mapvar::Value";

/// The newtype that stands for a MessagePack extension, as in rmp-serde.
pub(crate) const EXTENSION: &str = "_ExtStruct";
