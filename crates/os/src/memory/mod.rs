//! Memory that is mapped: how it is read, written and copied, and what is known of it when it is gone.

pub(crate) mod bulk;
pub(crate) mod words;
pub(crate) mod epoch;
pub(crate) mod registry;
pub(crate) mod mapped;
pub mod faults;
