//! System calls that the standard library lacks.

use std::{ffi::CString, fs::File, io, os::fd::AsRawFd, os::unix::ffi::OsStrExt, path::Path};

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path")
}

fn done(code: i32) {
    assert_eq!(code, 0, "{}", io::Error::last_os_error());
}

pub(crate) fn fifo(path: &Path) {
    // SAFETY: the path ends with a zero and lives until after the call.
    done(unsafe { libc::mkfifo(c(path).as_ptr(), 0o666) });
}

/// Creates a fifo unless the path is taken.
pub(crate) fn fifo_if(path: &Path) {
    // SAFETY: as above.
    unsafe { libc::mkfifo(c(path).as_ptr(), 0o666) };
}

/// Creates the character device of zeros, or a block device without a driver.
pub(crate) fn device(path: &Path, block: bool) {
    let (mode, number) = if block {
        (libc::S_IFBLK | 0o666, libc::makedev(240, 0))
    } else {
        (libc::S_IFCHR | 0o666, libc::makedev(1, 5))
    };
    // SAFETY: as above.
    done(unsafe { libc::mknod(c(path).as_ptr(), mode, number) });
}

pub(crate) fn give(path: &Path, user: u32) {
    // SAFETY: as above.
    done(unsafe { libc::lchown(c(path).as_ptr(), user, user) });
}

/// Adds an access control list that lets `user` read and write, beside the owner.
pub(crate) fn let_in(path: &Path, user: u32, list: &str) {
    // Version 2, then a tag, rights and a number each: owner, user, group, mask, others.
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, number) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 6, user),
        (4, 0, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    let list = CString::new(list).expect("a name");
    // SAFETY: path and name end with a zero; the call reads as many bytes as it is given; all of
    // them outlive the call.
    done(unsafe {
        libc::setxattr(c(path).as_ptr(), list.as_ptr(), bytes.as_ptr().cast(), bytes.len(), 0)
    });
}

/// Locks every byte of the file and all beyond its end; the lock is shared if the file may only be
/// read.
pub(crate) fn lock_all(file: &File, exclusive: bool) {
    // SAFETY: the structure is made of integers, for which all zeros is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = (if exclusive { libc::F_WRLCK } else { libc::F_RDLCK }) as i16;
    // SAFETY: the descriptor is open; the structure lives until after the call.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) });
}
