//! Pages and addresses, below the code that maps a section.

pub(crate) mod placeholder;
pub(crate) mod faults;
pub(crate) mod pages;
