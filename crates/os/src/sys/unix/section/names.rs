//! Named sections, and how a name dies with its last handle.
//!
//! A named section is a file in a directory of memory: `/dev/shm/mapvar.<uid>.x` in the local
//! scope, `/dev/shm/mapvar.global.x` in the global one. On systems without `/dev/shm` the directory
//! is `/var/tmp`. The system itself would keep the name for ever. So every handle holds a *shared
//! lock* on one byte far beyond the end. The handle releases it when it is closed; the system
//! releases it when the process ends.
//!
//! | state of the name | seen as | goes to |
//! | --- | --- | --- |
//! | absent | `ENOENT` | *lived in*, by the `linkat` of a creator that holds the shared lock already |
//! | lived in | the shared lock is granted, the exclusive one is not | *left*, when the last shared lock goes, in any way |
//! | left | the exclusive lock is granted | *being reaped*, by the process that takes the exclusive lock |
//! | being reaped | neither lock is granted | *absent*, by the reaper's `unlink`; *left* again if the reaper dies before |
//!
//! Three processes become reapers. One closes a handle, and has released its shared lock before. (If
//! the last two handles are closed at once, neither could turn its shared lock into an exclusive
//! one.) Another opens or creates the name and finds it left. The third creates any name, and reaps
//! all that are left.
//!
//! Three rules guarantee that all living handles of a name are of one section (no split brain), and
//! that no name is removed while a handle lives:
//!
//! 1. A name is bound only by `linkat` (or a rename that replaces nothing) of a file on which the
//!    binder holds the shared lock. So it is never bound to a file that is *left*.
//! 2. A name is unbound only by a process that holds the exclusive lock on the very file that the
//!    name is bound to. With the lock held, the process has checked that the name still is. So the
//!    name stays bound while any handle holds a shared lock.
//! 3. An opener has the section only when it holds the shared lock and has checked, after taking
//!    it, that the name is still bound to that file. If not, it starts over.
//!
//! The races:
//!
//! - *Opener and last closer.* If the opener's shared lock comes first, the closer's exclusive one
//!   fails and the name stays. If the exclusive one comes first, the opener waits, finds the name
//!   gone by rule 3 and starts over.
//! - *Two creators.* `linkat` lets one win; the other finds the name lived in.
//! - *Two reapers.* One has the exclusive lock. The other gets it later, and finds by rule 2 that
//!   the name is no longer bound to its file.
//! - *A reaper that is killed* leaves the name as it was.
//! - *A creator that is killed* before `linkat` leaves nothing; after it, the creator leaves the
//!   name *left*.
//!
//! A waiting opener opens the file anew each time, so it never waits for a lock on a file that has
//! no name any more.
//!
//! The locks belong to the open file, which a child after `fork` shares. This includes the
//! short-lived child between the `fork` and `exec` of a thread that starts a program. So a handle
//! releases its lock by an explicit unlock, which counts for all copies. Without it, such a child
//! would keep the name lived in after the last handle was closed and had checked the lock. A child
//! never unlocks; it only closes. If the handle is *to be inherited*, its copies count, and it is
//! only closed.
//!
//! A program that unlinks the file by hand (`rm`, or systemd's `RemoveIPC`) breaks rule 2. The
//! handles go on; later openers do not find them.

use super::{
    super::{
        error::{cvt, is, refuse},
        ofd::{self, Hold},
        pause::Pause,
    },
    aside::{self, Aside},
    handle::{Kind, Section, check_size, size_to_create},
    life::{Life, is_bound, reap},
    shm,
};
use crate::{
    error::{Error, ErrorKind, Result},
    name::{Name, Scope},
    options::{SectionFlags, SectionOptions},
    spec::{How, Origin},
};
use rustix::{fs::OFlags, io::Errno};
use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

pub(crate) fn check_native_name(text: &str) -> Result<(), &'static str> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    if bare.contains('/') {
        Err("a slash inside the name; give a name as shm_open takes it")
    } else if matches!(bare, "" | "." | "..") {
        Err("a directory and no object; give a name as shm_open takes it")
    } else if bare.len() > 255 {
        Err("longer than the system allows; give at most 255 bytes")
    } else {
        Ok(())
    }
}

/// See [`Name::of_gem`].
pub(crate) fn gem_name(text: &str, scope: Scope) -> Result<Name> {
    Ok(Name::scoped(text, scope)?.with_suffix(".marshal"))
}

fn path_of(name: &Name) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let file = match name.scope() {
        Scope::Local => format!("mapvar.{uid}.{name}"),
        // Not `mapvar.<name>`: the global "0.x" would have the path of root's local "x".
        Scope::Global => format!("mapvar.global.{name}"),
    };
    Path::new(shm::DIRECTORY).join(file)
}

pub(super) fn obtain(
    name: &Name,
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    let path = path_of(name);
    let mut pause = Pause::up_to(options.timeout);
    loop {
        match find(&path, options)? {
            Found::Living(_) if how == How::Create => return Err(cvt(Errno::EXIST)),
            Found::Living(section) => {
                check_size(section.fd(), options)?;
                return Ok((section, Origin::Opened));
            }
            Found::Nothing if how == How::Open => return Err(no_such(name)),
            Found::Nothing => match make(&path, options, fill) {
                Ok(Some(section)) => return Ok((section, Origin::Created)),
                Ok(None) => {}
                // Of many creators that build at the same time, the last may find no space, while
                // the first has published its section.
                Err(error) if error.kind() == ErrorKind::NoSpace => match find(&path, options) {
                    Ok(Found::Living(_)) => {}
                    _ => return Err(error),
                },
                Err(error) => return Err(error),
            },
            Found::Passing => {}
        }
        if !pause.once() {
            return Err(refuse(
                ErrorKind::TimedOut,
                "another process is just making or removing it, for longer than the timeout; try again",
            ));
        }
    }
}

fn no_such(name: &Name) -> Error {
    // The other scope only if it helps: there a name of another user is refused.
    let there = |other: Name| matches!(shm::open(&path_of(&other), OFlags::RDONLY), Ok(Some(_)));
    let other = |scope| Name::scoped(name.as_str(), scope).is_ok_and(there);
    let detail = match name.scope() {
        Scope::Local if other(Scope::Global) => {
            "no section of this name in the local scope, but one in the global scope; open that with Name::global"
        }
        Scope::Local => "no section of this name of this user; create it",
        Scope::Global if other(Scope::Local) => {
            "no section of this name in the global scope, but one in the local scope; open that with Name::new"
        }
        Scope::Global => "no section of this name in the global scope; create it",
    };
    cvt(Errno::NOENT).detail(detail)
}

enum Found {
    /// Handles of the section live, one of which is now this one.
    Living(Section),
    /// There is no section of this name (any more).
    Nothing,
    /// The name is in a transitional state: try again.
    Passing,
}

fn find(path: &Path, options: &SectionOptions) -> Result<Found> {
    let fd = match shm::open(path, OFlags::RDWR) {
        Ok(Some(fd)) => fd,
        Ok(None) => return Ok(Found::Nothing),
        // A reader needs no right to write, which a directory that is mounted for reading gives to
        // nobody.
        Err(error) if !options.protection.writable() && is(&error, Errno::ROFS) => {
            return find_for_reading(path, options);
        }
        Err(error) => return Err(error),
    };
    if reap(fd.as_fd(), path)? {
        return Ok(Found::Nothing);
    }
    if !ofd::set(fd.as_fd(), ofd::LIFE, Hold::Shared)? || !is_bound(path, fd.as_fd())? {
        return Ok(Found::Passing);
    }
    let living = Section::new(fd, Kind::Named, false, true).at(path);
    let living = living.living(Life::new(path, options));
    if options.protection.writable() {
        return Ok(Found::Living(living));
    }
    // For reading: a second descriptor that cannot write, with its own lock before the first one
    // goes.
    find_for_reading(path, options)
}

/// Finds a section by a descriptor that cannot write, and so cannot reap what is left.
fn find_for_reading(path: &Path, options: &SectionOptions) -> Result<Found> {
    let Some(fd) = shm::open(path, OFlags::RDONLY)? else { return Ok(Found::Nothing) };
    // Left: the next process that may write reaps it.
    if ofd::held(fd.as_fd(), ofd::LIFE)? == Hold::Nothing {
        return Ok(Found::Nothing);
    }
    if !ofd::set(fd.as_fd(), ofd::LIFE, Hold::Shared)? || !is_bound(path, fd.as_fd())? {
        return Ok(Found::Passing);
    }
    let reading = Section::new(fd, Kind::Named, false, false).at(path);
    let reading = reading.living(Life::new(path, options));
    Ok(Found::Living(reading))
}

/// Removes all names of this user that killed processes have left, and frees their memory.
fn reap_left() {
    // A program that creates many names must not read the directory for each of them.
    const PERIOD: Duration = Duration::from_secs(1);
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // Never waits: after a fork the thread that had the mutex may be the parent's alone.
    let Ok(mut last) = LAST.try_lock() else { return };
    if last.is_some_and(|last| last.elapsed() < PERIOD) {
        return;
    }
    *last = Some(Instant::now());
    let Ok(entries) = std::fs::read_dir(shm::DIRECTORY) else { return };
    let own = format!("mapvar.{}.", rustix::process::geteuid().as_raw());
    for entry in entries.flatten() {
        let is_section = entry.file_name().to_str().is_some_and(|name| {
            // A file that is built aside has a '~', and no lock yet.
            (name.starts_with(&own) || name.starts_with("mapvar.global.")) && !name.contains('~')
        });
        if is_section && let Ok(Some(fd)) = shm::open(&entry.path(), OFlags::RDWR) {
            let _ = reap(fd.as_fd(), &entry.path());
        }
    }
}

/// Creates a section under that name. Returns `None` if the name was taken in the meantime.
fn make(
    path: &Path,
    options: &SectionOptions,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<Option<Section>> {
    let size = size_to_create(options)?;
    reap_left();
    let new = Aside::new(path).map_err(shm::explain_directory)?;
    aside::allocate(new.fd(), size, options.flags.contains(SectionFlags::RESERVE), shm::DIRECTORY)?;
    // No other process can know the file yet.
    if !ofd::set(new.fd(), ofd::LIFE, Hold::Shared)? {
        return Err(refuse(ErrorKind::Io, "the lock on a new file is not to be had"));
    }
    fill(Section::duplicate_of(new.fd(), Kind::Named)?)?;
    let Some(fd) = new.publish(path)? else { return Ok(None) };
    let section = Section::new(fd, Kind::Named, true, true);
    Ok(Some(section.at(path).living(Life::new(path, options))))
}
