//! A section for foreign code, or for another process: its handle, as the standard library calls it.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};

/// A duplicate of the descriptor keeps the memory, but its name only where the section was opened
/// with [`inherit`](crate::SectionOptions::inherit).
#[cfg(unix)]
impl AsFd for crate::section::Section {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.sys.as_fd()
    }
}

/// The handle of the section object; of an empty file, of which Windows makes none, the file's.
#[cfg(windows)]
impl AsHandle for crate::section::Section {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.shared.sys.as_handle()
    }
}
