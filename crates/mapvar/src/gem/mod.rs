//! Maps in the layout of Ruby's gem win32-mmap, and values in Ruby's Marshal format, whose codec is
//! the crate `mapvar-marshal`.

pub(crate) mod value;
mod hold_times;
pub(crate) mod map;
