//! The basis of every function of the interface: codes, errors, pointers, handles.

pub mod codes;
pub mod errors;
pub(crate) mod border;
pub(crate) mod tree;
pub mod types;
pub(crate) mod settings;
pub(crate) mod handles;
