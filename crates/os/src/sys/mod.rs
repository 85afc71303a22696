//! The operating systems, one folder each, held to one contract: [`Platform`]. Only this file
//! selects the target.

#[cfg_attr(unix, path = "unix/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
#[cfg_attr(not(any(unix, windows)), path = "unsupported.rs")]
mod imp;
mod platform;

pub(crate) use imp::{Imp, check_native_name, gem_name, lend_handle};
pub(crate) use platform::Platform;
#[cfg(any(unix, windows))]
pub(crate) use platform::TRUNCATED;
