//! Maps in the layout of Ruby's gem win32-mmap, and Ruby's Marshal format.

pub(crate) mod marshal;
pub(crate) mod value;
mod hold_times;
pub(crate) mod map;
