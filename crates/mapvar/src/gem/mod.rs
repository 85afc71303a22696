//! Maps in the layout of Ruby's gem win32-mmap ([`Format::Marshal`](crate::Format::Marshal)), and
//! values in Ruby's Marshal format, whose codec is the crate `mapvar-marshal`; with the cargo
//! feature `gem`.

#[cfg(feature = "gem")]
pub(crate) mod value;
#[cfg(feature = "gem")]
pub(crate) mod report;
#[cfg(feature = "gem")]
pub(crate) mod options;
#[cfg(feature = "gem")]
mod hold_times;
#[cfg_attr(not(feature = "gem"), path = "none.rs")]
pub(crate) mod map;
#[cfg(feature = "gem")]
pub(crate) mod gem_map;

#[cfg(feature = "gem")]
pub use {
    gem_map::GemMap,
    options::GemOptions,
    report::{Clobbered, LockStat, OnClobber, Unlock, Unlocked},
    value::marshal_classes,
};
