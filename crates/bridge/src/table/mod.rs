//! What the bridge knows of each variable, as state machines without input or output: the engine
//! and the map tell them what happened, and they decide what to do.

pub(crate) mod stamp;
pub(crate) mod owner;
pub(crate) mod reader;
pub(crate) mod claim;
#[cfg(test)]
mod tests;
