//! Raw sections and their views: memory without a map.

pub mod section;
pub mod view;
