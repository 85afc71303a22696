//! Systems whose kernel does not report the death of a lock's owner.

use super::super::error::refuse;
use crate::{
    error::{ErrorKind, Result},
    memory::{mapped::MappedRange, words::Half},
    spec::{LockSpec, Refused, Taken},
};
use std::{convert::Infallible, marker::PhantomData, ops::Range, time::Duration};

#[derive(Debug)]
pub(crate) enum Locks {}

pub(crate) fn locks(_: &LockSpec) -> Result<Locks> {
    let error = refuse(
        ErrorKind::Unsupported,
        "this system does not report that a lock's owner died; write from one process, or use \
         Linux or Windows",
    );
    Err(error.during("make locks", ""))
}

pub(crate) fn lock(
    locks: &Locks,
    _: &MappedRange,
    _: usize,
    _: Duration,
) -> Result<Taken, Refused> {
    match *locks {}
}

pub(crate) fn try_lock(locks: &Locks, _: &MappedRange, _: usize) -> bool {
    match *locks {}
}

pub(crate) type Grip<'a> = (Infallible, PhantomData<&'a Half>);

pub(crate) fn try_grip(_: &Half) -> Option<Grip<'_>> {
    None
}

pub(crate) fn unlock(locks: &Locks, _: &MappedRange, _: usize) {
    match *locks {}
}

pub(crate) fn wake(locks: &Locks, _: &MappedRange, _: usize) {
    match *locks {}
}

pub(crate) fn park(locks: &Locks, _: &MappedRange, _: usize, _: u32, _: Duration) -> Result<bool> {
    match *locks {}
}

pub(crate) fn is_held_within(_: &Range<usize>) -> bool {
    false
}
