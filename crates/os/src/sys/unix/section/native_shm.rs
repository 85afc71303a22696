//! Objects that other programs created, or will look up, under exactly this name. A new one is
//! visible before it is sized and filled: these systems have no other way.

use super::{
    super::error::{cvt, refuse},
    aside,
    handle::{Kind, Section, check_size, size_to_create},
};
use crate::{
    error::{ErrorKind, Result},
    name::Name,
    options::SectionOptions,
    spec::{How, Origin},
};
use rustix::{
    fs::{self, Mode},
    io::Errno,
    shm,
};
use std::os::fd::AsFd;

pub(super) fn obtain(
    name: &Name,
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    let name = format!("/{}", name.as_str().trim_start_matches('/'));
    let writable = options.protection.writable();
    for _ in 0..100 {
        if how != How::Create {
            let access = if writable { shm::OFlags::RDWR } else { shm::OFlags::RDONLY };
            match shm::open(name.as_str(), access, Mode::empty()) {
                Ok(fd) => {
                    check_size(fd.as_fd(), options)?;
                    let section = Section::new(fd, Kind::Named, false, writable);
                    return Ok((section, Origin::Opened));
                }
                Err(Errno::NOENT) if how == How::OpenOrCreate => {}
                Err(errno) => return Err(cvt(errno)),
            }
        }
        let size = size_to_create(options)?;
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let fd = match shm::open(name.as_str(), flags, aside::PRIVATE) {
            Err(Errno::EXIST) if how == How::OpenOrCreate => continue,
            other => other.map_err(cvt)?,
        };
        let filled = fs::ftruncate(&fd, size)
            .map_err(cvt)
            .and_then(|()| fill(Section::duplicate_of(fd.as_fd(), Kind::Named)?));
        if let Err(error) = filled {
            let _ = shm::unlink(name.as_str());
            return Err(error);
        }
        return Ok((Section::new(fd, Kind::Named, true, true), Origin::Created));
    }
    Err(refuse(ErrorKind::Contended, "other processes keep making and removing it; try again"))
}
