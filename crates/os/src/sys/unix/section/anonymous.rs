//! Anonymous sections: memory that only this process and the processes that inherit it can reach.

use super::{
    super::error::{cvt, refuse},
    aside,
    handle::{Kind, Section, size_to_create},
};
use crate::{
    error::{ErrorKind, Result},
    options::SectionOptions,
    spec::{How, Origin},
};
use rustix::fs;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use {crate::options::SectionFlags, rustix::io::Errno, std::os::fd::BorrowedFd};

pub(super) fn obtain(
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    if how == How::Open {
        return Err(refuse(
            ErrorKind::InvalidArgument,
            "an anonymous section cannot be opened; give a name or a file, or create it",
        ));
    }
    let size = size_to_create(options)?;
    let (fd, page) = memory(size, options)?;
    fill(Section::duplicate_of(fd.as_fd(), Kind::Anonymous)?.paged(page))?;
    let section = Section::new(fd, Kind::Anonymous, true, true);
    Ok((section.paged(page), Origin::Created))
}

/// Creates memory without a name. Returns it with the size of its pages, or 0 for the usual size.
#[cfg(target_os = "linux")]
fn memory(size: u64, options: &SectionOptions) -> Result<(OwnedFd, usize)> {
    use fs::MemfdFlags;
    let flags = options.flags;
    let huge = flags.contains(SectionFlags::LARGE_PAGES);
    let wanted = MemfdFlags::CLOEXEC
        | MemfdFlags::ALLOW_SEALING
        | if huge { MemfdFlags::HUGETLB } else { MemfdFlags::empty() };
    // Kernels before 6.3 do not know NOEXEC_SEAL; some later ones require it.
    let fd = match fs::memfd_create(c"mapvar", wanted | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => fs::memfd_create(c"mapvar", wanted),
        other => other,
    };
    let fd = fd.map_err(|errno| match errno {
        Errno::NODEV | Errno::NOSYS | Errno::INVAL if huge => refuse(
            ErrorKind::Unsupported,
            "this kernel has no huge pages; leave SectionFlags::LARGE_PAGES out",
        ),
        errno => cvt(errno),
    })?;
    fs::fchmod(&fd, aside::PRIVATE).map_err(cvt)?;
    let mut page = 0;
    if huge {
        page = huge_page(fd.as_fd())?;
        if !size.is_multiple_of(page) {
            return Err(refuse(
                ErrorKind::InvalidArgument,
                format!("size {size} with large pages; give a multiple of {page}"),
            ));
        }
    }
    let reserve = flags.contains(SectionFlags::RESERVE);
    if !reserve && !huge {
        check_memory(size)?;
    }
    aside::allocate(fd.as_fd(), size, reserve, "memory").map_err(|error| {
        if huge && error.kind() == ErrorKind::NoSpace {
            error.detail("too few huge pages are set aside; raise vm.nr_hugepages, or leave SectionFlags::LARGE_PAGES out")
        } else {
            error
        }
    })?;
    fs::fcntl_add_seals(&fd, fs::SealFlags::SHRINK).map_err(cvt)?;
    Ok((fd, page as usize))
}

/// Refuses more memory than the machine has free. Memory without a name has no limit of its own. A
/// request for all of it would wake the kernel's out-of-memory killer before the call fails.
#[cfg(target_os = "linux")]
pub(super) fn check_memory(size: u64) -> Result<()> {
    const SMALL: u64 = 64 << 20;
    if size < SMALL {
        return Ok(());
    }
    let Ok(meminfo) = std::fs::read_to_string("/proc/meminfo") else { return Ok(()) };
    let kib = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let (Some(free), swap) = (kib("MemAvailable"), kib("SwapFree").unwrap_or(0)) else {
        return Ok(());
    };
    let room = free.saturating_add(swap).saturating_mul(1024);
    if size <= room {
        return Ok(());
    }
    Err(refuse(
        ErrorKind::NoSpace,
        format!(
            "{size} bytes where the machine has {room} left; use a smaller size, or \
             SectionFlags::RESERVE"
        ),
    ))
}

/// Returns the size of a huge page, which the system reports as the block size of the file.
#[cfg(target_os = "linux")]
fn huge_page(fd: BorrowedFd<'_>) -> Result<u64> {
    let stat = fs::fstat(fd).map_err(cvt)?;
    Ok(u64::try_from(stat.st_blksize).unwrap_or(1).max(1))
}

/// Creates a shared memory object, which has its name for a moment only. No disk can run full
/// behind it; its pages come with the first touch. Its size can be set only once (macOS), and a
/// mapping does not reach beyond it (FreeBSD). So the object has its greatest size from the start.
#[cfg(not(target_os = "linux"))]
fn memory(size: u64, options: &SectionOptions) -> Result<(OwnedFd, usize)> {
    use rustix::shm;
    let size = size.max(options.max_size.unwrap_or(0));
    let [bits, _] = super::super::machine::random()?;
    // macOS allows at most 31 characters.
    let name = format!("/mapvar~{bits:016x}");
    let fd = shm::open(
        name.as_str(),
        shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR,
        aside::PRIVATE,
    )
    .map_err(cvt)?;
    shm::unlink(name.as_str()).map_err(cvt)?;
    fs::ftruncate(&fd, size).map_err(cvt)?;
    Ok((fd, 0))
}
