//! Values, and the forms in which a caller reads and writes them.

pub mod values;
pub mod marshal;
