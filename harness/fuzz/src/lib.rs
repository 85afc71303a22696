//! mapvar under hostile bytes, lying loads, failing platforms and a peer that scribbles.

pub mod bytes;
pub mod driver;
pub mod files;
pub mod guard;
pub mod loads;
pub mod marshal;
pub mod random;
pub mod regions;
#[cfg(target_os = "linux")]
pub mod scribble;
pub mod sequences;
