//! Pages and addresses, below what maps a section.

pub(crate) mod placeholder;
pub(crate) mod faults;
pub(crate) mod pages;
