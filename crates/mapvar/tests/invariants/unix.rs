//! Tests that only Unix permits, or permits without a library: I9, I10, I12, I13, I18, I20, I21.
//! For Windows see `crates/os/src/sys/windows/tests` and `crates/os/tests/faults_wine.rs`.
#![allow(unsafe_code, reason = "fork and its companions, which the standard library has not")]

use crate::{
    common::{Owned, Watchdog, child, quick_folder, start, unique},
    peer::{Peer, await_word, options, report},
};
use mapvar::{Error, ErrorKind, Format, Map};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

unsafe extern "C" {
    safe fn fork() -> i32;
    safe fn _exit(code: i32) -> !;
    safe fn alarm(seconds: u32) -> u32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

/// Runs `body` in a child of this process; returns its exit code, which is the result of `body`.
fn forked(body: impl FnOnce() -> i32) -> i32 {
    let child = fork();
    assert!(child >= 0);
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(99);
        _exit(code);
    }
    let mut status = 0;
    // SAFETY: waits for the child created above, and writes its status to a local.
    let waited = unsafe { waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    assert_eq!(status & 0x7f, 0, "the child was ended by a signal: it hung");
    status >> 8
}

// --- I9 ------------------------------------------------------------------------------------------

/// Role: fills a map twice until no space is left, and checks its content.
pub(crate) fn fill_up(arguments: &[String]) {
    for map in arguments {
        let map = options(map).size(4_000).create().unwrap();
        let value = |number: u64| vec![number; 500 + number as usize % 7 * 300];
        for round in 0..2 {
            let mut fits = 0;
            let error = loop {
                match map.set(&format!("v{fits}"), value(fits)) {
                    Ok(()) => fits += 1,
                    Err(error) => break error,
                }
                assert!(fits < 10_000, "there is no end to it");
            };
            let kinds = [ErrorKind::NoSpace, ErrorKind::TooLarge, ErrorKind::Full];
            assert!(kinds.contains(&error.kind()), "{error}");
            assert!(fits > 5, "{round}: {fits} fit: {error}");
            // The earlier values are unchanged, the value that did not fit does not exist, and the
            // map has space for a small value.
            assert_eq!(map.count().unwrap(), fits);
            for number in 0..fits {
                let found = map.get::<Vec<u64>>(&format!("v{number}")).unwrap();
                assert_eq!(found, value(number), "{number}");
            }
            assert!(!map.contains(&format!("v{fits}")).unwrap());
            map.set("v0", value(0)).unwrap();
            assert!(
                map.transaction(|tx| {
                    tx.set("v1", 1)?;
                    tx.set("huge", vec![7_u8; 8 << 20])
                })
                .is_err()
            );
            assert_eq!(map.get::<Vec<u64>>("v1").unwrap(), value(1));
            map.flush().unwrap();
            map.clear().unwrap();
            map.flush().unwrap();
        }
        map.close().unwrap();
    }
    report("done");
}

/// Fuller: `crates/os/tests/contract.rs` (`where_there_is_no_room_the_section_stays_as_it_was`).
#[test]
fn i09_a_full_file_system_is_an_error_and_the_map_goes_on() {
    let _watchdog = Watchdog::new("I9, full", Duration::from_mins(1));
    // Not in /dev/shm, since the child has another /dev/shm.
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().to_str().unwrap();
    for size in ["512k", "2m"] {
        let mounts = format!(
            "mount -t tmpfs -o size={size} none '{small}' && mount -t tmpfs -o size={size} none /dev/shm"
        );
        let apart = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["-Urm", "sh", "-c", script]);
            command
        };
        let tried = apart(&mounts).stderr(Stdio::null()).status();
        if !tried.is_ok_and(|status| status.success()) {
            eprintln!("I9 SKIPPED: this user may not mount a file system (unshare -Urm)");
            return;
        }
        let mut command = apart(&format!("{mounts} && exec \"$@\""));
        command.arg("sh");
        let file = dir.path().join("full.map");
        let name = unique("i09");
        let mut peer = Peer::start_by(command, "fill up", &[file.to_str().unwrap(), &name]);
        peer.expect("done");
        peer.finish();
    }
}

/// Fuller: `crates/os/tests/contract.rs` (`limits_of_the_process_are_errors_or_less_reserve`).
#[test]
fn i09_a_limit_of_the_process_is_an_error_and_the_map_goes_on() {
    let _watchdog = Watchdog::new("I9, limits", Duration::from_mins(1));
    let dir = quick_folder();
    let mut command = Command::new("sh");
    // The unit is 512 bytes, or 1 KiB if the shell is bash.
    command.args(["-c", "ulimit -f 1024 && exec \"$@\"", "sh"]);
    let file = dir.path().join("limited.map");
    let mut peer = Peer::start_by(command, "fill up", &[file.to_str().unwrap()]);
    peer.expect("done");
    peer.finish();
}

// --- I10 -----------------------------------------------------------------------------------------

fn is_loss(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Io | ErrorKind::Corrupt)
}

/// Calls every operation; returns the number of those that failed because of a loss.
fn use_all(map: &Map) -> usize {
    let mut failed = 0;
    let mut note = |result: Result<(), Error>| {
        if let Err(error) = result {
            let none = [ErrorKind::NotFound, ErrorKind::WrongKind];
            assert!(is_loss(&error) || none.contains(&error.kind()), "{error}");
            failed += usize::from(is_loss(&error));
        }
    };
    for number in 0..40_u8 {
        let name = format!("v{number}");
        note(map.get::<Vec<u8>>(&name).map(drop));
        note(map.set(&name, vec![number; 700]));
        note(map.get::<mapvar::Value>(&name).map(drop));
    }
    note(map.get::<Vec<u8>>("large").map(drop));
    note(map.set("large", vec![3_u8; 40_000]));
    note(map.set("new", 1));
    note(map.remove("v3").map(drop));
    note(map.transaction(|tx| tx.set("v4", 1)));
    note(map.snapshot(["v5", "v6"]).map(drop));
    note(map.stat().map(drop));
    note(map.count().map(drop));
    for entry in map {
        note(entry.map(drop));
    }
    note(map.flush());
    failed
}

fn filled(path: &Path) -> Map {
    let map = Map::options().file(path).size(20_000).create().unwrap();
    for number in 0..40_u8 {
        map.set(&format!("v{number}"), vec![number; 700]).unwrap();
    }
    map.set("large", vec![1_u8; 40_000]).unwrap();
    assert_eq!(use_all(&map), 0);
    map
}

/// Fuller: `crates/os/tests/faults.rs`, `crates/os/tests/faults_wine.rs`.
#[test]
fn i10_a_file_made_shorter_under_its_map_is_an_error() {
    let _watchdog = Watchdog::new("I10, truncated", Duration::from_mins(1));
    let dir = quick_folder();
    let untouched = filled(&dir.path().join("untouched.map"));
    for (number, len) in [0, 100, 4_096, 0x6000, 0x8000, 50_000, 100_000].into_iter().enumerate() {
        let path = dir.path().join(format!("{number}.map"));
        let map = filled(&path);
        let var = map.var::<Vec<u8>>("v7").unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert!(use_all(&map) > 0, "{len}: nobody noticed");
        // From then on every operation fails.
        let error = map.get::<Vec<u8>>("v1").unwrap_err();
        assert!(is_loss(&error), "{len}: {error}");
        assert!(is_loss(&var.get().unwrap_err()) && is_loss(&map.set("v1", 1).unwrap_err()));
        assert!(map.flush().is_err());
        let _ = map.close();
        assert!(Map::options().file(&path).open().is_err());
        assert_eq!(use_all(&untouched), 0, "others' maps are as they were");
    }
}

/// The file is truncated while threads read and write.
#[test]
fn i10_a_file_made_shorter_under_threads_ends_none_of_them() {
    let _watchdog = Watchdog::new("I10, threads", Duration::from_mins(1));
    let dir = quick_folder();
    for round in 0..10 {
        let path = dir.path().join(format!("{round}.map"));
        let map = filled(&path);
        thread::scope(|scope| {
            for number in 0..4 {
                let map = &map;
                scope.spawn(move || {
                    let name = format!("v{number}");
                    while map.get::<Vec<u8>>(&name).is_ok()
                        && map.set(&name, vec![1_u8; 800]).is_ok()
                        && map.iter().all(|entry| entry.is_ok())
                    {}
                });
            }
            thread::sleep(Duration::from_micros(500 * round));
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        });
        assert!(is_loss(&map.get::<Vec<u8>>("v1").unwrap_err()));
    }
}

#[test]
fn i10_a_hole_in_the_file_is_an_error_or_less_variables() {
    let _watchdog = Watchdog::new("I10, holes", Duration::from_mins(1));
    let dir = quick_folder();
    for at in (0..200_000).step_by(12_288) {
        let path = dir.path().join(format!("{at}.map"));
        let map =
            Map::options().file(&path).size(20_000).timeout(Duration::from_millis(20)).create();
        let map = map.unwrap();
        for number in 0..40_u8 {
            map.set(&format!("v{number}"), vec![number; 700]).unwrap();
        }
        map.set("large", vec![1_u8; 40_000]).unwrap();
        let mut punch = Command::new("fallocate");
        punch.args(["-p", "-o", &at.to_string(), "-l", "8192"]).arg(&path);
        if !punch.status().is_ok_and(|status| status.success()) {
            eprintln!("I10 SKIPPED: no holes can be made here (fallocate -p)");
            return;
        }
        // The results do not matter; each operation must return.
        for number in 0..40_u8 {
            let name = format!("v{number}");
            let _ = (map.get::<Vec<u8>>(&name), map.set(&name, vec![number; 600]));
        }
        let _ = (map.get::<Vec<u8>>("large"), map.set("large", vec![2_u8; 50_000]));
        let _ = (map.remove("v1"), map.set("new", 1), map.count(), map.stat(), map.flush());
        let _ = map.transaction(|tx| tx.set("v2", 1));
        let _ = (map.iter().count(), map.clear(), map.close());
    }
}

// --- I12, I13 ------------------------------------------------------------------------------------

/// Returns the path of the memory of a name (docs/PLATFORM.md).
fn place(name: &str) -> PathBuf {
    let uid = fs::metadata(quick_folder().path()).unwrap().uid();
    let folder = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };
    Path::new(folder).join(format!("mapvar.{uid}.{name}.map"))
}

/// Fuller: `crates/os/tests/contract.rs`, the tests of its module `unix`.
#[test]
fn i12_a_squatted_name_is_refused_before_a_byte_is_read() {
    let _watchdog = Watchdog::new("I12, names", Duration::from_mins(1));
    let refused = |name: &str, kind: ErrorKind, what: &str| {
        let options = options(name).timeout(Duration::from_millis(100));
        for error in [
            options.open().err(),
            options.create().err(),
            options.open_or_create().err(),
            options.clone().read_only(true).open().err(),
        ] {
            let error = error.unwrap_or_else(|| panic!("{what} was taken"));
            assert_eq!(error.kind(), kind, "{what}: {error}");
        }
    };
    // A valid map of another name, so that the content of a copy is valid too.
    let good = unique("good");
    let map = options(&good).create().unwrap();
    map.set("x", 1).unwrap();
    assert!(place(&good).exists(), "docs/PLATFORM.md says where it lies");

    let name = unique("i12");
    let squatted = place(&name);
    fs::create_dir(&squatted).unwrap();
    refused(&name, ErrorKind::NameTaken, "a folder");
    fs::remove_dir(&squatted).unwrap();
    symlink(place(&good), &squatted).unwrap();
    refused(&name, ErrorKind::NameTaken, "a link");
    fs::remove_file(&squatted).unwrap();
    if Command::new("mkfifo").arg(&squatted).status().is_ok_and(|status| status.success()) {
        refused(&name, ErrorKind::NameTaken, "a pipe");
        fs::remove_file(&squatted).unwrap();
    }
    let socket = std::os::unix::net::UnixListener::bind(&squatted).unwrap();
    refused(&name, ErrorKind::NameTaken, "a socket");
    drop(socket);
    fs::remove_file(&squatted).unwrap();
    fs::copy(place(&good), &squatted).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&squatted, fs::Permissions::from_mode(mode)).unwrap();
        refused(&name, ErrorKind::PermissionDenied, "what others may write to");
    }
    if chown(&squatted, Some(54_321), None).is_ok() {
        for mode in [0o600, 0o644, 0o666] {
            fs::set_permissions(&squatted, fs::Permissions::from_mode(mode)).unwrap();
            refused(&name, ErrorKind::ForeignOwner, "another user's");
        }
    } else {
        eprintln!("I12, foreign owners SKIPPED: only root can give files away");
    }
    fs::remove_file(&squatted).unwrap();
    assert_eq!(map.get::<i64>("x").unwrap(), 1);
}

/// Fuller: `crates/os/tests/contract.rs`
/// (`what_is_made_is_readable_and_writable_by_its_owner_only`,
/// `a_file_for_reading_is_mapped_without_the_right_to_write`).
#[test]
fn i13_a_map_is_its_users_alone_and_a_reader_has_no_right_to_write() {
    let dir = quick_folder();
    let path = dir.path().join("i13.map");
    let name = unique("i13");
    let file = Map::options().file(&path).create().unwrap();
    let named = options(&name).create().unwrap();
    for place in [path.clone(), place(&name)] {
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, 0o600, "{}", place.display());
    }
    file.set("x", 1).unwrap();
    file.close().unwrap();
    drop(named);
    assert!(!place(&name).exists());
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    if let Ok(maps) = fs::read_to_string("/proc/self/maps") {
        let ours: Vec<_> =
            maps.lines().filter(|line| line.contains(path.to_str().unwrap())).collect();
        assert!(!ours.is_empty(), "{maps}");
        for line in ours {
            assert!(line.contains(" r--s "), "{line}");
        }
        // No descriptor is writable, since a mapping could be made writable by it.
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            if fs::read_link(entry.path()).is_ok_and(|to| to == path) {
                let number = entry.file_name().into_string().unwrap();
                let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
                let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
                assert_eq!(flags & 3, 0, "descriptor {number}: {info}");
            }
        }
    }
}

// --- I18 -----------------------------------------------------------------------------------------

/// Role: forks with an open map.
pub(crate) fn fork_with_a_map(arguments: &[String]) {
    for map in arguments {
        let map = options(map).open().unwrap();
        map.set("x", 1).unwrap();
        map.set("large", vec![1_u8; 20_000]).unwrap();
        let (var, atomic) = (map.var::<i64>("x").unwrap(), map.atomic_or("n", 1_i64).unwrap());
        let code = forked(|| {
            let closed =
                |error: Option<Error>| error.is_some_and(|error| error.kind() == ErrorKind::Closed);
            let all = [
                closed(map.get::<i64>("x").err()),
                closed(map.set("x", 2).err()),
                closed(map.set("new", 2).err()),
                closed(map.remove("x").err()),
                closed(map.count().err()),
                closed(map.stat().err()),
                closed(map.flush().err()),
                closed(map.snapshot(["x"]).err()),
                closed(map.transaction(|tx| tx.set("x", 2)).err()),
                closed(
                    map.iter()
                        .next()
                        .unwrap_or_else(|| map.get::<()>("x").map(|()| panic!()))
                        .err(),
                ),
                closed(var.get().err()),
                closed(var.set(2).err()),
                closed(atomic.load().err()),
                closed(atomic.fetch_add(1).err()),
            ];
            drop((var.clone(), map.clone()));
            all.iter().position(|right| !right).map_or(0, |at| i32::try_from(at).unwrap() + 1)
        });
        assert_eq!(code, 0, "the operation of that number was not refused");
        // A child that drops its inherited handles does not affect its parent.
        let (copy, var_copy) = (map.clone(), var.clone());
        let code = forked(move || {
            drop(var_copy);
            drop(copy);
            0
        });
        assert_eq!(code, 0);
        assert_eq!((map.get::<i64>("x").unwrap(), atomic.load().unwrap()), (1, 1));
        map.set("x", 5).unwrap();
        var.set(6).unwrap();
        map.set("large", vec![2_u8; 30_000]).unwrap();
        map.flush().unwrap();
        report("forked");
        await_word();
    }
}

/// Fuller: `crates/os/tests/contract.rs` (`a_child_after_fork_takes_nothing_from_its_parent`).
#[test]
fn i18_a_forked_child_is_refused_and_its_parent_goes_on() {
    let _watchdog = Watchdog::new("I18", Duration::from_mins(1));
    let dir = quick_folder();
    let name = unique("i18");
    let path = dir.path().join("i18.map");
    let (named, file) =
        (options(&name).create().unwrap(), Map::options().file(&path).create().unwrap());
    let mut peer = Peer::start("fork", &[&name, path.to_str().unwrap()]);
    for map in [named, file] {
        peer.expect("forked");
        assert_eq!(map.get::<i64>("x").unwrap(), 6);
        map.set("x", 7).unwrap();
        map.set("large", vec![3_u8; 100]).unwrap();
        map.close().unwrap();
        if map_is_named(&name) {
            assert_eq!(options(&name).open().unwrap().get::<i64>("x").unwrap(), 7, "its parent's");
        }
        peer.go();
    }
    peer.finish();
    assert!(!place(&name).exists());
}

/// Role: forks while other threads are inside the map's own mutexes. The child has no such threads.
pub(crate) fn fork_amid_threads(_: &[String]) {
    let map = Map::options().name(unique("amid")).format(Format::Marshal).create().unwrap();
    map.set("x", 1).unwrap();
    for _ in 0..2 {
        let map = map.clone();
        thread::spawn(move || {
            loop {
                let gem = map.as_gem().unwrap();
                let _ = (gem.clobbered(), gem.lock_stat());
            }
        });
    }
    for _ in 0..300 {
        let code = forked(|| {
            alarm(20);
            let all = [
                map.as_gem().unwrap().clobbered().map(drop),
                map.as_gem().unwrap().lock_stat().map(drop),
                map.get::<i64>("x").map(drop),
                map.stat().map(drop),
                map.flush(),
                map.set("x", 2),
            ];
            let refused = |one: &mapvar::Result<()>| {
                one.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed)
            };
            all.iter().position(|one| !refused(one)).map_or(0, |at| i32::try_from(at).unwrap() + 1)
        });
        assert_eq!(code, 0, "the operation of that number was not refused");
    }
}

#[test]
fn i18_a_forked_child_waits_for_no_thread_of_its_parent() {
    let _watchdog = Watchdog::new("I18, threads", Duration::from_mins(1));
    Peer::start("fork-amid", &[]).finish();
}

/// A filter of system calls that denies `get_robust_list`, as a sandbox does.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn deny_robust_lists() {
    #[repr(C)]
    struct Instruction(u16, u8, u8, u32);
    #[repr(C)]
    struct Program(u16, *const Instruction);
    unsafe extern "C" {
        fn prctl(what: i32, ...) -> i32;
    }
    const GET_ROBUST_LIST: u32 = 274;
    let code = [
        // The number of the call; with this one EPERM, with any other the call itself.
        Instruction(0x20, 0, 0, 0),
        Instruction(0x15, 0, 1, GET_ROBUST_LIST),
        Instruction(0x06, 0, 0, 0x0005_0001),
        Instruction(0x06, 0, 0, 0x7fff_0000),
    ];
    let program = Program(4, code.as_ptr());
    // SAFETY: forbids this process to gain rights (PR_SET_NO_NEW_PRIVS).
    assert_eq!(unsafe { prctl(38, 1_u64, 0_u64, 0_u64, 0_u64) }, 0);
    // SAFETY: PR_SET_SECCOMP with a filter: the kernel copies the program, of that many instructions.
    assert_eq!(unsafe { prctl(22, 2_u64, &raw const program) }, 0);
}

/// Role: reads maps where the system denies what only the owner of a lock needs.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn without_robust_lists(maps: &[String]) {
    deny_robust_lists();
    for map in maps {
        let reader = options(map).read_only(true).open().unwrap();
        assert_eq!(reader.get::<i64>("x").unwrap(), 1);
        assert_eq!(reader.iter().count(), 1);
        let error = options(map).open().unwrap_err();
        assert!(error.to_string().contains("get_robust_list"), "{error}");
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn i13_a_reader_needs_no_robust_lists() {
    let _watchdog = Watchdog::new("I13, robust lists", Duration::from_mins(1));
    let dir = quick_folder();
    let (name, path) = (unique("lists"), dir.path().join("lists.map"));
    let path = path.to_str().unwrap();
    let maps = [&name, path].map(|map| options(map).create().unwrap());
    for map in &maps {
        map.set("x", 1).unwrap();
    }
    Peer::start("no-lists", &[&name, path]).finish();
}

fn map_is_named(name: &str) -> bool {
    place(name).exists()
}

/// Role: sets variables repeatedly, and meanwhile starts programs that outlive it.
pub(crate) fn spawn_under_locks(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    let setter = map.clone();
    thread::spawn(move || {
        for stamp in 0_u64.. {
            setter.set("held", vec![stamp; 120]).unwrap();
            setter.transaction(|tx| tx.set("other", stamp)).unwrap();
        }
    });
    // These programs end after this process.
    let spawned: Vec<_> = (0..8)
        .map(|_| {
            let mut sleep = Command::new("sleep");
            sleep.arg("20").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            sleep.spawn().unwrap()
        })
        .collect();
    report("spawned");
    for mut program in spawned {
        let _ = program.wait();
    }
}

#[test]
fn i18_programs_started_under_a_lock_do_not_keep_it() {
    let _watchdog = Watchdog::new("I18, programs", Duration::from_mins(1));
    let dir = quick_folder();
    for name in [unique("i18"), dir.path().join("i18.map").to_str().unwrap().into()] {
        let map = options(&name).create().unwrap();
        map.set("held", vec![0_u64; 120]).unwrap();
        map.set("other", 0).unwrap();
        for _ in 0..3 {
            let mut peer = Peer::start("spawn", &[&name]);
            peer.expect("spawned");
            assert!(peer.kill().is_empty());
            // The timeout is far below the 20 s for which the programs run.
            let brief = options(&name).timeout(Duration::from_secs(10)).open().unwrap();
            brief.set("held", vec![1_u64; 120]).unwrap();
            brief.transaction(|tx| tx.set("other", 1)).unwrap();
            brief.set("new", 1).unwrap();
            brief.flush().unwrap();
        }
        map.close().unwrap();
        // The programs keep neither the name nor the attachment to the file.
        if name.contains('/') {
            assert!(options(&name).open().is_ok());
        } else {
            assert_eq!(options(&name).open().unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

// --- I20 -----------------------------------------------------------------------------------------

fn deep(depth: u64) -> u64 {
    let local = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deep(depth + 1) + local[depth as usize % 64] }
}

/// Role: loses a map, which is an error; then its stack overflows, which ends it as without a map.
pub(crate) fn overflow_after_a_loss(arguments: &[String]) {
    let path = Path::new(&arguments[0]);
    let map = filled(path);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    assert!(use_all(&map) > 0);
    report("lost");
    std::hint::black_box(deep(0));
}

/// Fuller: `crates/os/tests/faults.rs` (`a_foreign_fault_is_what_it_was`,
/// `a_handler_that_was_there_before_gets_its_own_faults`).
#[test]
fn i20_the_faults_of_others_are_what_they_were() {
    let _watchdog = Watchdog::new("I20", Duration::from_mins(1));
    let dir = quick_folder();
    let path = dir.path().join("i20.map");
    let mut command = child("child_entry", "overflow", &[path.to_str().unwrap()]);
    let output = Owned(start(command.stdin(Stdio::null()).stderr(Stdio::piped())));
    let mut output = output;
    let (mut out, mut err) = (String::new(), String::new());
    std::io::Read::read_to_string(&mut output.0.stdout.take().unwrap(), &mut out).unwrap();
    std::io::Read::read_to_string(&mut output.0.stderr.take().unwrap(), &mut err).unwrap();
    let status = output.0.wait().unwrap();
    assert!(out.contains("@lost"), "{out} {err}");
    // Rust's own handler, which was installed before, reports the overflow and aborts.
    assert!(err.contains("overflowed its stack"), "{err}");
    assert_eq!(status.signal(), Some(6), "{status}");
}

// --- I21 -----------------------------------------------------------------------------------------

/// Makes a system call that is visible in a trace and has no effect.
fn mark(what: &str) {
    assert!(fs::metadata(format!("/mark of mapvar/{what}")).is_err());
}

/// Role: sets, gets and flushes, with marks between the phases.
pub(crate) fn calls(arguments: &[String]) {
    for (number, map) in arguments.iter().enumerate() {
        let map = options(map).size(1 << 20).create().unwrap();
        let (small, large) = (vec![1_u8; 64], vec![2_u8; 8 << 10]);
        map.set("small", small.clone()).unwrap();
        map.set("large", large.clone()).unwrap();
        map.set("number", 1_i64).unwrap();
        let var = map.var::<i64>("number").unwrap();
        let (small_var, large_var) =
            (map.var::<Vec<u8>>("small").unwrap(), map.var::<Vec<u8>>("large").unwrap());
        let atomic = map.atomic_or("atomic", 0_i64).unwrap();
        let mut buffer = vec![0; 8 << 10];
        for phase in ["warm", "steady"] {
            mark(&format!("{phase} {number}"));
            for round in 0..200 {
                map.set("number", round).unwrap();
                assert_eq!(map.get::<i64>("number").unwrap(), round);
                var.set(round + 1).unwrap();
                assert_eq!(var.get().unwrap(), round + 1);
                atomic.fetch_add(1).unwrap();
                atomic.store(atomic.load().unwrap()).unwrap();
                map.set("small", &small).unwrap();
                small_var.write_bytes(&small).unwrap();
                assert_eq!(small_var.read_bytes(&mut buffer).unwrap(), 64);
                assert_eq!(map.get::<Vec<u8>>("small").unwrap(), small);
                map.set("large", &large).unwrap();
                large_var.write_bytes(&large).unwrap();
                assert_eq!(large_var.read_bytes(&mut buffer).unwrap(), 8 << 10);
                assert_eq!(map.get::<Vec<u8>>("large").unwrap(), large);
            }
        }
        mark(&format!("flush {number}"));
        map.flush().unwrap();
        mark(&format!("flushed {number}"));
        map.set("number", 2_i64).unwrap();
        mark(&format!("flush again {number}"));
        map.flush().unwrap();
        mark(&format!("end {number}"));
    }
    report("done");
}

/// Returns the system calls of the thread that sets the marks, from one mark to the next.
fn between<'a>(trace: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let marked = |what: &str| {
        let at = trace.find(&format!("/mark of mapvar/{what}\""));
        let at = at.unwrap_or_else(|| panic!("no mark {what} in {trace}"));
        trace[..at].rfind('\n').map_or(0, |at| at + 1)
    };
    let (from, to) = (marked(from), marked(to));
    let thread = trace[from..].split_whitespace().next().unwrap();
    let lines = trace[from..to].lines().skip(1).filter(|line| line.starts_with(thread));
    lines.map(|line| line[thread.len()..].trim_start()).collect()
}

/// Runs the role "calls" under strace and returns the trace; `None` if strace does not work here.
fn traced(maps: &[&str]) -> Option<String> {
    let dir = quick_folder();
    let trace = dir.path().join("trace");
    let mut tried = Command::new("strace");
    tried.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("I21 SKIPPED: no strace here (ci/apt strace), or it may not trace");
        return None;
    }
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "200", "-o"]).arg(&trace);
    let mut peer = Peer::start_by(strace, "calls", maps);
    peer.expect("done");
    peer.finish();
    Some(fs::read_to_string(trace).unwrap())
}

/// `i21_the_barrier_is_in_that_order` checks the order on Windows; `harness/power` shows that one
/// barrier is enough.
#[test]
#[cfg(target_os = "linux")]
fn i21_a_flush_writes_back_and_then_waits_once() {
    let _watchdog = Watchdog::new("I21", Duration::from_mins(1));
    // On a disk: /dev/shm has no device to wait for.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i21.map");
    let Some(trace) = traced(&[path.to_str().unwrap()]) else { return };
    for (from, to) in [("flush 0", "flushed 0"), ("flush again 0", "end 0")] {
        let calls = between(&trace, from, to);
        let at = |name: &str| {
            let found: Vec<_> =
                (0..calls.len()).filter(|at| calls[*at].starts_with(name)).collect();
            found
        };
        let (writes, waits) = (at("msync("), at("fdatasync("));
        assert_eq!(waits.len(), 1, "one barrier a flush: {calls:#?}");
        // The first flush also makes the file's name durable, by an fsync of its folder.
        assert_eq!(at("fsync(").len(), usize::from(from == "flush 0"), "{calls:#?}");
        assert!(writes.iter().all(|write| *write < waits[0]), "in that order: {calls:#?}");
        assert!(
            !writes.is_empty() && calls.iter().all(|call| !call.contains("= -1")),
            "{calls:#?}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn i21_sets_and_gets_make_no_system_call() {
    let _watchdog = Watchdog::new("I21, calls", Duration::from_mins(1));
    let dir = quick_folder();
    let path = dir.path().join("i21.map");
    let name = unique("i21");
    let Some(trace) = traced(&[path.to_str().unwrap(), &name]) else { return };
    for number in 0..2 {
        let mut calls = between(&trace, &format!("steady {number}"), &format!("flush {number}"));
        if cfg!(target_env = "musl") {
            // musl's allocator maps the memory for a returned value, and unmaps it again.
            calls.retain(|call| !call.contains("MAP_ANONYMOUS") && !call.starts_with("munmap("));
        }
        assert!(calls.is_empty(), "{calls:#?}");
    }
    // The trace is not empty in general: it has the calls of a flush.
    assert!(!between(&trace, "flush 0", "flushed 0").is_empty());
}
