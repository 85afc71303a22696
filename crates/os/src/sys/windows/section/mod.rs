//! How sections are found, created and grown, over a file or by name.

pub(crate) mod handle;
pub(crate) mod named;
pub(crate) mod file;
pub(crate) mod attach;
pub(crate) mod grow;
