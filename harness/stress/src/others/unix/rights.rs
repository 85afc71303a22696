//! What other users may do to a map in use, and what a read-only handle can be turned into.

use super::{
    DENIED, LIMIT, SQUATTERS, TimedOut, USER, World, as_user, by, describe, fs, has_map, kernel,
    seen_of, staying,
};
use crate::unix::stay_as;
use mapvar::{
    ErrorKind, Map,
    section::{Access, Name, Protection, Section},
};
use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    time::Duration,
};

pub(crate) fn all(world: &mut World) {
    made_private(world);
    living(world);
    handed_over(world);
    reader(world);
    gate(world);
    sealed(world);
}

fn code(result: &io::Result<()>) -> String {
    match result {
        Ok(()) => "DONE".into(),
        Err(error) => error.raw_os_error().map_or(error.to_string(), |code| match code {
            libc::EPERM => "EPERM".into(),
            libc::EACCES => "EACCES".into(),
            libc::EBADF => "EBADF".into(),
            libc::ESRCH => "ESRCH".into(),
            libc::EEXIST => "EEXIST".into(),
            libc::EINVAL => "EINVAL".into(),
            code => code.to_string(),
        }),
    }
}

/// The mode of what mapvar creates is its own, whatever the process's mask and the folder's lists
/// say.
fn made_private(world: &mut World) {
    for (case, listed) in [
        ("made private, whatever the mask", false),
        ("made private, whatever the folder's ACL", true),
    ] {
        let mut seen = Vec::new();
        for squatter in SQUATTERS {
            let (name, mut file) = (world.name(USER), world.file());
            if listed {
                let folder = file.path.clone();
                by(USER, || {
                    fs::create_dir(&folder).expect("a folder");
                    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("chmod");
                    kernel::let_in(&folder, squatter, "system.posix_acl_default");
                });
                file.path = folder.join("x.map");
                file.text = file.path.display().to_string();
            }
            let targets = [name, file];
            let making = stay_as(USER, LIMIT, || {
                // SAFETY: no pointer.
                unsafe { libc::umask(0) };
                let maps = targets.each_ref().map(|target| target.options().create());
                (if maps.iter().all(Result::is_ok) { "there" } else { "no" }.into(), maps)
            });
            let making = making.expect("maps");
            assert_eq!(making.said, "there", "maps can be made");
            for target in &targets {
                let mode = fs::metadata(&target.path).map(|stat| stat.mode() & 0o7777);
                let tried = as_user(squatter, LIMIT, || {
                    let read = fs::File::open(&target.path).map(drop);
                    let write = fs::OpenOptions::new().write(true).open(&target.path).map(drop);
                    format!("{} {}", code(&read), code(&write))
                });
                let right = tried.as_deref() == Ok("EACCES EACCES") && matches!(mode, Ok(0o600));
                let tried = tried.unwrap_or_else(|why| why);
                seen.push(super::Seen::new(
                    right,
                    format!("mode {:o}, {tried}", mode.unwrap_or(0)),
                ));
            }
            drop(making);
            // The user was killed with its map open, so its name is still there.
            for target in &targets {
                super::remove(&target.path);
            }
            if let Some(folder) = targets[1].path.parent().filter(|_| listed) {
                super::remove(folder);
            }
        }
        world.table.row(&format!("rights: {case}"), "mode 600, EACCES", &seen);
    }
}

/// Tries everything that another user can try on a map that a user has open.
fn living(world: &mut World) {
    type Attempt = fn(&Path, i32) -> io::Result<()>;
    let attempts: [(&str, &str, Attempt); 12] = [
        ("opens it to read", "EACCES", |path, _| fs::File::open(path).map(drop)),
        ("opens it to write", "EACCES", |path, _| {
            fs::OpenOptions::new().write(true).open(path).map(drop)
        }),
        ("removes its name", "EPERM", |path, _| fs::remove_file(path)),
        ("renames it", "EPERM", |path, _| fs::rename(path, path.with_extension("gone"))),
        ("puts another file in its place", "EPERM", |path, _| {
            let other = path.with_extension("evil");
            fs::write(&other, "evil")?;
            let done = fs::rename(&other, path);
            let _ = fs::remove_file(other);
            done
        }),
        ("makes a second file of its name", "EEXIST", |path, _| {
            fs::OpenOptions::new().write(true).create_new(true).open(path).map(drop)
        }),
        ("gives it another mode", "EPERM", |path, _| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        }),
        ("makes it shorter", "EACCES", |path, _| {
            let path = std::ffi::CString::new(path.to_str().unwrap_or_default())?;
            // SAFETY: the path ends with a zero and lives until after the call.
            result(unsafe { libc::truncate(path.as_ptr(), 0) }.into())
        }),
        ("signals its user", "EPERM", |_, pid| {
            // SAFETY: no pointer; the process was started by this harness.
            result(unsafe { libc::kill(pid, libc::SIGUSR1) }.into())
        }),
        ("looks at its user's descriptors", "EACCES", |_, pid| {
            fs::read_dir(format!("/proc/{pid}/fd")).map(drop)
        }),
        ("opens its user's memory", "EACCES", |_, pid| {
            fs::File::open(format!("/proc/{pid}/mem")).map(drop)
        }),
        ("takes a descriptor of its user's", "EPERM", |_, pid| {
            // SAFETY: no pointer.
            let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
            // SAFETY: no pointer.
            result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, 3, 0) })
        }),
    ];
    for named in [true, false] {
        let target = if named { world.name(USER) } else { world.file() };
        let user = has_map(USER, &target, "own");
        let before = describe(&target.path);
        let what = if named { "name" } else { "file" };
        for (case, expected, attempt) in attempts {
            let seen = SQUATTERS.map(|squatter| {
                let tried = as_user(squatter, LIMIT, || code(&attempt(&target.path, user.pid)));
                // The link count must be the same again; the access time is not compared.
                let same = describe(&target.path) == before;
                let right = tried.as_deref() == Ok(expected) && same;
                super::Seen::new(right, tried.unwrap_or_else(|why| why))
            });
            world.table.row(&format!("{what} in use: another user {case}"), expected, &seen);
        }
        let seen = SQUATTERS.map(|squatter| {
            let outcome = as_user(squatter, LIMIT, || {
                let native =
                    target.path.file_name().and_then(|name| name.to_str()).expect("a name");
                let native = Section::options().name(Name::native(native).expect("a name")).open();
                let file = Section::options().file(&target.path).open();
                let map = Map::options().file(&target.path).open();
                let none = if named { ErrorKind::PermissionDenied } else { ErrorKind::NotFound };
                let kinds = [
                    (native.err().map(|e| e.kind()), none),
                    (file.err().map(|e| e.kind()), ErrorKind::PermissionDenied),
                    (map.err().map(|e| e.kind()), ErrorKind::PermissionDenied),
                ];
                let wrong = kinds.iter().find(|(seen, wanted)| *seen != Some(*wanted));
                wrong.map_or("PermissionDenied".into(), |wrong| format!("WRONG: {wrong:?}"))
            });
            seen_of(outcome, describe(&target.path) == before)
        });
        let case = format!("{what} in use: another user opens it by its path and native name");
        world.table.row(&case, "PermissionDenied", &seen);
        drop(user);
        super::remove(&target.path);
    }
}

/// Gives a read-only handle to another user with the whole process: there must be no way to write.
fn handed_over(world: &mut World) {
    let target = world.name(0);
    let seen = SQUATTERS.map(|squatter| {
        let outcome = as_user(0, LIMIT, || {
            let map = target.options().create().expect("a map");
            map.set("own", 1).expect("set");
            let name = Name::new(&target.text).expect("a name").with_suffix(".map");
            let section = Section::options().name(name).protection(Protection::ReadOnly).open();
            let section = section.expect("a section for who reads");
            let view = section.view().access(Access::Read).map().expect("a view for who reads");
            let (fd, address) = (section.as_fd().as_raw_fd(), view.as_ptr().addr());
            let given = as_user(squatter, LIMIT, || {
                let again = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"));
                let tried = [
                    ("EACCES", code(&again.map(drop))),
                    ("EBADF", code(&pwrite(fd))),
                    ("EACCES", code(&map_for_writing(fd))),
                    ("EACCES", code(&protect(address))),
                    ("EINVAL", code(&shorten(fd))),
                    ("EPERM", code(&change_mode(fd))),
                ];
                match tried.iter().position(|(wanted, seen)| wanted != seen) {
                    None => "EACCES, EBADF, EPERM".into(),
                    Some(at) => format!("WRONG: {tried:?} at {at}"),
                }
            });
            given.unwrap_or_else(|why| format!("WRONG: {why}"))
        });
        seen_of(outcome, true)
    });
    world.table.row(
        "reader: its descriptor and view, given to another user",
        "EACCES, EBADF, EPERM",
        &seen,
    );
}

fn result(code: libc::c_long) -> io::Result<()> {
    if code >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn pwrite(fd: i32) -> io::Result<()> {
    // SAFETY: one byte is read from a constant.
    result(unsafe { libc::pwrite(fd, c"x".as_ptr().cast(), 1, 0) } as libc::c_long)
}

fn map_for_writing(fd: i32) -> io::Result<()> {
    let how = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses; no code uses it.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, how, libc::MAP_SHARED, fd, 0) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn protect(address: usize) -> io::Result<()> {
    let place = std::ptr::with_exposed_provenance_mut(address);
    // SAFETY: a page of a view that the caller owns; more rights harm no reader of it.
    result(unsafe { libc::mprotect(place, 4096, libc::PROT_READ | libc::PROT_WRITE) }.into())
}

fn shorten(fd: i32) -> io::Result<()> {
    // SAFETY: no pointer.
    result(unsafe { libc::ftruncate(fd, 0) }.into())
}

fn change_mode(fd: i32) -> io::Result<()> {
    // SAFETY: no pointer.
    result(unsafe { libc::fchmod(fd, 0o666) }.into())
}

/// A read-only map has neither views nor descriptors in its process that could write.
fn reader(world: &mut World) {
    for named in [true, false] {
        let target = if named { world.name(USER) } else { world.file() };
        let seen = [USER, 0].map(|user| {
            let mut target = target.clone();
            if named && user == 0 {
                target.path = crate::region::place_of(0, &target.text);
            }
            let user_has = has_map(user, &target, "own");
            let outcome = as_user(user, LIMIT, || {
                let map = match target.options().read_only(true).open() {
                    Ok(map) => map,
                    Err(error) => return format!("WRONG: no map for a reader: {error}"),
                };
                assert_eq!(map.get::<i64>("own").expect("own"), 1);
                writable_parts(&target.path).unwrap_or("none".into())
            });
            drop(user_has);
            super::remove(&target.path);
            seen_of(outcome, true)
        });
        let what = if named { "name" } else { "file" };
        world.table.row(&format!("reader: by {what}, a way to write"), "none", &seen);
    }
}

/// Returns a view or descriptor of that file through which this process could write to it.
fn writable_parts(path: &Path) -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let ours: Vec<_> =
        maps.lines().filter(|line| line.contains(path.to_str().unwrap_or("?"))).collect();
    if ours.is_empty() {
        return Some("WRONG: no view".into());
    }
    for line in ours {
        let address = line.split('-').next().and_then(|from| usize::from_str_radix(from, 16).ok());
        if !line.contains(" r--s ") {
            return Some(format!("WRONG: {line}"));
        }
        if protect(address.expect("an address")).is_ok() {
            return Some("WRONG: the view can be made writable".into());
        }
    }
    for entry in fs::read_dir("/proc/self/fd").expect("descriptors").flatten() {
        if fs::read_link(entry.path()).is_ok_and(|to| to == path) {
            let info = entry.path().display().to_string().replace("/fd/", "/fdinfo/");
            let info = fs::read_to_string(info).expect("fdinfo");
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("flags");
            if flags & 3 != 0 {
                return Some(format!("WRONG: a descriptor with flags {flags:o}"));
            }
        }
    }
    None
}

/// A file that its owner lets others read: one of them can lock all of it, and so block an opener.
/// The opener must then fail in time.
fn gate(world: &mut World) {
    let seen = SQUATTERS.map(|squatter| {
        let target = world.file();
        by(USER, || drop(target.options().create().expect("a map")));
        fs::set_permissions(&target.path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let locking = staying(squatter, || {
            let file = fs::File::open(&target.path).expect("open");
            kernel::lock_all(&file, false);
            file
        });
        let before = describe(&target.path);
        let outcome = as_user(USER, LIMIT, || {
            let began = std::time::Instant::now();
            match target.options().open() {
                Err(error)
                    if error.kind() == TimedOut && began.elapsed() < Duration::from_secs(5) =>
                {
                    "TimedOut".into()
                }
                other => format!("WRONG: {other:?} after {:?}", began.elapsed()),
            }
        });
        let same = before == describe(&target.path);
        drop(locking);
        super::remove(&target.path);
        seen_of(outcome, same)
    });
    world.table.row("file: mode 0644, all of it locked by who may read it", "TimedOut", &seen);
}

fn denied(outcome: mapvar::Result<Map>) -> String {
    match outcome {
        Err(error) if DENIED[0].contains(&error.kind()) => "PermissionDenied".into(),
        other => format!("WRONG: {other:?}"),
    }
}

/// Memory without a name, reached through its creator's descriptor.
fn sealed(world: &mut World) {
    let bytes = world.filed.clone();
    let make = |seals: i32| {
        // SAFETY: the name ends with a zero.
        let fd = unsafe { libc::memfd_create(c"x".as_ptr(), libc::MFD_ALLOW_SEALING) };
        // SAFETY: the call returned this descriptor, and no other code owns it.
        let file: fs::File = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("write");
        // SAFETY: no pointer.
        let sealed = unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) };
        assert_eq!(sealed, 0, "sealed");
        file
    };
    let seen = SQUATTERS.map(|squatter| {
        let making = stay_as(squatter, LIMIT, || {
            let file = make(libc::F_SEAL_SHRINK);
            (file.as_raw_fd().to_string(), file)
        });
        let making = making.expect("a squatter");
        let path = format!("/proc/{}/fd/{}", making.pid, making.said);
        let outcome = as_user(USER, LIMIT, || {
            let options = Map::options().file(&path);
            let opened = denied(options.open());
            if opened == "PermissionDenied" { denied(options.open_or_create()) } else { opened }
        });
        seen_of(outcome, true)
    });
    world.table.row("file: memory of another process, /proc/<pid>/fd", "PermissionDenied", &seen);
    let seen = [USER, 0].map(|user| {
        let outcome = as_user(user, LIMIT, || {
            let file = make(libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW);
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            denied(Map::options().file(&path).open())
        });
        seen_of(outcome, true)
    });
    world.table.row(
        "file: memory sealed against writing, /proc/self/fd",
        "PermissionDenied",
        &seen,
    );
}
