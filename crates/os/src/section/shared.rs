//! What a section, its views and its seat own together.

use crate::{
    error::{Error, Result},
    options::SectionOptions,
    sys::{Imp, Platform},
};
use std::{fmt, sync::atomic::AtomicBool};

/// The handle of a section, and the options that it was made or opened with. A view holds it in an
/// `Arc` and drops its mapping first, the handle after.
pub(crate) struct Shared {
    pub(crate) sys: <Imp as Platform>::Section,
    pub(crate) options: SectionOptions,
    /// Whether a [`Seat`](crate::Seat) of this handle lives.
    pub(crate) seated: AtomicBool,
}

impl Shared {
    pub(crate) fn new(sys: <Imp as Platform>::Section, options: SectionOptions) -> Self {
        Self { sys, options, seated: AtomicBool::new(false) }
    }

    /// The section's true size in bytes, now.
    pub(crate) fn size(&self) -> Result<u64> {
        Imp::size(&self.sys).map_err(|error| self.with_context("ask the size of", error))
    }

    /// Adds the operation and the object to an error of the system's.
    pub(crate) fn with_context(&self, operation: &'static str, error: Error) -> Error {
        error.during(operation, self.options.describe())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.options.describe()).finish()
    }
}
