//! Objects that other programs created, or will look up, under exactly this name: files in
//! `/dev/shm`, as `shm_open` creates them. They are opened as they are, without locks and without a
//! check of the owner, and are never removed.

use super::{
    super::error::{cvt, refuse},
    aside::{self, Aside},
    handle::{Kind, Section, check_size, size_to_create},
    shm,
};
use crate::{
    error::{ErrorKind, Result},
    name::Name,
    options::{SectionFlags, SectionOptions},
    spec::{How, Origin},
};
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};
use std::{os::fd::AsFd, path::Path};

pub(super) fn obtain(
    name: &Name,
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    let path = Path::new(shm::DIRECTORY).join(name.as_str().trim_start_matches('/'));
    for _ in 0..100 {
        if how != How::Create
            && let Some(section) = find(&path, options)?
        {
            return Ok((section, Origin::Opened));
        }
        if how == How::Open {
            return Err(cvt(Errno::NOENT).detail("no shared memory object of exactly this name; check it (ls /dev/shm), or create it"));
        }
        if how == How::Create && fs::lstat(&path).is_ok() {
            return Err(cvt(Errno::EXIST));
        }
        if let Some(section) = make(&path, options, fill)? {
            return Ok((section, Origin::Created));
        }
    }
    Err(refuse(ErrorKind::Contended, "other processes keep making and removing it; try again"))
}

fn find(path: &Path, options: &SectionOptions) -> Result<Option<Section>> {
    let writable = options.protection.writable();
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(cvt)?,
    };
    let stat = fs::fstat(&fd).map_err(cvt)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(shm::other_kind());
    }
    check_size(fd.as_fd(), options)?;
    Ok(Some(Section::new(fd, Kind::Named, false, writable).at(path)))
}

fn make(
    path: &Path,
    options: &SectionOptions,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<Option<Section>> {
    let size = size_to_create(options)?;
    let new = Aside::new(path).map_err(shm::explain_directory)?;
    aside::allocate(new.fd(), size, options.flags.contains(SectionFlags::RESERVE), shm::DIRECTORY)?;
    fill(Section::duplicate_of(new.fd(), Kind::Named)?)?;
    Ok(new.publish(path)?.map(|fd| Section::new(fd, Kind::Named, true, true).at(path)))
}
