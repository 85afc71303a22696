//! The kinds of lock on a byte.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    /// Needs a writable descriptor.
    Exclusive,
    Nothing,
}
