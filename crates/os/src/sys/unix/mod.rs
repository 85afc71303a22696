//! Unix: Linux above all; macOS and the others where they have the same thing.
//!
//! | module | subject |
//! | --- | --- |
//! | `error` | the meaning of `errno` |
//! | `standard` | the descriptors 0, 1 and 2, which no file of this crate gets |
//! | `machine` | facts about machine and process |
//! | `place` | the file system and the identity of a file |
//! | `pause` | polling for a state of another process to pass |
//! | `ofd` | byte locks that belong to an open file, and the second open file that has them |
//! | `section` | how sections are found, created and grown |
//! | `attach` | the users of a file |
//! | `seat` | which processes use a section |
//! | `ruby` | the lock of a gem's map |
//! | `faults` | what happens when a mapping is lost |
//! | `lock` | lock words that survive their owner |
//! | `kept` | mappings in which a lock is held, after their view is gone |
//! | `mapping` | ranges mapped into this process |

// From the bottom to the top: a module uses only those before it.
mod error;
mod standard;
mod machine;
mod place;
mod pause;
mod ofd;
mod section;
mod attach;
mod seat;
mod ruby;
mod faults;
mod lock;
mod kept;
mod mapping;

use super::platform::Platform;
use crate::{
    error::Result,
    memory::{mapped::MappedRange, registry::Losses, words::Half},
    options::SectionOptions,
    spec::{How, LockSpec, MapSpec, Origin, Refused, SeatSpec, SectionId, Taken},
};
use section::{grow, handle, obtain};
use std::{
    ptr::NonNull,
    time::{Duration, Instant},
};

pub(crate) use section::names::{check_native_name, gem_name};

/// Implements the lending of a section's descriptor (`AsFd`). It is a macro, since the traits
/// belong to this system and the section belongs to the layer above.
macro_rules! lend_handle {
    ($section:ty) => {
        /// A duplicate of the descriptor keeps the memory, but its name only where the section was
        /// opened with [`inherit`](crate::SectionOptions::inherit).
        impl std::os::fd::AsFd for $section {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.shared.sys.as_fd()
            }
        }
    };
}
pub(crate) use lend_handle;

#[derive(Debug)]
pub(crate) struct Imp;

#[allow(clippy::inline_always, reason = "as in `crate::Locks`")]
impl Platform for Imp {
    type Section = handle::Section;
    type Mapping = mapping::Mapping;
    type Locks = lock::Locks;
    type Grip<'a> = lock::Grip<'a>;
    /// The lock belongs to the open file.
    type Seat = ();
    type RubyLock = ruby::RubyLock;

    fn obtain(
        options: &SectionOptions,
        how: How,
        fill: &mut dyn FnMut(Self::Section) -> Result<()>,
    ) -> Result<(Self::Section, Origin)> {
        obtain::obtain(options, how, fill)
    }

    // A section is published after it was filled, so there is no process to exclude.
    fn alone_filling(
        _: &Self::Section,
        _: &SectionOptions,
        fill: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        fill()
    }

    fn size(section: &Self::Section) -> Result<u64> {
        section.size()
    }

    fn allocated(section: &Self::Section) -> Result<Option<u64>> {
        section.allocated()
    }

    #[cfg(target_os = "linux")]
    fn data_from(section: &Self::Section, at: u64) -> Result<Option<(u64, u64)>> {
        section.data_from(at)
    }

    #[cfg(target_os = "linux")]
    fn next_data(section: &Self::Section, at: u64) -> Result<Option<u64>> {
        section.next_data(at)
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

    fn take_seat(section: &Self::Section, spec: &SeatSpec) -> Result<Option<(usize, ())>> {
        Ok(seat::take(section, spec)?.map(|slot| (slot, ())))
    }

    fn is_seat_taken(section: &Self::Section, _: &SeatSpec, slot: usize) -> Result<bool> {
        seat::is_taken(section, slot)
    }

    fn leave_seat(section: &Self::Section, slot: usize) {
        seat::leave(section, slot);
    }

    fn close(section: Self::Section) -> Result<()> {
        section.close()
    }

    fn map(section: &Self::Section, spec: &MapSpec) -> Result<Self::Mapping> {
        mapping::Mapping::new(section, spec)
    }

    // All that was reserved is mapped, and is accessible as far as the section reaches.
    fn extend(_: &Self::Section, _: &Self::Mapping, _: usize) -> Result<()> {
        Ok(())
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn scatter(mapping: &Self::Mapping, from: usize, to: usize) {
        mapping.scatter(from, to);
    }

    fn reserved(mapping: &Self::Mapping) -> usize {
        mapping.len()
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
        wait: bool,
    ) -> Result<()> {
        if section.has_file() { mapping.flush(first, len, wait) } else { Ok(()) }
    }

    fn sync(section: &Self::Section) -> Result<()> {
        section.sync()
    }

    fn page_size() -> usize {
        machine::page_size()
    }

    fn nap(time: Duration) {
        machine::nap(time);
    }

    fn granularity() -> usize {
        machine::page_size()
    }

    fn boot_id() -> Result<[u64; 2]> {
        machine::boot_id()
    }

    fn program(pid: u32) -> Option<String> {
        machine::program(pid)
    }

    fn may_run(pid: u32) -> bool {
        machine::may_run(pid)
    }

    fn pid_namespace() -> Result<u64> {
        machine::pid_namespace()
    }

    fn random() -> Result<[u64; 2]> {
        machine::random()
    }

    #[inline]
    fn generation() -> u32 {
        machine::generation()
    }

    #[inline]
    fn is_generation(generation: u32) -> bool {
        machine::known_generation() == generation
    }

    const UNCANCELLED: i32 = machine::UNCANCELLED;

    #[inline]
    fn set_cancellation(state: i32) -> i32 {
        machine::set_cancellation(state)
    }

    const RUBY_LOCK_HAS_A_NAME: bool = false;

    fn ruby_lock(_: &SectionOptions) -> Result<Self::RubyLock> {
        Ok(ruby::RubyLock)
    }

    fn ruby_take(
        _: &Self::RubyLock,
        section: Option<&Self::Section>,
        timeout: Duration,
    ) -> Result<bool> {
        section.map_or(Ok(false), |section| ruby::take(section, timeout))
    }

    fn ruby_give(_: &Self::RubyLock, section: Option<&Self::Section>) -> Result<(bool, Instant)> {
        section.map_or(Ok(true), ruby::give).map(|exclusive| (exclusive, Instant::now()))
    }

    fn ruby_unlock(_: &Self::RubyLock, section: Option<&Self::Section>, _: bool) -> Result<bool> {
        section.map_or(Ok(false), ruby::unlock)
    }

    fn locks(spec: LockSpec) -> Result<Self::Locks> {
        lock::locks(&spec)
    }

    #[inline]
    fn lock(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        timeout: Duration,
    ) -> Result<Taken, Refused> {
        lock::lock(locks, range, at, timeout)
    }

    #[inline(always)]
    fn try_lock(locks: &Self::Locks, range: &MappedRange, at: usize) -> bool {
        lock::try_lock(locks, range, at)
    }

    #[inline(always)]
    fn try_grip<'a>(_: &Self::Locks, word: &'a Half) -> Option<Self::Grip<'a>> {
        lock::try_grip(word)
    }

    #[inline(always)]
    fn unlock(locks: &Self::Locks, range: &MappedRange, at: usize) {
        lock::unlock(locks, range, at);
    }

    fn wake(locks: &Self::Locks, range: &MappedRange, at: usize) {
        lock::wake(locks, range, at);
    }

    fn park(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        seen: u32,
        at_most: Duration,
    ) -> Result<bool> {
        lock::park(locks, range, at, seen, at_most)
    }
}
