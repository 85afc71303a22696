//! The contract of an operating system. [`Platform`] documents it once; the implementations
//! document only the particulars of their system.

use crate::{
    error::Result,
    memory::{mapped::MappedRange, registry::Losses, words::Half},
    options::SectionOptions,
    spec::{How, LockSpec, MapSpec, Origin, Refused, SeatSpec, SectionId, Taken},
};
use std::{
    fmt,
    ptr::NonNull,
    time::{Duration, Instant},
};

/// What [`Platform::grow`] says of a file that is too short.
#[cfg(any(unix, windows))]
pub(crate) const TRUNCATED: &str = "another program has made it shorter; open it anew";

/// The contract between the operating system and everything above it.
///
/// Errors: an implementation returns [`crate::Error`] with the kind that corresponds to the
/// system's code, the code as source, and a detail that names the remedy. One function per system,
/// `cvt`, maps the codes (`errno` or `GetLastError`). The caller sets the operation and the object
/// (`Error::during`), except for [`obtain`](Self::obtain), which sets them itself (`how.verb()`,
/// `options.describe()`).
pub(crate) trait Platform {
    /// The system's handle of a section. Dropping it closes it and reports no error.
    type Section: fmt::Debug + Send + Sync;
    /// A mapped range. Dropping it unmaps it and reports no error.
    type Mapping: fmt::Debug + Send + Sync;
    /// The state of [`crate::Locks`] for one region.
    type Locks: fmt::Debug + Send + Sync;
    /// A lock word that the thread has acquired. Dropping it is `unlock`. It is not `Send`.
    type Grip<'a>;
    /// The object that keeps a seat taken, where the section's handle does not do so. Dropping it
    /// closes it and reports no error.
    type Seat: fmt::Debug + Send + Sync;
    /// The state of [`crate::RubyLock`], beside the section.
    type RubyLock: fmt::Debug + Send + Sync;

    /// Finds or creates a section.
    ///
    /// A new section has its whole size, exact to the byte, and is all zero. Memory or disk backs
    /// all of it (unless `RESERVE`). Only this user can read and write it. Before any other process
    /// can open the section, `fill` has run on a duplicate of the handle.
    ///
    /// The exception is a named section of Windows, which is visible at once. There the call holds
    /// the mutex `<name>.init` from before it creates the section until `fill` has returned (and
    /// again in [`alone_filling`](Self::alone_filling)).
    ///
    /// If anything fails, nothing is left behind. Of many processes that race with `OpenOrCreate`,
    /// exactly one creates the section, and all of them get the same one.
    ///
    /// An existing section is of the right kind (a regular file; a section), and its size is at
    /// least `options.size` (`TooLarge` otherwise). If it was found by a name that is not native,
    /// it belongs to this user (`ForeignOwner` otherwise). A path to a file follows symbolic links.
    /// The file may belong to another user, if the system grants the access.
    ///
    /// A named section lives as long as any living process has a handle to it.
    fn obtain(
        options: &SectionOptions,
        how: How,
        fill: &mut dyn FnMut(Self::Section) -> Result<()>,
    ) -> Result<(Self::Section, Origin)>;

    /// Runs `fill` while it holds the mutex `<name>.init`, where named sections are visible before
    /// they are filled. Elsewhere it runs `fill` at once.
    fn alone_filling(
        section: &Self::Section,
        options: &SectionOptions,
        fill: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Returns the true size in bytes.
    fn size(section: &Self::Section) -> Result<u64>;

    /// Returns how many bytes of disk or memory the system has allocated for the section; `None` if
    /// it does not tell.
    fn allocated(_: &Self::Section) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Returns the first range of bytes from `at` on that may hold anything but zeros, as its start
    /// and its end; `None` if there is none before the section's end. The start is `at` or above,
    /// and below the end. A system that does not know returns everything from `at` to the end.
    fn data_from(section: &Self::Section, at: u64) -> Result<Option<(u64, u64)>> {
        let end = Self::size(section)?;
        Ok((at < end).then_some((at, end)))
    }

    /// Returns the start of what [`data_from`](Self::data_from) returns. Takes no longer when much
    /// data follows.
    fn next_data(section: &Self::Section, at: u64) -> Result<Option<u64>> {
        Ok(Self::data_from(section, at)?.map(|(start, _)| start))
    }

    /// Makes the section at least `size` bytes long. Memory or disk backs all of it, and the new
    /// bytes are zero. After an error the section is as it was before, as far as the system allows.
    /// The handle must not be read-only. A file shorter than `known` bytes has been truncated, and
    /// stays so: to be longer again would hide that its bytes are lost.
    fn grow(section: &Self::Section, options: &SectionOptions, known: u64, size: u64)
    -> Result<()>;

    /// Fails with `NameRemoved` if the path or name under which the section was found or created
    /// leads to nothing any more, or to another object. Where the system cannot tell, and where an
    /// object in use keeps its name, it returns `Ok`.
    fn check_name(section: &Self::Section) -> Result<()>;

    /// Returns the identity of the section's file.
    fn id(section: &Self::Section) -> Result<Option<SectionId>>;

    /// Registers this handle as a user of a file (see [`crate::Attach::attach`]). Returns whether
    /// the file has no other user.
    ///
    /// Two bytes far beyond the end of any file are locked. The gate is locked exclusively, from
    /// this call to `attached` or `detach`. The room is locked shared, from `attached` at the
    /// latest, to `detach`. A read-only handle only passes the gate and does not enter the room.
    /// The handle is alone if, while it held the gate, it could lock the room exclusively for a
    /// moment.
    ///
    /// A named or anonymous section is alone if this handle created it; the call then locks
    /// nothing.
    fn attach(section: &Self::Section, timeout: Duration) -> Result<bool>;

    /// Locks the room shared, if `attach` has not done so, and releases the gate.
    fn attached(section: &Self::Section) -> Result<()>;

    /// Releases the gate and the room, whichever of them is locked. Reports no error.
    fn detach(section: &Self::Section);

    /// Takes one of `spec.seats` seats, with a number below `spec.among` (see
    /// [`crate::Seats::take_seat`]). The handle must be writable and have no seat yet. Returns
    /// the number of the seat, or `None` if all are taken.
    ///
    /// One handle at a time has a seat. The seat stays taken until `leave_seat` has run and the
    /// returned object was dropped, or until the process has ended, in any way. A process that did
    /// not open the handle gets `Closed`.
    fn take_seat(section: &Self::Section, spec: &SeatSpec) -> Result<Option<(usize, Self::Seat)>>;

    /// Returns whether a handle other than this one has the seat, whose number is below
    /// `spec.seats`. False is certain: no other handle has the seat. For a seat that this handle
    /// has itself, the result may be either. The call does not wait, and obstructs other processes
    /// for no longer than it runs. It fails with `Closed` as `take_seat` does.
    fn is_seat_taken(section: &Self::Section, spec: &SeatSpec, slot: usize) -> Result<bool>;

    /// Releases a seat, if this process opened the handle. Reports no error.
    fn leave_seat(section: &Self::Section, slot: usize);

    /// Closes the section and reports errors.
    fn close(section: Self::Section) -> Result<()>;

    /// Maps a range that lies within the section and whose offset is a multiple of the granularity.
    /// The memory is readable up to the end of the page in which the range ends, and writable there
    /// if the access allows writing. If the base address is not 0, the mapping begins exactly there
    /// and replaces nothing, or the call fails.
    ///
    /// The mapping owns the addresses of `spec.reserve` bytes, or of as many as the system grants.
    /// No address beyond the range is accessed before `extend`.
    fn map(section: &Self::Section, spec: &MapSpec) -> Result<Self::Mapping>;

    /// Returns the faults of the mapping. All of its memory is in the
    /// [registry](crate::memory::registry), from before `map` returns it, or `extend` makes it
    /// reachable, until it is unmapped.
    fn losses(mapping: &Self::Mapping) -> Losses;

    /// Makes the memory readable up to the end of the page in which `len` bytes end, and writable
    /// there if the access allows writing. These bytes lie within the section and within
    /// `reserved`. Any thread may call it at any time. A smaller `len` than before changes nothing.
    fn extend(section: &Self::Section, mapping: &Self::Mapping, len: usize) -> Result<()>;

    /// Tells the system, if it can be told, that the pages of these bytes of a file are read and
    /// written singly and in no order. The bytes lie within what `extend` has made accessible.
    fn scatter(_mapping: &Self::Mapping, _from: usize, _to: usize) {}

    /// Returns the largest `len` that `extend` accepts.
    fn reserved(mapping: &Self::Mapping) -> usize;

    /// Returns the first byte of a mapping, which is the beginning of a page.
    fn address(mapping: &Self::Mapping) -> NonNull<u8>;

    /// Unmaps the range and reports errors.
    fn unmap(mapping: Self::Mapping) -> Result<()>;

    /// Starts to write `len` bytes, from byte `first` of the mapping, to the file. With `wait` the
    /// call returns after they are written, where the system offers that.
    fn flush(
        section: &Self::Section,
        mapping: &Self::Mapping,
        first: usize,
        len: usize,
        wait: bool,
    ) -> Result<()>;

    /// Waits until the device has all flushed bytes of the file.
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
    fn pid_namespace() -> Result<u64>;
    /// See [`crate::machine`].
    fn program(_: u32) -> Option<String> {
        None
    }
    /// Whether a process with this id may run.
    fn may_run(_: u32) -> bool {
        true
    }
    /// See [`crate::machine`].
    fn random() -> Result<[u64; 2]>;
    /// See [`crate::machine`].
    fn generation() -> u32;
    /// See [`crate::machine`].
    fn is_generation(generation: u32) -> bool;

    /// The state of a thread that is not cancelled.
    const UNCANCELLED: i32 = 0;

    /// Sets whether this thread can be cancelled. Returns the former state.
    #[inline]
    fn set_cancellation(state: i32) -> i32 {
        state
    }

    /// Whether the lock of a gem's map is a named object, which can exist before its section does.
    /// If not, `ruby_take` and the other calls get the section.
    const RUBY_LOCK_HAS_A_NAME: bool;

    /// Returns the lock of a section with these options.
    fn ruby_lock(options: &SectionOptions) -> Result<Self::RubyLock>;

    /// Takes the lock for this thread. Only one thread of the process calls it at a time. Returns
    /// whether the last owner of the lock was dead.
    fn ruby_take(
        lock: &Self::RubyLock,
        section: Option<&Self::Section>,
        timeout: Duration,
    ) -> Result<bool>;

    /// Releases the lock that this thread took. Returns whether it was still held, so that no other
    /// process had released it in the meantime, and the time of the release.
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

    /// See [`crate::Locks::lock`]. On success an Acquire, which pairs with the Release of `unlock`
    /// and `unmark`, and with the kernel's change of the word when an owner dies.
    ///
    /// Only the value of the word counts. A word that names a dead owner is taken over. A word that
    /// names a living owner never is, even if that owner is stopped. A forged word costs a
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

    /// As `try_lock`, of a lock word of the region.
    fn try_grip<'a>(locks: &Self::Locks, word: &'a Half) -> Option<Self::Grip<'a>>;

    /// See [`crate::Locks::unlock`].
    fn unlock(locks: &Self::Locks, range: &MappedRange, at: usize);

    /// Wakes all threads that sleep on the 32-bit word at byte `at`, without changing it.
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
