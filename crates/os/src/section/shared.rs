//! The handle that a section shares with its views and its seat.

use crate::{
    error::{Error, Result},
    options::SectionOptions,
    sys::{Imp, Platform},
};
use std::{fmt, sync::atomic::AtomicBool};

/// The handle of a section, and the options with which it was created or opened. A view has it in
/// an `Arc`, and drops its mapping before the handle.
pub(crate) struct Shared {
    pub(crate) sys: <Imp as Platform>::Section,
    pub(crate) options: SectionOptions,
    /// Whether this handle has a [`Seat`](crate::Seat).
    pub(crate) seated: AtomicBool,
}

impl Shared {
    pub(crate) fn new(sys: <Imp as Platform>::Section, options: SectionOptions) -> Self {
        Self { sys, options, seated: AtomicBool::new(false) }
    }

    /// Returns the section's current size in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        Imp::size(&self.sys).map_err(|error| self.with_context("ask the size of", error))
    }

    /// Adds the operation and the object to an error of the system.
    pub(crate) fn with_context(&self, operation: &'static str, error: Error) -> Error {
        error.during(operation, self.options.describe())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.options.describe()).finish()
    }
}
