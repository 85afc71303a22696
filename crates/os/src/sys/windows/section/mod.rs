//! How a section is found or made, over a file or by name, and made longer.

pub(crate) mod handle;
pub(crate) mod named;
pub(crate) mod file;
pub(crate) mod attach;
pub(crate) mod grow;
