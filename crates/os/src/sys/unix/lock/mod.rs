//! Lock words that survive the death of their owner, by the means of the system.

#[cfg(target_os = "linux")]
mod holders;
#[cfg_attr(target_os = "linux", path = "robust.rs")]
#[cfg_attr(not(target_os = "linux"), path = "none.rs")]
mod imp;

pub(super) use imp::{
    Grip, Locks, is_held_within, lock, locks, park, try_grip, try_lock, unlock, wake,
};
