//! How a byte is held.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    /// Takes a descriptor that may write.
    Exclusive,
    Nothing,
}
