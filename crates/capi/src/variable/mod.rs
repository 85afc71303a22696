//! Single variables of a map: by version, by handle, as words, several in one transaction.

pub mod versions;
pub mod vars;
pub mod atomics;
pub mod transactions;
