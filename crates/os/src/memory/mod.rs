//! Mapped memory: reads, writes and copies, and the detection of lost mappings.

pub(crate) mod bulk;
pub(crate) mod compare;
pub(crate) mod words;
pub(crate) mod addresses;
pub(crate) mod epoch;
pub(crate) mod registry;
pub(crate) mod mapped;
pub mod faults;
