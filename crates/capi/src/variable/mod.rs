//! Single variables of a map by version, by handle and as atomics; several in one transaction.

pub mod versions;
pub mod vars;
pub mod fields;
pub mod shortcuts;
pub mod atomics;
pub mod combine;
pub mod transactions;
