//! Systems whose kernel tells nobody that the holder of a word has died.

use super::super::error::refuse;
use crate::{
    error::{ErrorKind, Result},
    mapped::MappedRange,
    spec::{LockSpec, Refused, Taken},
};
use std::{ops::Range, time::Duration};

#[derive(Debug)]
pub(crate) enum Locks {}

pub(in crate::sys) fn locks(_: &LockSpec) -> Result<Locks> {
    let error = refuse(
        ErrorKind::Unsupported,
        "this system does not tell who died with a lock; write from one process, or use Linux or Windows",
    );
    Err(error.during("make locks", ""))
}

pub(in crate::sys) fn lock(
    locks: &Locks,
    _: &MappedRange,
    _: usize,
    _: Duration,
) -> Result<Taken, Refused> {
    match *locks {}
}

pub(in crate::sys) fn try_lock(locks: &Locks, _: &MappedRange, _: usize) -> bool {
    match *locks {}
}

pub(in crate::sys) fn unlock(locks: &Locks, _: &MappedRange, _: usize) {
    match *locks {}
}

pub(in crate::sys) fn wake(locks: &Locks, _: &MappedRange, _: usize) {
    match *locks {}
}

pub(in crate::sys) fn park(
    locks: &Locks,
    _: &MappedRange,
    _: usize,
    _: u32,
    _: Duration,
) -> Result<bool> {
    match *locks {}
}

pub(in crate::sys) fn is_held_within(_: Range<usize>) -> bool {
    false
}
