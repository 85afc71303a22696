//! Where a file lies: its file system, and the identity that it has there.

use super::error::cvt;
use crate::{error::Result, spec::SectionId};
use rustix::fs;
use std::os::fd::BorrowedFd;

/// Returns the identity of an open file.
pub(super) fn identity(fd: BorrowedFd<'_>) -> Result<SectionId> {
    let stat = fs::fstat(fd).map_err(cvt)?;
    Ok(SectionId {
        volume: volume(fd, number(stat.st_dev))?,
        device: number(stat.st_dev),
        file: number(stat.st_ino),
        born: born(fd, &stat),
        lasting: !is_remote(fd)?,
    })
}

/// Converts a number of `stat`, whose type differs between systems. A negative device number keeps
/// its bits.
pub(super) fn number<T: TryInto<u64> + TryInto<i64> + Copy>(number: T) -> u64 {
    number
        .try_into()
        .or_else(|_| TryInto::<i64>::try_into(number).map(i64::cast_unsigned))
        .unwrap_or(0)
}

/// Returns the id of the file system, if it does not change with a remount; otherwise 0.
///
/// ext4 and btrfs make it of their UUID (btrfs of the subvolume's too). xfs, FAT and others make it
/// of the number of the device, which another mount of the same disk may not have. An overlay
/// passes on that of its upper layer, or has its own.
#[cfg(target_os = "linux")]
fn volume(fd: BorrowedFd<'_>, device: u64) -> Result<u64> {
    const OVERLAY: u64 = 0x794c_7630;
    let id = fs::fstatvfs(fd).map_err(cvt)?.f_fsid;
    let of_device = {
        // As the kernel encodes it (`huge_encode_dev`).
        let (major, minor) = (u64::from(fs::major(device)), u64::from(fs::minor(device)));
        minor & 0xff | major << 8 | (minor & !0xff) << 12
    };
    let changes = kind(&fs::fstatfs(fd).map_err(cvt)?) == OVERLAY || id == of_device;
    Ok(if changes { 0 } else { id })
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the signature that every system has")]
fn volume(_: BorrowedFd<'_>, _: u64) -> Result<u64> {
    Ok(0)
}

/// The type of a file system has 32 bits, in an integer that differs between targets and may be
/// signed.
#[cfg(target_os = "linux")]
pub(super) fn kind(stat: &fs::StatFs) -> u64 {
    number(stat.f_type) & 0xffff_ffff
}

/// Whether other machines or programs may change the file unseen: locks, pages or the numbers of
/// files of such a file system are not shared with every other view of the same file.
#[cfg(target_os = "linux")]
pub(super) fn is_remote(fd: BorrowedFd<'_>) -> Result<bool> {
    // From linux/magic.h and the sources of the file systems. FUSE may be a second view of a local
    // folder (bindfs) or of anything else, and its server makes up locks and numbers of files.
    const REMOTE: [u64; 10] = [
        0x6969,      // nfs
        0x517b,      // smb
        0xfe53_4d42, // smb2
        0xff53_4d42, // cifs
        0x5346_414f, // afs
        0x6b41_4653, // kafs
        0x7375_7245, // coda
        0x00c3_6400, // ceph
        0x6573_5546, // fuse
        0x0102_1997, // 9p
    ];
    Ok(REMOTE.contains(&kind(&fs::fstatfs(fd).map_err(cvt)?)))
}

#[cfg(target_vendor = "apple")]
pub(super) fn is_remote(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = fs::fstatfs(fd).map_err(cvt)?;
    Ok(stat.f_flags & libc::MNT_LOCAL as u32 == 0)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
#[allow(clippy::unnecessary_wraps, reason = "the signature that every system has")]
pub(super) fn is_remote(_: BorrowedFd<'_>) -> Result<bool> {
    Ok(false)
}

#[cfg(target_os = "linux")]
fn born(fd: BorrowedFd<'_>, _: &fs::Stat) -> u64 {
    let flags = fs::AtFlags::EMPTY_PATH;
    match fs::statx(fd, c"", flags, fs::StatxFlags::BTIME) {
        Ok(stat) if stat.stx_mask & fs::StatxFlags::BTIME.bits() != 0 => {
            nanoseconds(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec.into())
        }
        _ => 0,
    }
}

#[cfg(target_vendor = "apple")]
fn born(_: BorrowedFd<'_>, stat: &fs::Stat) -> u64 {
    nanoseconds(stat.st_birthtime, u64::try_from(stat.st_birthtime_nsec).unwrap_or(0))
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn born(_: BorrowedFd<'_>, _: &fs::Stat) -> u64 {
    0
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn nanoseconds(seconds: i64, nanoseconds: u64) -> u64 {
    seconds.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}
