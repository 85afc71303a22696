//! Growing sections, with memory or disk behind the new part, while other processes have them
//! mapped.
//!
//! A file grows by zeros that are written behind its end, in whole granules of 64 KiB: the next
//! piece of a view can only begin at a granule. Only one thread of all processes grows a file at a
//! time. A lock on a byte far beyond the end excludes other processes, and a mutex excludes the
//! threads that share a handle. So no zeros overwrite another process's bytes.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    super::{
        cvt::{cvt, last},
        machine,
        memory::pages::Piece,
    },
    attach::{self, GROWTH},
    handle::{Pages, Section, length},
};
use crate::{
    error::{Error, ErrorKind, Result},
    options::{SectionFlags, SectionOptions},
    sys::TRUNCATED,
};
use std::{
    fs::File,
    io,
    os::windows::{
        fs::FileExt,
        io::{AsHandle, AsRawHandle},
    },
    sync::{MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Storage::FileSystem::{
        FILE_ALLOCATION_INFO, FileAllocationInfo, LOCKFILE_EXCLUSIVE_LOCK,
        SetFileInformationByHandle,
    },
    System::Memory::FILE_MAP_WRITE,
};

/// See [`crate::sys::Platform::grow`].
pub(crate) fn grow(
    section: &Section,
    options: &SectionOptions,
    known: u64,
    size: u64,
) -> Result<()> {
    if matches!(section.pages, Pages::Large | Pages::Image) {
        return Err(Error::new(ErrorKind::Unsupported, "", "").detail(
            "large pages and executable images do not grow; make it anew, without that flag",
        ));
    }
    if let Some(file) = &section.file {
        return file_to(section, file, options.timeout, known, size);
    }
    if size > section.size {
        return Err(Error::new(ErrorKind::TooLarge, "", "").detail(format!(
            "{size} bytes where it was made for {}; make it anew with a larger max_size, or open \
             it by its file if it has one",
            section.size
        )));
    }
    if section.pages == Pages::Reserved && !options.flags.contains(SectionFlags::RESERVE) {
        let size = usize::try_from(size).map_err(|_| {
            Error::new(ErrorKind::TooLarge, "", "").detail("more than this process can map")
        })?;
        return commit(section, size);
    }
    Ok(())
}

/// Commits memory for the first `size` bytes of a reserved section, for every process.
fn commit(section: &Section, size: usize) -> Result<()> {
    // The memory stays committed when this view of it is gone.
    Piece::map(section.object(size as u64)?.as_handle(), FILE_MAP_WRITE, 0, size, 0)?.commit(size)
}

/// Makes the file at least `size` bytes long, up to the end of the granule.
pub(crate) fn file_to(
    section: &Section,
    file: &File,
    timeout: Duration,
    known: u64,
    size: u64,
) -> Result<()> {
    if length(file)? >= size {
        return Ok(());
    }
    let granule = machine::sizes().1 as u64;
    let size = size.checked_next_multiple_of(granule).filter(|size| i64::try_from(*size).is_ok());
    let Some(size) = size else {
        return Err(Error::new(ErrorKind::TooLarge, "", "")
            .detail("the size is 2^63 bytes or more; use a smaller size"));
    };
    let _alone = Alone::within(section, file, timeout)?;
    let from = length(file)?;
    if from < known {
        return Err(Error::new(ErrorKind::Truncated, "", "").detail(TRUNCATED));
    }
    if from >= size {
        return Ok(());
    }
    allocate(file, size)?;
    zeros(file, from, size).map_err(|error| {
        // If the file is mapped, Windows may refuse: then it stays longer, and zero. No process
        // uses the new bytes, since the growth was not reported.
        if length(file).is_ok_and(|now| (from..=size).contains(&now)) {
            let _ = file.set_len(from);
        }
        cvt(error)
    })
}

/// Allocates the disk space of the file, before a byte is written and with its length unchanged. A
/// full disk is an error here. File systems that cannot allocate report it when the bytes are
/// written.
fn allocate(file: &File, size: u64) -> Result<()> {
    let asked = FILE_ALLOCATION_INFO { AllocationSize: size.cast_signed() };
    // SAFETY: the handle is open for as long as it is borrowed. The structure is the one that this
    // class of information takes, has as many bytes as the length says, and lives across the call.
    // The call cuts nothing off: the file is shorter, and no other process grows it at the same
    // time (`Alone`).
    let done = unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            FileAllocationInfo,
            (&raw const asked).cast(),
            size_of::<FILE_ALLOCATION_INFO>() as u32,
        )
    };
    if done != 0 {
        return Ok(());
    }
    let error = last();
    if error.kind() == ErrorKind::NoSpace { Err(error) } else { Ok(()) }
}

/// Writes zeros from byte `from` to `size`, upward: if an error stops it, all that was written is
/// zero.
fn zeros(file: &File, from: u64, size: u64) -> io::Result<()> {
    const PART: usize = 1 << 18;
    let zeros = vec![0; usize::try_from(size - from).map_or(PART, |len| len.min(PART))];
    let mut at = from;
    while at < size {
        let part = usize::try_from(size - at).map_or(PART, |left| left.min(PART));
        match file.seek_write(zeros.get(..part).unwrap_or_default(), at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => at += written as u64,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The exclusive right to grow a file.
struct Alone<'a> {
    file: &'a File,
    _thread: MutexGuard<'a, ()>,
}

impl<'a> Alone<'a> {
    fn within(section: &'a Section, file: &'a File, timeout: Duration) -> Result<Self> {
        let thread = section.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now().checked_add(timeout);
        let mut pause = 1;
        while !attach::try_lock(file, GROWTH, LOCKFILE_EXCLUSIVE_LOCK)? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Error::new(ErrorKind::TimedOut, "", "").detail(
                    "another process has been growing it for longer than the timeout; try again, \
                     or end that process if it hangs",
                ));
            }
            thread::sleep(Duration::from_millis(pause));
            pause = (pause + 1).min(10);
        }
        Ok(Self { file, _thread: thread })
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let _ = attach::unlock(self.file, GROWTH);
    }
}
