//! The handle of a section of any kind.

#![allow(unsafe_code, reason = "nothing safe reports what `close` says")]

use super::{
    super::{
        error::{cvt, has_no_fsync, of_flush, refuse, uninterrupted},
        machine,
        ofd::Witness,
        place,
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
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError, atomic::AtomicBool},
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
    /// Where it was found or created, if it has a path. It is absolute: a relative path would change
    /// its meaning with the program's directory.
    path: Option<PathBuf>,
    /// Opened when it is first needed: see [`lock_file`](Self::lock_file).
    witness: OnceLock<Option<Witness>>,
    /// The size of its pages; 0 for the usual size.
    page: usize,
    /// Held by the thread that grows the section.
    pub(super) growing: Mutex<()>,
    /// The directory of a new file, until its entry is known to be on the device.
    directory: Mutex<Option<OwnedFd>>,
    /// Whether the file system's word on holes counts, once it was asked.
    #[cfg(target_os = "linux")]
    knows_holes: OnceLock<bool>,
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
            path: None,
            witness: OnceLock::new(),
            page: 0,
            growing: Mutex::new(()),
            directory: Mutex::new(None),
            #[cfg(target_os = "linux")]
            knows_holes: OnceLock::new(),
        }
    }

    /// Returns the same section, which was found or created at that path.
    pub(super) fn at(mut self, path: &Path) -> Self {
        self.path = std::path::absolute(path).ok();
        self
    }

    /// Returns the same section, with pages of that many bytes.
    pub(super) fn paged(self, page: usize) -> Self {
        Self { page, ..self }
    }

    /// Returns the same section, whose second open file has been opened already.
    pub(super) fn witnessed(self, witness: Option<Witness>) -> Self {
        Self { witness: OnceLock::from(witness), ..self }
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

    /// Returns the descriptor whose open file has the byte locks of this handle, except the one
    /// that keeps a name alive. It is the descriptor of the memory itself where the file cannot be
    /// opened a second time, and in a child after fork.
    pub(crate) fn lock_file(&self) -> Result<BorrowedFd<'_>> {
        // A child must not wait for a thread that only its parent has.
        if !self.is_of_this_process() {
            return Ok(self.fd());
        }
        let witness = match self.witness.get() {
            Some(witness) => witness,
            None => {
                let new = Witness::of(self.fd(), self.path.as_deref(), self.writable)?;
                self.witness.get_or_init(|| new)
            }
        };
        Ok(witness.as_ref().and_then(Witness::fd).unwrap_or_else(|| self.fd()))
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

    /// See [`crate::sys::Platform::allocated`].
    pub(crate) fn allocated(&self) -> Result<Option<u64>> {
        // The unit of `st_blocks`, whatever the size of the file system's blocks.
        const BLOCK: u64 = 512;
        let blocks = fs::fstat(self.fd()).map_err(cvt)?.st_blocks;
        let tells = cfg!(target_os = "linux") || self.kind == Kind::File;
        let bytes = u64::try_from(blocks).ok().and_then(|blocks| blocks.checked_mul(BLOCK));
        Ok(bytes.filter(|_| tells))
    }

    /// See [`crate::sys::Platform::data_from`].
    #[cfg(target_os = "linux")]
    pub(crate) fn data_from(&self, at: u64) -> Result<Option<(u64, u64)>> {
        let end = self.size()?;
        let Some(start) = self.data_before(at, end) else { return Ok(None) };
        if !self.knows_holes() {
            return Ok(Some((start, end)));
        }
        let hole = fs::seek(self.fd(), fs::SeekFrom::Hole(start)).unwrap_or(end);
        // A file that another program changes at this moment may give an empty range.
        Ok(Some((start, if hole > start { hole.min(end) } else { end })))
    }

    /// See [`crate::sys::Platform::next_data`].
    #[cfg(target_os = "linux")]
    pub(crate) fn next_data(&self, at: u64) -> Result<Option<u64>> {
        Ok(self.data_before(at, self.size()?))
    }

    /// Returns the first offset from `at` on, and before `end`, that may hold data.
    #[cfg(target_os = "linux")]
    fn data_before(&self, at: u64, end: u64) -> Option<u64> {
        if at >= end || !self.knows_holes() {
            return (at < end).then_some(at);
        }
        // The call moves the position of the open file, which this crate never uses.
        match fs::seek(self.fd(), fs::SeekFrom::Data(at)) {
            Ok(start) => Some(start.max(at)).filter(|start| *start < end),
            // No data follows.
            Err(Errno::NXIO) => None,
            Err(_) => Some(at),
        }
    }

    #[cfg(target_os = "linux")]
    fn knows_holes(&self) -> bool {
        *self.knows_holes.get_or_init(|| knows_holes(self.fd()))
    }

    /// See [`crate::sys::Platform::check_name`].
    pub(crate) fn check_name(&self) -> Result<()> {
        let found = match (&self.handle.life, &self.path) {
            (Some(life), _) => fs::lstat(life.path()),
            (None, Some(path)) => fs::stat(path),
            (None, None) => return Ok(()),
        };
        let own = fs::fstat(self.fd()).map_err(cvt)?;
        let detail = match found {
            Ok(found) if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino) => return Ok(()),
            Ok(_) => "it was replaced: its name leads to another file now",
            Err(Errno::NOENT | Errno::NOTDIR) if own.st_nlink == 0 => "it was removed",
            Err(Errno::NOENT | Errno::NOTDIR) => "it was renamed or removed",
            // For example, the directory may not be searched any more: nothing is known.
            Err(_) => return Ok(()),
        };
        Err(refuse(
            ErrorKind::NameRemoved,
            format!(
                "{detail}, so no other process can find what this one sets; open it again, and \
                 copy to it what it lacks"
            ),
        ))
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
        if !self.is_of_this_process() {
            // The name is its creator's, and the mutex may be another thread's of the parent for
            // ever.
            return Ok(());
        }
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

/// Whether holes that the file system reports are zeros for every mapping too: pages that were
/// written by a mapping, and are not on the disk yet, must count as data. It is so for these file
/// systems. FUSE asks its server, which does not know of such pages; ZFS has reported holes over
/// fresh data (`OpenZFS` issue 15526).
#[cfg(target_os = "linux")]
fn knows_holes(fd: BorrowedFd<'_>) -> bool {
    // From linux/magic.h: ext2 to ext4, xfs, btrfs, f2fs, tmpfs.
    const KNOWN: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
    fs::fstatfs(fd).is_ok_and(|stat| KNOWN.contains(&place::kind(&stat)))
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
