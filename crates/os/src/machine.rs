//! Facts about this machine and this process that shared memory depends on.

use crate::{
    error::Result,
    memory::{addresses, epoch},
    sys::{Imp, Platform},
};
use std::{marker::PhantomData, time::Duration};

/// Returns the size of a page in bytes.
pub fn page_size() -> usize {
    Imp::page_size()
}

/// Returns the alignment of the offset of a mapping: 64 KiB on Windows, a page on Unix.
///
/// A [`View`](crate::View) may begin at any offset; see
/// [`ViewOptions::offset`](crate::ViewOptions::offset).
pub fn granularity() -> usize {
    Imp::granularity()
}

/// Returns how many bytes of address space the views of this process have, together with what they
/// [reserve](crate::ViewOptions::reserve).
pub fn addresses_taken() -> usize {
    addresses::taken()
}

/// Returns a value that changes with each start of the operating system.
///
/// It is the same for all processes between two starts. It is never zero.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) on Linux without `/proc`;
/// [`Io`](crate::ErrorKind::Io) if the system does not report it.
pub fn boot_id() -> Result<[u64; 2]> {
    Imp::boot_id()
}

/// Returns the namespace of this process's ids: the inode of its pid namespace on Linux, 0
/// elsewhere.
///
/// Process and thread ids of another namespace must not be compared with those of this one.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) on Linux without `/proc`, or with the `/proc` of
/// a namespace in which this process is not visible. No value stands for an unknown namespace,
/// since two unknown ones would count as the same.
pub fn pid_namespace() -> Result<u64> {
    Imp::pid_namespace()
}

/// Returns the name of the program that a process runs, if the system reports it.
pub fn program(pid: u32) -> Option<String> {
    Imp::program(pid)
}

/// Returns whether a process with this id may run: false only if the system says that none does, or
/// that it has ended and only waits for its parent. The id is of this process's own
/// [namespace](pid_namespace), and may belong to another program meanwhile.
pub fn may_run(pid: u32) -> bool {
    Imp::may_run(pid)
}

/// Returns 128 random bits from the operating system.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) if the system has no source of random bits.
pub fn random() -> Result<[u64; 2]> {
    Imp::random()
}

/// Sleeps for about `time`, or less: a signal ends the sleep.
///
/// The caller checks the clock after each call. `std::thread::sleep` resumes after a signal with
/// the rest of its time, which the system rounds up. Under signals that arrive faster than that it
/// never returns, and Ruby sends such signals to a thread that it interrupts.
pub fn nap(time: Duration) {
    Imp::nap(time);
}

/// RAII guard: while it lives, this thread is not cancelled (`pthread_cancel`).
///
/// For a binding to another language, around each call of it. The C library cancels a thread by
/// unwinding its stack from within a system call. It must not unwind Rust's functions: that ends
/// the process, and could do so while the thread owns a lock.
///
/// On Windows, which cancels no threads, it does nothing.
#[derive(Debug)]
#[must_use = "the thread can be cancelled as soon as the guard is dropped"]
pub struct Uncancelled {
    before: i32,
    /// The state belongs to the thread.
    _thread: PhantomData<*const ()>,
}

impl Uncancelled {
    /// Begins the time in which the thread is not cancelled.
    #[inline]
    pub fn begin() -> Self {
        Self { before: Imp::set_cancellation(Imp::UNCANCELLED), _thread: PhantomData }
    }
}

impl Drop for Uncancelled {
    #[inline]
    fn drop(&mut self) {
        Imp::set_cancellation(self.before);
    }
}

/// Returns a value that changes in a child process after `fork`, and never within a process.
///
/// A handle that was opened under another value belongs to the parent.
#[inline]
pub fn generation() -> u32 {
    Imp::generation()
}

/// Returns whether `generation`, a value that this process or its parent got from
/// [`generation()`], is still current.
///
/// It is cheaper than [`generation()`].
#[inline]
pub fn is_generation(generation: u32) -> bool {
    Imp::is_generation(generation)
}

/// Returns a value that changes in a child process after `fork`, and in any process when a view is
/// [lost](crate::View::lost).
///
/// A caller checks [`generation`] and each view that it uses once under this value. The result of
/// these checks is valid as long as [`is_epoch`] returns true.
pub fn epoch() -> u32 {
    // Its first call installs the handler that begins a new epoch in a child of `fork`.
    generation();
    epoch::current()
}

/// Returns whether no view of this process was ever lost, and the process is no forked child of one
/// that had asked for its [`epoch()`]. Then every check of an epoch is still valid.
///
/// It needs the same fences as [`is_epoch`].
#[inline]
pub fn is_first_epoch() -> bool {
    epoch::is_first()
}

/// Returns whether `epoch`, a value that this process got from [`epoch()`], is still current.
///
/// It costs one load and one comparison, and is meant for the end of every operation.
///
/// After loads and copies the caller needs a `fence(Acquire)` before this call; after an atomic
/// read-modify-write it needs none. If the call then returns true, the loads, copies or
/// read-modify-write are valid. After plain stores no fence is needed on Linux and Windows, where
/// the fault handler synchronizes all threads of the process before it replaces memory. Elsewhere
/// stores need a `fence(SeqCst)` before this call.
#[inline]
pub fn is_epoch(epoch: u32) -> bool {
    epoch::is_current(epoch)
}
