//! Targets that are neither Windows nor Unix: everything compiles, and fails with `Unsupported`.

use super::platform::Platform;
use crate::{
    error::{Error, ErrorKind, Result},
    memory::{mapped::MappedRange, registry::Losses, words::Half},
    name::{Name, Scope},
    options::SectionOptions,
    spec::{How, LockSpec, MapSpec, Origin, Refused, SeatSpec, SectionId, Taken},
};
use std::{convert::Infallible, marker::PhantomData, ptr::NonNull, time::Duration};

#[derive(Debug)]
pub(crate) struct Imp;

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "map memory", "")
        .detail("this build is for a system that mapvar does not know; use Windows or Unix")
}

#[allow(clippy::unnecessary_wraps, reason = "the signature that every system has")]
pub(crate) fn check_native_name(_: &str) -> Result<(), &'static str> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the signature that every system has")]
pub(crate) fn gem_name(text: &str, scope: Scope) -> Result<Name> {
    Name::scoped(text, scope)
}

impl Platform for Imp {
    type Section = Infallible;
    type Mapping = Infallible;
    type Locks = Infallible;
    type Grip<'a> = (Infallible, PhantomData<&'a Half>);
    type Seat = Infallible;
    type RubyLock = Infallible;

    fn obtain(
        options: &SectionOptions,
        how: How,
        _: &mut dyn FnMut(Infallible) -> Result<()>,
    ) -> Result<(Infallible, Origin)> {
        Err(unsupported().during(how.verb(), options.describe()))
    }

    fn alone_filling(
        section: &Infallible,
        _: &SectionOptions,
        _: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        match *section {}
    }

    fn size(section: &Infallible) -> Result<u64> {
        match *section {}
    }

    fn grow(section: &Infallible, _: &SectionOptions, _: u64, _: u64) -> Result<()> {
        match *section {}
    }

    fn check_name(section: &Infallible) -> Result<()> {
        match *section {}
    }

    fn id(section: &Infallible) -> Result<Option<SectionId>> {
        match *section {}
    }

    fn attach(section: &Infallible, _: Duration) -> Result<bool> {
        match *section {}
    }

    fn attached(section: &Infallible) -> Result<()> {
        match *section {}
    }

    fn detach(section: &Infallible) {
        match *section {}
    }

    fn take_seat(section: &Infallible, _: &SeatSpec) -> Result<Option<(usize, Infallible)>> {
        match *section {}
    }

    fn is_seat_taken(section: &Infallible, _: &SeatSpec, _: usize) -> Result<bool> {
        match *section {}
    }

    fn leave_seat(section: &Infallible, _: usize) {
        match *section {}
    }

    fn close(section: Infallible) -> Result<()> {
        match section {}
    }

    fn map(section: &Infallible, _: &MapSpec) -> Result<Infallible> {
        match *section {}
    }

    fn losses(mapping: &Infallible) -> Losses {
        match *mapping {}
    }

    fn extend(section: &Infallible, _: &Infallible, _: usize) -> Result<()> {
        match *section {}
    }

    fn reserved(mapping: &Infallible) -> usize {
        match *mapping {}
    }

    fn address(mapping: &Infallible) -> NonNull<u8> {
        match *mapping {}
    }

    fn unmap(mapping: Infallible) -> Result<()> {
        match mapping {}
    }

    fn flush(section: &Infallible, _: &Infallible, _: usize, _: usize, _: bool) -> Result<()> {
        match *section {}
    }

    fn sync(section: &Infallible) -> Result<()> {
        match *section {}
    }

    fn page_size() -> usize {
        4096
    }

    fn granularity() -> usize {
        65536
    }

    fn boot_id() -> Result<[u64; 2]> {
        Err(unsupported())
    }

    fn pid_namespace() -> Result<u64> {
        Ok(0)
    }

    fn random() -> Result<[u64; 2]> {
        Err(unsupported())
    }

    fn generation() -> u32 {
        0
    }

    fn is_generation(generation: u32) -> bool {
        generation == 0
    }

    const RUBY_LOCK_HAS_A_NAME: bool = false;

    fn ruby_lock(_: &SectionOptions) -> Result<Infallible> {
        Err(unsupported())
    }

    fn ruby_take(lock: &Infallible, _: Option<&Infallible>, _: Duration) -> Result<bool> {
        match *lock {}
    }

    fn ruby_give(lock: &Infallible, _: Option<&Infallible>) -> Result<(bool, std::time::Instant)> {
        match *lock {}
    }

    fn ruby_unlock(lock: &Infallible, _: Option<&Infallible>, _: bool) -> Result<bool> {
        match *lock {}
    }

    fn locks(_: LockSpec) -> Result<Infallible> {
        Err(unsupported())
    }

    fn lock(locks: &Infallible, _: &MappedRange, _: usize, _: Duration) -> Result<Taken, Refused> {
        match *locks {}
    }

    fn try_grip<'a>(locks: &Infallible, _: &'a Half) -> Option<Self::Grip<'a>> {
        match *locks {}
    }

    fn unlock(locks: &Infallible, _: &MappedRange, _: usize) {
        match *locks {}
    }

    fn wake(locks: &Infallible, _: &MappedRange, _: usize) {
        match *locks {}
    }

    fn park(locks: &Infallible, _: &MappedRange, _: usize, _: u32, _: Duration) -> Result<bool> {
        match *locks {}
    }
}

/// These targets have no handle to lend.
macro_rules! lend_handle {
    ($section:ty) => {};
}
pub(crate) use lend_handle;
