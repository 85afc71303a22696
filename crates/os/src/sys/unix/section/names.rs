//! Sections by name, and how a name dies with its last handle.
//!
//! A named section is a file in a directory of memory: `/dev/shm/mapvar.<uid>.x` in the local scope,
//! `/dev/shm/mapvar.global.x` in the global one; on systems without `/dev/shm` in `/var/tmp`. The
//! system itself would keep the name for ever. So every handle holds a *shared lock* on one byte
//! far beyond the end, which it gives back when it is closed, or the system does when its process
//! ends.
//!
//! | state of the name | seen as | goes to |
//! | --- | --- | --- |
//! | absent | `ENOENT` | *lived in*, by the `linkat` of a creator that holds the shared lock already |
//! | lived in | shared lock can be had, exclusive cannot | *left*, when the last shared lock goes, in any way |
//! | left | exclusive lock can be had | *being reaped*, by who takes the exclusive lock |
//! | being reaped | neither lock can be had | *absent*, by the reaper's `unlink`; *left* again if the reaper dies before |
//!
//! Reaper is whoever closes a handle, after it has given its shared lock back (to turn a shared lock
//! into an exclusive one would fail for the last two of them both, if they close at once), and
//! whoever comes to open or create and finds the name left. Three rules, from which it follows that
//! all living handles of a name are of one section (no split brain), and that none is taken away
//! from under a living one:
//!
//! 1. a name is bound only by `linkat` (or a rename that replaces nothing) of a file on which the
//!    binder holds the shared lock: never to a file that is *left*;
//! 2. a name is unbound only by who holds the exclusive lock on the very file it is bound to, and
//!    has looked whether it still is, with the lock held. So it stays bound while anyone holds a
//!    shared one;
//! 3. an opener has the section only when it holds the shared lock and has looked, after taking it,
//!    whether the name is still bound to that file. If not, it starts over.
//!
//! The races: *opener and last closer*: either the opener's shared lock comes first, then the
//! closer's exclusive one fails and the name stays; or the exclusive one comes first, then the opener
//! waits, finds the name gone by rule 3 and starts over. *Two creators*: `linkat` lets one win,
//! the other finds the name lived in. *Two reapers*: one has the exclusive lock; the other finds,
//! with the lock and by rule 2, that the name is not bound to its file any more. *A reaper that is
//! killed* leaves the name as it was. *A creator that is killed* before `linkat` leaves nothing,
//! after it leaves the name *left*. Who waits opens anew each time, so that it never waits for a
//! lock on a file that has no name any more.
//!
//! The locks belong to the open file, of which a child after `fork` has the same: also the
//! short-lived one between the `fork` and `exec` of a thread that starts a program. Hence a handle
//! gives its lock back by an explicit unlock, which counts for all copies: else such a child would
//! keep the name lived in, after the last handle was closed and looked. A child never unlocks; it
//! only closes. Where the handle is *to be inherited* its copies count, and it is only closed.
//!
//! Somebody else who unlinks the file by hand (`rm`, or systemd's `RemoveIPC`) breaks rule 2; the
//! handles go on, later openers do not find them.

use super::{
    super::{
        error::{cvt, refuse},
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
};

pub(crate) fn check_native_name(text: &str) -> Result<(), &'static str> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    if bare.contains('/') {
        Err("a slash in its midst; give a name as shm_open takes it")
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

fn place(name: &Name) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let file = match name.scope() {
        Scope::Local => format!("mapvar.{uid}.{name}"),
        // Not `mapvar.<name>`: that of "0.x" would be the local "x" of root.
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
    let path = place(name);
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
                // Of many creators that build at the same time the last may find no room, while
                // the first has published.
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
    let detail = match name.scope() {
        Scope::Local => {
            "no section of this name of this user; create it, or open it with Name::global if its maker did so"
        }
        Scope::Global => {
            "no section of this name in the global scope; create it, or open it with Name::new if its maker did so"
        }
    };
    cvt(Errno::NOENT).detail(detail)
}

enum Found {
    /// It is lived in, also by this handle now.
    Living(Section),
    /// There is none (any more).
    Nothing,
    /// It is in a state that passes: look again.
    Passing,
}

fn find(path: &Path, options: &SectionOptions) -> Result<Found> {
    let Some(fd) = shm::open(path, OFlags::RDWR)? else { return Ok(Found::Nothing) };
    if reap(fd.as_fd(), path)? {
        return Ok(Found::Nothing);
    }
    if !ofd::set(fd.as_fd(), ofd::LIFE, Hold::Shared)? || !is_bound(path, fd.as_fd())? {
        return Ok(Found::Passing);
    }
    let living = Section::new(fd, Kind::Named, false, true).living(Life::new(path, options));
    if options.protection.writable() {
        return Ok(Found::Living(living));
    }
    // For reading: a descriptor that cannot write, with a lock of its own before the first goes.
    let Some(fd) = shm::open(path, OFlags::RDONLY)? else { return Ok(Found::Passing) };
    if !ofd::set(fd.as_fd(), ofd::LIFE, Hold::Shared)? || !is_bound(path, fd.as_fd())? {
        return Ok(Found::Passing);
    }
    let reading = Section::new(fd, Kind::Named, false, false).living(Life::new(path, options));
    Ok(Found::Living(reading))
}

/// A new section under that name; `None` where something has come there meanwhile.
fn make(
    path: &Path,
    options: &SectionOptions,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<Option<Section>> {
    let size = size_to_create(options)?;
    let new = Aside::new(path).map_err(shm::explain_directory)?;
    aside::allocate(new.fd(), size, options.flags.contains(SectionFlags::RESERVE))?;
    // Nobody else can know the file yet.
    if !ofd::set(new.fd(), ofd::LIFE, Hold::Shared)? {
        return Err(refuse(ErrorKind::Io, "the lock on a new file is not to be had"));
    }
    fill(Section::duplicate_of(new.fd(), Kind::Named)?)?;
    let Some(fd) = new.publish(path)? else { return Ok(None) };
    let section = Section::new(fd, Kind::Named, true, true);
    Ok(Some(section.living(Life::new(path, options))))
}
