//! The parts of the command that differ between systems: how a process is asked to end, and which users may
//! write to a file. The library has no use for them, so they are not in mapvar-os.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(crate) use other::{
    LONGEST_VARIABLE, REPORTS_CHILDREN, catch, foreign_and_open_to_others, lives, pass_on,
};
#[cfg(unix)]
pub(crate) use unix::{
    LONGEST_VARIABLE, REPORTS_CHILDREN, catch, foreign_and_open_to_others, lives, pass_on,
};

/// The signal that asks this process to end. `None`: a child may have ended.
pub(crate) type Event = Option<i32>;
