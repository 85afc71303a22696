//! Windows: `CreateFileMappingW`, `MapViewOfFileEx`, placeholders, and named mutexes that show
//! which processes live.
//!
//! Tested under Wine 8. `docs/PLATFORM.md` lists the differences between Wine and Windows.

// From the bottom to the top: a module uses only those before it.
mod cvt;
mod names;
mod machine;
mod security;
mod wait;
mod memory;
mod section;
mod mapping;
mod lock;
mod seat;
mod ruby;
#[cfg(test)]
mod tests;

use super::platform::Platform;
use crate::{
    error::{Error, ErrorKind, Result},
    memory::{mapped::MappedRange, registry::Losses, words::Half},
    options::SectionOptions,
    spec::{How, LockSpec, MapSpec, Origin, Refused, SeatSpec, SectionId, Taken},
};
use section::{attach, file, grow, handle, named};
use std::{
    os::windows::io::OwnedHandle,
    ptr::NonNull,
    time::{Duration, Instant},
};

pub(crate) use names::{check_native_name, gem_name};

/// Implements the lending of a section's handle (`AsHandle`). It is a macro, since the traits
/// belong to this system and the section belongs to the layer above.
macro_rules! lend_handle {
    ($section:ty) => {
        /// The lent handle is that of the section object. Windows creates no section object for an
        /// empty file; then it is the file's handle.
        impl std::os::windows::io::AsHandle for $section {
            fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
                self.shared.sys.as_handle()
            }
        }
    };
}
pub(crate) use lend_handle;

#[derive(Debug)]
pub(crate) struct Imp;

impl Platform for Imp {
    type Section = handle::Section;
    type Mapping = mapping::Mapping;
    type Locks = lock::locks::Locks;
    type Grip<'a> = lock::locks::Grip<'a>;
    type Seat = OwnedHandle;
    type RubyLock = ruby::RubyLock;

    fn obtain(
        options: &SectionOptions,
        how: How,
        fill: &mut dyn FnMut(Self::Section) -> Result<()>,
    ) -> Result<(Self::Section, Origin)> {
        // An error of `fill` goes to the caller as it is; all others get this operation and object.
        let mut from_fill = None;
        let fill = &mut |section| {
            fill(section).map_err(|error| {
                from_fill = Some(error);
                Error::new(ErrorKind::Io, "", "")
            })
        };
        let obtained = match (&options.file, &options.name) {
            (Some(path), _) => file::obtain(options, path, how, fill),
            (None, Some(name)) => named::obtain(options, name, how, fill),
            (None, None) => match (how, options.size) {
                (How::Create | How::OpenOrCreate, Some(size)) => {
                    named::anonymous(options, size, fill).map(|made| (made, Origin::Created))
                }
                _ => Err(Error::new(ErrorKind::InvalidArgument, "", "")
                    .detail("it has no name and no file to be found by; give one, or create it")),
            },
        };
        obtained.map_err(|error| {
            from_fill.unwrap_or_else(|| error.during(how.verb(), options.describe()))
        })
    }

    fn alone_filling(
        _: &Self::Section,
        options: &SectionOptions,
        fill: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        // A file was built aside, and is whole whenever it is visible.
        let _alone = match (&options.file, &options.name) {
            (None, Some(name)) => Some(
                named::InitMutex::take(name, options.timeout)
                    .map_err(|error| error.during("fill", options.describe()))?,
            ),
            _ => None,
        };
        fill()
    }

    fn size(section: &Self::Section) -> Result<u64> {
        section.size()
    }

    fn allocated(section: &Self::Section) -> Result<Option<u64>> {
        section.allocated()
    }

    fn grow(
        section: &Self::Section,
        options: &SectionOptions,
        known: u64,
        size: u64,
    ) -> Result<()> {
        grow::grow(section, options, known, size)
    }

    fn check_name(section: &Self::Section) -> Result<()> {
        section.check_name()
    }

    fn id(section: &Self::Section) -> Result<Option<SectionId>> {
        section.id()
    }

    fn attach(section: &Self::Section, timeout: Duration) -> Result<bool> {
        attach::attach(section, timeout)
    }

    fn attached(section: &Self::Section) -> Result<()> {
        attach::attached(section)
    }

    fn detach(section: &Self::Section) {
        attach::detach(section);
    }

    fn take_seat(_: &Self::Section, spec: &SeatSpec) -> Result<Option<(usize, OwnedHandle)>> {
        seat::take(spec)
    }

    fn is_seat_taken(_: &Self::Section, spec: &SeatSpec, slot: usize) -> Result<bool> {
        seat::is_taken(spec, slot)
    }

    // Dropping the handle releases the seat.
    fn leave_seat(_: &Self::Section, _: usize) {}

    fn close(section: Self::Section) -> Result<()> {
        section.close()
    }

    fn map(section: &Self::Section, spec: &MapSpec) -> Result<Self::Mapping> {
        mapping::Mapping::new(section, spec)
    }

    fn extend(section: &Self::Section, mapping: &Self::Mapping, len: usize) -> Result<()> {
        mapping.extend(section, len)
    }

    fn reserved(mapping: &Self::Mapping) -> usize {
        mapping.reserved()
    }

    #[inline]
    fn losses(mapping: &Self::Mapping) -> Losses {
        mapping.losses()
    }

    #[inline]
    fn address(mapping: &Self::Mapping) -> NonNull<u8> {
        mapping.address()
    }

    fn unmap(mapping: Self::Mapping) -> Result<()> {
        mapping.unmap()
    }

    fn flush(
        section: &Self::Section,
        mapping: &Self::Mapping,
        first: usize,
        len: usize,
        _wait: bool,
    ) -> Result<()> {
        if section.backed { mapping.flush(first, len) } else { Ok(()) }
    }

    fn sync(section: &Self::Section) -> Result<()> {
        section.sync()
    }

    fn page_size() -> usize {
        machine::sizes().0
    }

    fn granularity() -> usize {
        machine::sizes().1
    }

    fn boot_id() -> Result<[u64; 2]> {
        machine::boot_id()
    }

    fn program(pid: u32) -> Option<String> {
        machine::program(pid, None)
    }

    fn pid_namespace() -> Result<u64> {
        Ok(0)
    }

    fn random() -> Result<[u64; 2]> {
        machine::random()
    }

    fn generation() -> u32 {
        0
    }

    #[inline]
    fn is_generation(generation: u32) -> bool {
        generation == 0
    }

    const RUBY_LOCK_HAS_A_NAME: bool = true;

    fn ruby_lock(options: &SectionOptions) -> Result<Self::RubyLock> {
        ruby::RubyLock::new(options)
    }

    fn ruby_take(
        lock: &Self::RubyLock,
        _: Option<&Self::Section>,
        timeout: Duration,
    ) -> Result<bool> {
        lock.take(timeout)
    }

    fn ruby_give(lock: &Self::RubyLock, _: Option<&Self::Section>) -> Result<(bool, Instant)> {
        lock.give()
    }

    fn ruby_unlock(lock: &Self::RubyLock, _: Option<&Self::Section>, force: bool) -> Result<bool> {
        lock.unlock(force)
    }

    fn locks(spec: LockSpec) -> Result<Self::Locks> {
        lock::locks::Locks::new(&spec)
    }

    #[inline]
    fn lock(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        timeout: Duration,
    ) -> Result<Taken, Refused> {
        locks.lock(range, at, timeout)
    }

    #[inline]
    fn try_grip<'a>(locks: &Self::Locks, word: &'a Half) -> Option<Self::Grip<'a>> {
        locks.try_grip(word)
    }

    #[inline]
    fn unlock(_: &Self::Locks, range: &MappedRange, at: usize) {
        lock::locks::Locks::unlock(range, at);
    }

    // No thread sleeps on a lock word here. A waiter waits for the token of the lock's owner, and
    // checks the word every few milliseconds.
    fn wake(locks: &Self::Locks, range: &MappedRange, at: usize) {
        locks.wake(range, at);
    }

    fn park(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        seen: u32,
        at_most: Duration,
    ) -> Result<bool> {
        locks.park(range, at, seen, at_most)
    }
}
