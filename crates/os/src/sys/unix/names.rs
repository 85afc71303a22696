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
//!
//! Native names are objects of others: opened as they are, without locks and without a look at the
//! owner, and never removed.

#[cfg_attr(not(target_os = "linux"), path = "names/native_shm.rs")]
mod native;

use super::{
    aside::{self, Aside},
    error::{cvt, refuse},
    ofd::{self, Hold},
    pause::Pause,
    section::{Kind, Section, check_size, size_to_create},
};
use crate::{
    Error, ErrorKind, Name, Origin, Result, Scope, SectionFlags, SectionOptions, sys::How,
};
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Memory on Linux. Elsewhere a directory that the system does not tidy up by itself: shared
/// memory objects have no locks there, and can be neither published whole nor told from left ones.
const DIRECTORY: &str = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };

/// The name that a handle helps to keep alive.
#[derive(Debug)]
pub(super) struct Life {
    path: PathBuf,
    /// Whether copies of the descriptor in other processes count as handles.
    inherit: bool,
}

impl Life {
    fn new(path: &Path, options: &SectionOptions) -> Self {
        Self { path: path.into(), inherit: options.inherit }
    }

    /// Before the descriptor is closed, in the process that opened it or (not `here`) in a child:
    /// gives the lock back and takes the name away if it was the last. Answers itself where that
    /// can only be done after the descriptor is closed.
    pub(super) fn leave(self, fd: BorrowedFd<'_>, here: bool) -> Option<Self> {
        if self.inherit || !here {
            return Some(self);
        }
        let _ = ofd::set(fd, ofd::LIFE, Hold::Nothing);
        // Fails with a descriptor for reading only, which cannot lock exclusively.
        let Ok(reaped) = reap(fd, &self.path) else { return Some(self) };
        if reaped {
            let _ = ofd::set(fd, ofd::LIFE, Hold::Nothing);
        }
        None
    }

    /// After the descriptor is closed: takes the name away if it was the last. Whatever is in the
    /// way, who comes next does it.
    pub(super) fn look_after(self) {
        if let Ok(Some(fd)) = open(&self.path, OFlags::RDWR) {
            let _ = reap(fd.as_fd(), &self.path);
        }
    }
}

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
    Path::new(DIRECTORY).join(file)
}

pub(super) fn obtain(
    name: &Name,
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    if name.is_native() {
        return native::obtain(name, options, how, fill);
    }
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
    let Some(fd) = open(path, OFlags::RDWR)? else { return Ok(Found::Nothing) };
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
    let Some(fd) = open(path, OFlags::RDONLY)? else { return Ok(Found::Passing) };
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
    let new = Aside::new(path).map_err(no_directory)?;
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

fn no_directory(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            refuse(ErrorKind::Unsupported, format!("{DIRECTORY} is not there; mount a tmpfs on it"))
                .because(error)
        }
        _ => error,
    }
}

/// Opens what bears the name, if it is a section of ours; `None` where there is nothing.
fn open(path: &Path, access: OFlags) -> Result<Option<OwnedFd>> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            let stat = fs::fstat(&fd).map_err(cvt)?;
            // Without a name since: removed between the two calls.
            if stat.st_nlink == 0 {
                return Ok(None);
            }
            trust(&stat)?;
            Ok(Some(fd))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => {
            // Whose it is, and of what kind, says more than that it cannot be opened.
            if let Ok(stat) = fs::lstat(path) {
                trust(&stat)?;
            }
            Err(cvt(errno))
        }
    }
}

/// Whether anything in it may be believed: the directory is open to all users.
fn trust(stat: &fs::Stat) -> Result<()> {
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !regular {
        return Err(other_kind());
    }
    let (owner, user) = (stat.st_uid, rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(refuse(
            ErrorKind::ForeignOwner,
            format!(
                "it belongs to user {owner} and this is user {user}; choose another name, or run as that user"
            ),
        ));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse(
            ErrorKind::PermissionDenied,
            "other users may write to it, so nothing in it is trusted; remove it from the directory of shared memory",
        ));
    }
    if stat.st_nlink > 1 {
        return Err(refuse(
            ErrorKind::PermissionDenied,
            "it has a second name in the file system, so nothing in it is trusted; remove it from the directory of shared memory",
        ));
    }
    Ok(())
}

fn other_kind() -> Error {
    refuse(
        ErrorKind::NameTaken,
        "another kind of object bears the name (a directory, a link, a fifo); remove it, or choose another name",
    )
}

/// Whether the name stands for the file of this descriptor.
fn is_bound(path: &Path, fd: BorrowedFd<'_>) -> Result<bool> {
    let file = fs::fstat(fd).map_err(cvt)?;
    match fs::lstat(path) {
        Ok(name) => Ok((name.st_dev, name.st_ino) == (file.st_dev, file.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(cvt(errno)),
    }
}

/// Takes the name away where nobody lives behind it; whether that was so. The exclusive lock is
/// held until `fd` is closed.
fn reap(fd: BorrowedFd<'_>, path: &Path) -> Result<bool> {
    if !ofd::set(fd, ofd::LIFE, Hold::Exclusive)? {
        return Ok(false);
    }
    if is_bound(path, fd)? {
        fs::unlink(path).map_err(cvt)?;
    }
    Ok(true)
}
