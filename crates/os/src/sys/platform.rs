//! The contract of an operating system. [`Platform`] documents it once; the implementations carry
//! only what is particular to their system.

use crate::{
    error::Result,
    memory::{mapped::MappedRange, registry::Losses},
    options::SectionOptions,
    spec::{How, LockSpec, MapSpec, Origin, Refused, SeatSpec, SectionId, Taken},
};
use std::{
    fmt,
    ptr::NonNull,
    time::{Duration, Instant},
};

/// The contract between the operating system and everything above it.
///
/// Errors: an implementation answers [`crate::Error`] with the kind that the system's code stands
/// for (its one function `cvt` reads `errno` or `GetLastError`), the code as source, and a detail
/// that names the remedy. The operation and object are set by the caller (`Error::during`), except
/// in [`obtain`](Self::obtain), which sets them itself (`how.verb()`, `options.describe()`).
pub(crate) trait Platform {
    /// The system's handle of a section. Dropping it closes it in silence.
    type Section: fmt::Debug + Send + Sync;
    /// A mapped range. Dropping it unmaps it in silence.
    type Mapping: fmt::Debug + Send + Sync;
    /// What [`crate::Locks`] keeps for one region.
    type Locks: fmt::Debug + Send + Sync;
    /// What keeps a seat taken, as far as the section's handle does not. Dropping it closes it in
    /// silence.
    type Seat: fmt::Debug + Send + Sync;
    /// What [`crate::RubyLock`] keeps, beside the section.
    type RubyLock: fmt::Debug + Send + Sync;

    /// Finds or makes a section.
    ///
    /// A new one has its whole size, exact to the byte, with memory or disk behind all of it
    /// (unless `RESERVE`), all zero, readable and writable by this user alone, and `fill` has run
    /// on it (it is handed a duplicate of the handle), before any other process can open it; except that a named section of Windows is
    /// visible at once, so there the call holds the mutex `<name>.init` from before it creates
    /// until `fill` has returned (and again in [`alone_filling`](Self::alone_filling)). If
    /// anything fails, nothing is left behind. Of many processes that race with `OpenOrCreate`
    /// exactly one makes it and all get the same.
    ///
    /// One that was found is of the right kind (a regular file; a section) and, if it was found by
    /// a name (not native), of this user (`ForeignOwner`), and its size is at least `options.size`
    /// (`TooLarge` otherwise). A file by path follows symbolic links and may be another user's,
    /// as far as the system lets us in.
    ///
    /// A named section lives as long as any handle to it, in any process that lives.
    fn obtain(
        options: &SectionOptions,
        how: How,
        fill: &mut dyn FnMut(Self::Section) -> Result<()>,
    ) -> Result<(Self::Section, Origin)>;

    /// Runs `fill` with the mutex `<name>.init` held, where named sections are visible before they
    /// are filled; runs it at once elsewhere.
    fn alone_filling(
        section: &Self::Section,
        options: &SectionOptions,
        fill: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// True size in bytes.
    fn size(section: &Self::Section) -> Result<u64>;

    /// Makes it at least `size` bytes long: memory or disk behind all of it, the new ones zero. On
    /// an error it is as it was, as far as the system allows. The section is not for reading.
    fn grow(section: &Self::Section, options: &SectionOptions, size: u64) -> Result<()>;

    /// Identity of its file.
    fn id(section: &Self::Section) -> Result<Option<SectionId>>;

    /// Registers among the users of a file (see [`crate::Section::attach`]); answers whether
    /// nobody else is. Two bytes far beyond any file's end are locked: the gate (exclusive, from
    /// here to `attached` or `detach`) and the room (shared, from `attached` to `detach`, unless
    /// the handle is for reading: that one passes the gate and does not enter the room). Alone =
    /// the room could be had exclusively for a moment, while the gate was held. A named or
    /// anonymous section answers alone = it was created by this handle, and locks nothing more.
    fn attach(section: &Self::Section, timeout: Duration) -> Result<bool>;

    /// Enters the room and opens the gate.
    fn attached(section: &Self::Section) -> Result<()>;

    /// Gives back gate and room, whichever is held. Never fails loudly.
    fn detach(section: &Self::Section);

    /// Takes one of `spec.seats` seats, below `spec.among` (see [`crate::Section::take_seat`]) for a handle that may
    /// write and has none, and answers its number; `None` where all are taken. A seat is taken
    /// from here until `leave_seat` has run and the answer was dropped, or until the process that
    /// took it has ended, in any way; it is had by one at a time. Refused (`Closed`) to a process
    /// that did not open the handle.
    fn take_seat(section: &Self::Section, spec: &SeatSpec) -> Result<Option<(usize, Self::Seat)>>;

    /// Whether a seat below `spec.seats` is taken, other than by this handle, of which the answer
    /// may be either. False only if nobody has it. Does not wait, and is in nobody's way for
    /// longer than the call. Refused as `take_seat` is.
    fn is_seat_taken(section: &Self::Section, spec: &SeatSpec, slot: usize) -> Result<bool>;

    /// Gives a seat back, if this process opened the handle. Never fails loudly.
    fn leave_seat(section: &Self::Section, slot: usize);

    /// Closes and reports.
    fn close(section: Self::Section) -> Result<()>;

    /// Maps a range that lies within the section and whose offset is a multiple of the
    /// granularity. The memory is readable up to the end of the page in which the range ends, and
    /// writable there if the access says so. A base address that is not 0 is met exactly, without
    /// replacing anything, or the call fails.
    ///
    /// Addresses for `spec.reserve` bytes are the mapping's, or for as many as can be had; what is
    /// beyond the range is not touched before `extend`.
    fn map(section: &Self::Section, spec: &MapSpec) -> Result<Self::Mapping>;

    /// What became of the mapping. All of it is in the [registry](crate::memory::registry), from
    /// before it is handed out, or reached by `extend`, until it is unmapped.
    fn losses(mapping: &Self::Mapping) -> Losses;

    /// Makes the memory readable up to the end of the page in which `len` bytes end, writable if
    /// the access says so. They lie within the section and within what is `reserved`. Any thread,
    /// at any time; a smaller `len` than before changes nothing.
    fn extend(section: &Self::Section, mapping: &Self::Mapping, len: usize) -> Result<()>;

    /// How many bytes `extend` may be asked for.
    fn reserved(mapping: &Self::Mapping) -> usize;

    /// First byte of a mapping, at the beginning of a page.
    fn address(mapping: &Self::Mapping) -> NonNull<u8>;

    /// Unmaps and reports.
    fn unmap(mapping: Self::Mapping) -> Result<()>;

    /// Starts writing `len` bytes from byte `first` of the mapping to the file; `wait`: till they
    /// are written, where the system can be asked for that.
    fn flush(
        section: &Self::Section,
        mapping: &Self::Mapping,
        first: usize,
        len: usize,
        wait: bool,
    ) -> Result<()>;

    /// Waits until the device has what was flushed of the file.
    fn sync(section: &Self::Section) -> Result<()>;

    /// See [`crate::machine`].
    fn page_size() -> usize;
    /// See [`crate::machine`].
    fn granularity() -> usize;
    /// See [`crate::machine`].
    fn nap(time: Duration) {
        std::thread::sleep(time);
    }
    /// See [`crate::machine`].
    fn boot_id() -> Result<[u64; 2]>;
    /// See [`crate::machine`].
    fn pid_namespace() -> u64;
    /// See [`crate::machine`].
    fn program(_: u32) -> Option<String> {
        None
    }
    /// See [`crate::machine`].
    fn random() -> Result<[u64; 2]>;
    /// See [`crate::machine`].
    fn generation() -> u32;
    /// See [`crate::machine`].
    fn is_generation(generation: u32) -> bool;

    /// Whether the lock of a gem's map is an object with a name, which can be there before its section
    /// is. If not, `ruby_take` and the others are handed the section.
    const RUBY_LOCK_HAS_A_NAME: bool;

    /// The lock of a section with these options.
    fn ruby_lock(options: &SectionOptions) -> Result<Self::RubyLock>;

    /// Takes it for this thread, by one thread of the process at a time; answers whether its last holder was
    /// gone.
    fn ruby_take(
        lock: &Self::RubyLock,
        section: Option<&Self::Section>,
        timeout: Duration,
    ) -> Result<bool>;

    /// Gives back what this thread took; answers whether nobody else had done so, and when.
    fn ruby_give(lock: &Self::RubyLock, section: Option<&Self::Section>)
    -> Result<(bool, Instant)>;

    /// See [`crate::RubyLock::unlock`].
    fn ruby_unlock(
        lock: &Self::RubyLock,
        section: Option<&Self::Section>,
        force: bool,
    ) -> Result<bool>;

    /// See [`crate::Locks::new`].
    fn locks(spec: LockSpec) -> Result<Self::Locks>;

    /// See [`crate::Locks::lock`]. Acquire on success, which pairs with the Release of `unlock`
    /// and `unmark`, and with the kernel's change of the word at a death.
    ///
    /// The word is what stands in it and nothing else: one that names an owner who is gone is
    /// taken over, one that names a living owner, stopped or not, never is, a forged one costs a
    /// `TimedOut`.
    fn lock(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        timeout: Duration,
    ) -> Result<Taken, Refused>;

    /// See [`crate::Locks::try_lock`].
    #[inline]
    fn try_lock(_: &Self::Locks, _: &MappedRange, _at: usize) -> bool {
        false
    }

    /// See [`crate::Locks::unlock`].
    fn unlock(locks: &Self::Locks, range: &MappedRange, at: usize);

    /// Wakes all who sleep on the 32-bit word at byte `at`, without changing it.
    fn wake(locks: &Self::Locks, range: &MappedRange, at: usize);

    /// See [`crate::Locks::park`].
    fn park(
        locks: &Self::Locks,
        range: &MappedRange,
        at: usize,
        seen: u32,
        at_most: Duration,
    ) -> Result<bool>;
}
