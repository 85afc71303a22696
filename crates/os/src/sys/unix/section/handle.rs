//! The handle of a section of any kind.

#![allow(unsafe_code, reason = "nothing safe reports what `close` says")]

use super::{
    super::{
        error::{cvt, has_no_fsync, of_flush, refuse, uninterrupted},
        machine, place,
    },
    life::Life,
};
use crate::{
    error::{ErrorKind, Result},
    options::SectionOptions,
    spec::SectionId,
};
use rustix::{fs, io::Errno};
use std::{
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Named,
    Anonymous,
}

#[derive(Debug)]
pub(crate) struct Section {
    handle: Handle,
    pub(super) kind: Kind,
    pub(crate) created: bool,
    /// Whether the descriptor is writable, and so can lock exclusively.
    pub(crate) writable: bool,
    /// Whether an `Attachment` of this handle exists.
    pub(crate) attached: AtomicBool,
    /// The size of its pages; 0 for the usual size.
    page: usize,
    /// Held by the thread that grows the section.
    pub(super) growing: Mutex<()>,
    /// The directory of a new file, until its entry is known to be on the device.
    directory: Mutex<Option<OwnedFd>>,
}

/// The open file, and the name that the handle helps to keep alive.
#[derive(Debug)]
struct Handle {
    // Taken by `end`, which runs once.
    fd: ManuallyDrop<OwnedFd>,
    life: Option<Life>,
    /// The process that opened the file.
    generation: u32,
}

impl Handle {
    /// Leaves the name and closes the file. The caller calls it once: in `drop`, or instead of it.
    fn end(&mut self) -> Result<()> {
        let here = self.generation == machine::generation();
        let life = self.life.take().and_then(|life| life.leave(self.fd.as_fd(), here));
        // SAFETY: this function runs once (see above), and `fd` is not used after it.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        // SAFETY: the descriptor was owned and is given up by `into_raw_fd`; no other code closes
        // it, and it is not used again whatever the call returns.
        let closed = unsafe { libc::close(fd.into_raw_fd()) };
        let error = std::io::Error::last_os_error();
        if let Some(life) = life {
            life.reap_after_close();
        }
        match Errno::from_io_error(&error) {
            // After an interruption Linux has closed the descriptor all the same.
            Some(errno) if closed == -1 && errno != Errno::INTR => Err(cvt(errno)),
            _ => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Returns the size for a new section, or an error if the options have none.
pub(super) fn size_to_create(options: &SectionOptions) -> Result<u64> {
    options.size.ok_or_else(|| {
        refuse(ErrorKind::InvalidArgument, "there is none yet and no size; give one")
    })
}

impl Section {
    pub(super) fn new(fd: OwnedFd, kind: Kind, created: bool, writable: bool) -> Self {
        Self {
            handle: Handle {
                fd: ManuallyDrop::new(fd),
                life: None,
                generation: machine::generation(),
            },
            kind,
            created,
            writable,
            attached: AtomicBool::new(false),
            page: 0,
            growing: Mutex::new(()),
            directory: Mutex::new(None),
        }
    }

    /// Returns the same section, with pages of that many bytes.
    pub(super) fn paged(self, page: usize) -> Self {
        Self { page, ..self }
    }

    /// Returns the same section, which keeps its name alive.
    pub(super) fn living(mut self, life: Life) -> Self {
        self.handle.life = Some(life);
        self
    }

    /// Returns the same section, which syncs its entry in that directory with its first flush.
    pub(super) fn in_directory(mut self, directory: Option<OwnedFd>) -> Self {
        self.directory = Mutex::new(directory);
        self
    }

    /// Returns a duplicate for `fill`: the same open file, without name and locks to release.
    pub(super) fn duplicate_of(fd: BorrowedFd<'_>, kind: Kind) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(cvt)?;
        Ok(Self::new(fd, kind, true, true))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd.as_fd()
    }

    /// Whether this process opened it. A child after fork shares the locks and must not free them.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.handle.generation == machine::generation()
    }

    pub(crate) fn has_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Returns the size of the pages that its mappings consist of; 0 for the usual size.
    pub(crate) fn page(&self) -> usize {
        self.page
    }

    pub(crate) fn size(&self) -> Result<u64> {
        size_of(self.fd())
    }

    pub(crate) fn id(&self) -> Result<Option<SectionId>> {
        if !self.has_file() {
            return Ok(None);
        }
        place::identity(self.fd()).map(Some)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        if !self.has_file() {
            return Ok(());
        }
        to_device(self.fd())?;
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = directory.as_ref() {
            match uninterrupted(|| fs::fsync(open)) {
                Err(errno) if !has_no_fsync(errno) => return Err(of_flush(errno)),
                _ => *directory = None,
            }
        }
        Ok(())
    }

    pub(crate) fn close(self) -> Result<()> {
        ManuallyDrop::new(self.handle).end()
    }
}

pub(super) fn size_of(fd: BorrowedFd<'_>) -> Result<u64> {
    let stat = fs::fstat(fd).map_err(cvt)?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

/// Refuses an existing section that is smaller than the options ask for.
pub(super) fn check_size(fd: BorrowedFd<'_>, options: &SectionOptions) -> Result<()> {
    let size = size_of(fd)?;
    match options.size {
        Some(wanted) if wanted > size => Err(refuse(
            ErrorKind::TooLarge,
            format!(
                "it has {size} bytes and {wanted} were asked for; ask for no more, or make it anew"
            ),
        )),
        _ => Ok(()),
    }
}

/// `fsync` of macOS leaves the bytes in the drive's cache; this call does not.
#[cfg(target_vendor = "apple")]
fn to_device(fd: BorrowedFd<'_>) -> Result<()> {
    uninterrupted(|| fs::fcntl_fullfsync(fd)).map_err(of_flush)
}

#[cfg(not(target_vendor = "apple"))]
fn to_device(fd: BorrowedFd<'_>) -> Result<()> {
    uninterrupted(|| fs::fdatasync(fd)).map_err(of_flush)
}

impl AsFd for Section {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}
