//! Sections over files.

use super::{
    super::{
        error::{cvt, is, refuse},
        ofd::Witness,
        place,
    },
    aside::{self, Aside},
    handle::{Kind, Section, check_size, size_to_create},
};
use crate::{
    error::{Error, ErrorKind, Result},
    options::{SectionFlags, SectionOptions},
    spec::{How, Origin},
};
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

pub(super) fn obtain(
    path: &Path,
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    // There is more than one round only if other processes create and remove the file at the same
    // time.
    for _ in 0..100 {
        if how != How::Create {
            match find(path, options) {
                Ok(section) => return Ok((section, Origin::Opened)),
                Err(error) if error.kind() == ErrorKind::NotFound && how == How::OpenOrCreate => {}
                Err(error) => return Err(error),
            }
        }
        match fs::lstat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Err(_) => {}
            Ok(FileType::RegularFile) if how == How::Create => return Err(cvt(Errno::EXIST)),
            Ok(FileType::RegularFile) => continue,
            Ok(FileType::Symlink) => {
                return Err(match fs::stat(path) {
                    Ok(stat) => check_kind(stat.st_mode).err().unwrap_or_else(|| cvt(Errno::EXIST)),
                    Err(_) => refuse(
                        ErrorKind::NameTaken,
                        "it is a symbolic link to nothing; remove it, or make what it leads to",
                    ),
                });
            }
            Ok(_) => return Err(other_kind()),
        }
        if let Some(section) = make(path, options, fill)? {
            return Ok((section, Origin::Created));
        }
    }
    Err(refuse(ErrorKind::Contended, "other processes keep making and removing it; try again"))
}

fn find(path: &Path, options: &SectionOptions) -> Result<Section> {
    let told = |errno| {
        let error = cvt(errno);
        match errno {
            Errno::NOENT => error.detail("there is no such file; check the path, or create it"),
            Errno::NOTDIR => error.detail("a part of the path is no directory; check the path"),
            _ => error,
        }
    };
    // Checked before the file is opened: opening a device can have effects, and opening a fifo
    // waits.
    check_kind(fs::stat(path).map_err(told)?.st_mode)?;
    let writable = options.protection.writable();
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = fs::open(path, flags, Mode::empty()).map_err(told)?;
    check_kind(fs::fstat(&fd).map_err(cvt)?.st_mode)?;
    check_place(fd.as_fd(), options)?;
    check_size(fd.as_fd(), options)?;
    Ok(Section::new(fd, Kind::File, false, writable).at(path))
}

/// Creates a file under that path. Returns `None` if another one has appeared there in the
/// meantime.
fn make(
    path: &Path,
    options: &SectionOptions,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<Option<Section>> {
    let size = size_to_create(options)?;
    if path.file_name().is_none() {
        return Err(refuse(ErrorKind::InvalidArgument, "the path names no file; give it a name"));
    }
    let new = Aside::new(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            error.detail("its directory does not exist; make it, or choose another")
        }
        ErrorKind::PermissionDenied if is(&error, Errno::ROFS) => {
            error.detail("its directory is on a read-only file system; choose another directory")
        }
        ErrorKind::PermissionDenied => error.detail(
            "its directory takes no new files from this user; choose another, or change its mode",
        ),
        _ => error,
    })?;
    check_place(new.fd(), options)?;
    aside::allocate(new.fd(), size, options.flags.contains(SectionFlags::RESERVE), aside::ITS_OWN)?;
    // Opened before the file gets its name: without a free descriptor nothing is left behind.
    let witness = Witness::of(new.fd(), new.path(), true)?;
    fill(Section::duplicate_of(new.fd(), Kind::File)?)?;
    let Some(fd) = new.publish(path)? else { return Ok(None) };
    let section = Section::new(fd, Kind::File, true, true);
    let section = section.at(path).witnessed(witness);
    Ok(Some(section.in_directory(open_directory(aside::directory(path)))))
}

/// Opens the directory, so that the first flush can sync the new entry. `None` if this user may
/// write to the directory but not read it, and so cannot sync it.
fn open_directory(path: &Path) -> Option<OwnedFd> {
    fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn other_kind() -> Error {
    refuse(
        ErrorKind::NameTaken,
        "it is no regular file but another kind of object (a directory, a fifo, a device); choose another path",
    )
}

fn check_kind(mode: fs::RawMode) -> Result<()> {
    if FileType::from_raw_mode(mode) == FileType::RegularFile { Ok(()) } else { Err(other_kind()) }
}

fn check_place(fd: BorrowedFd<'_>, options: &SectionOptions) -> Result<()> {
    if options.allow_network || !place::is_remote(fd)? {
        return Ok(());
    }
    Err(refuse(
        ErrorKind::Unsupported,
        "it is on a network drive (NFS, SMB) or a file system of a program (FUSE, 9p), where other views of the file may not see its writes and locks; use a local file, or allow_network(true)",
    ))
}
