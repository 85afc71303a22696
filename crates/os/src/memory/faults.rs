//! Faults of mapped memory, as errors.
//!
//! Memory that is mapped can go away under the one who uses it: its file is made shorter, the disk
//! or `/dev/shm` is full when a page is first written, a share or disk is lost, a read fails. The
//! system then ends the process (`SIGBUS`; an exception on Windows) in the middle of whatever
//! instruction touched the page. Here it does not. When the first view of a process is mapped, a
//! handler is installed that knows where this crate's views lie. For a fault in one of them it
//!
//! 1. marks the view as lost, for ever: [`View::lost`](crate::View::lost);
//! 2. changes the word that [`is_epoch`](crate::machine::is_epoch) reads, so that a thread which
//!    uses many views learns of the loss by one load;
//! 3. puts private memory, all zeros, where the page is gone, and lets the instruction be done
//!    again.
//!
//! Every access therefore ends, of whatever kind it is, and what it read or wrote is to be
//! believed only if the view is not lost *afterwards*. [`View::read_at`](crate::View::read_at),
//! `write_at` and `flush` look by themselves, and answer
//! [`Truncated`](crate::ErrorKind::Truncated) or [`Io`](crate::ErrorKind::Io). Who uses
//! [`Words`](crate::Words) looks when an operation is done. Other views, also of the same section,
//! are not touched.
//!
//! A fault anywhere else is none of ours: it goes to the handler that was installed before, or ends
//! the process as it would have. A program that wants to own these signals itself says so before
//! its first view: [`leave_alone`].
//!
//! What is out of reach: somebody who installs a handler after us and does not call ours. He gets
//! our faults too; `leave_alone` is then the honest thing.

use crate::memory::registry;

/// Leaves the signals and exceptions of this process alone: for a program, or the host of one,
/// that owns them. To be called before anything is mapped, the making of a section included.
/// False where that has happened, and the handler stands.
///
/// A fault in a view is then the program's to deal with. Without a handler of its own it ends.
pub fn leave_alone() -> bool {
    registry::is_left_alone()
}
