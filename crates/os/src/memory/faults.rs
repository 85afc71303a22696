//! Faults of mapped memory, turned into errors.
//!
//! Mapped memory can be lost while a process uses it:
//!
//! * the file is truncated;
//! * the disk or `/dev/shm` is full when a page is first written;
//! * a network share or a disk is disconnected, or a read fails.
//!
//! By default the system then ends the process at the instruction that accessed the page (`SIGBUS`
//! on Unix, an exception on Windows). This crate prevents that. When the first view of a process is
//! mapped, it installs a handler that knows the addresses of all views. For a fault in a view the
//! handler
//!
//! 1. marks the view as lost, permanently: [`View::lost`](crate::View::lost);
//! 2. changes the word that [`is_epoch`](crate::machine::is_epoch) reads, so that a thread which
//!    uses many views detects the loss by one load;
//! 3. replaces the lost page by private memory, all zeros, and lets the instruction run again.
//!
//! Every access therefore completes, but its result is valid only if the view is not lost
//! *afterwards*. [`View::read_at`](crate::View::read_at), `write_at` and `flush` check this, and
//! fail with [`Truncated`](crate::ErrorKind::Truncated) or [`Io`](crate::ErrorKind::Io). A user of
//! [`Words`](crate::Words) checks it at the end of each operation. Other views, even of the same
//! section, are not affected.
//!
//! A fault at any other address goes to the handler that was installed before, or ends the process
//! as it would without this crate. A program that handles these signals itself calls
//! [`leave_alone`] before it maps its first view.
//!
//! A handler that is installed later and does not call the previous one also receives the faults of
//! views. Such a program should call `leave_alone`.

use crate::memory::registry;

/// Prevents the installation of the fault handler in this process.
///
/// For a program, or its host, that handles these signals and exceptions itself. The call must come
/// before the first view is mapped and before the first section is created. Returns false if the
/// handler is installed already.
///
/// After this call, a fault in a view goes to the program's own handler. Without one, the process
/// ends.
pub fn leave_alone() -> bool {
    registry::is_left_alone()
}
