//! Names and the objects behind them: I12 to I17.

use crate::{
    common::{Watchdog, quick_folder, scaled, unique},
    peer::{Peer, await_word, options, report},
};
use mapvar::{ErrorKind, Map, Origin};
use std::{fs, path::Path, process::Command, thread, time::Duration};

/// Role: uses a map until the parent lets it end, or kills it.
pub(crate) fn hold(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    let own = format!("of {}", std::process::id());
    map.set(&own, vec![1_u8; 3_000]).unwrap();
    let count = map.atomic_or("users", 0_u64).unwrap();
    count.fetch_add(1).unwrap();
    map.remove(&own).unwrap();
    report("holding");
    await_word();
    map.close().unwrap();
}

/// Waits until all peers have reported this line.
fn all(peers: &mut [Peer], what: &str) {
    for peer in peers {
        peer.expect(what);
    }
}

/// Objects that are no maps: a folder, the file of another program, an empty file.
///
/// Fuller: `tests/files/hostile.rs`, and `crates/os/tests/contract.rs`
/// (`another_kind_of_object_under_the_name_is_refused_and_left_alone`).
#[test]
fn i12_what_is_no_map_is_refused_and_left_alone() {
    let _watchdog = Watchdog::new("I12", Duration::from_mins(1));
    let dir = quick_folder();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "foo = hello\n".repeat(9_000)).unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    for (path, kinds) in [
        (&folder, &[ErrorKind::NameTaken, ErrorKind::PermissionDenied][..]),
        (&text, &[ErrorKind::NotAMap]),
        (&empty, &[ErrorKind::NotAMap]),
    ] {
        let before = fs::read(path).ok();
        let options = Map::options().file(path).timeout(Duration::from_millis(100));
        for error in [
            options.open().unwrap_err(),
            options.open_or_create().unwrap_err(),
            options.clone().read_only(true).open().unwrap_err(),
        ] {
            assert!(kinds.contains(&error.kind()), "{}: {error}", path.display());
        }
        assert!(options.create().is_err());
        assert_eq!(fs::read(path).ok(), before);
    }
}

/// Fuller: `tests/processes.rs` (`reading_alone_writes_nothing`).
#[test]
fn i13_a_handle_for_reading_never_writes() {
    let dir = quick_folder();
    let path = dir.path().join("i13.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.atomic_or("n", 1_i64).unwrap();
    map.flush().unwrap();
    let before = fs::read(&path).unwrap();
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    let var = reader.var::<i64>("x").unwrap();
    let atomic = reader.atomic::<i64>("n").unwrap();
    for error in [
        reader.set("x", 2).err(),
        reader.set("new", 2).err(),
        reader.remove("x").err(),
        reader.clear().err(),
        reader.flush().err(),
        reader.transaction(|tx| tx.set("x", 2)).err(),
        reader.update("x", |x: Option<i64>| x.unwrap_or(0) + 1).err(),
        reader.atomic_or("m", 1_i64).err(),
        var.set(2).err(),
        var.write_bytes(b"2").err(),
        atomic.store(2).err(),
        atomic.fetch_add(2).err(),
        atomic.compare_exchange(1, 2).err(),
    ] {
        let error = error.expect("a reader writes");
        assert!(matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::WrongKind), "{error}");
    }
    assert_eq!((reader.get::<i64>("x").unwrap(), atomic.load().unwrap()), (1, 1));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Role: opens or creates a map at the same time as other processes.
pub(crate) fn race(arguments: &[String]) {
    report("ready");
    await_word();
    let map = options(&arguments[0]).open_or_create().unwrap();
    if map.origin() == Origin::Created {
        map.atomic_or("creators", 0_u64).unwrap().fetch_add(1).unwrap();
    }
    map.atomic_or("racers", 0_u64).unwrap().fetch_add(1).unwrap();
    report("there");
    await_word();
}

/// Role: creates maps and closes them, repeatedly.
pub(crate) fn create(arguments: &[String]) {
    report("creating");
    loop {
        match options(&arguments[0]).size(1 << 20).create() {
            Ok(map) => map.set("whole", 1).unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        }
        if arguments[0].contains(['/', '\\']) {
            let _ = fs::remove_file(&arguments[0]);
        }
    }
}

/// Fuller: `tests/processes.rs` and `crates/os/tests/contract.rs`, with 64 processes each.
#[test]
fn i14_of_those_who_race_one_makes_the_map() {
    let _watchdog = Watchdog::new("I14", Duration::from_mins(2));
    let dir = quick_folder();
    for map in [unique("i14"), dir.path().join("i14.map").to_str().unwrap().into()] {
        let mut racers: Vec<_> = (0..8).map(|_| Peer::start("race", &[&map])).collect();
        all(&mut racers, "ready");
        racers.iter_mut().for_each(Peer::go);
        all(&mut racers, "there");
        let map = options(&map).open().unwrap();
        assert_eq!(map.get::<u64>("creators").unwrap(), 1);
        assert_eq!(map.get::<u64>("racers").unwrap(), 8);
        racers.into_iter().for_each(Peer::finish);
    }
}

/// Fuller: `crates/os/tests/contract.rs` (`a_creator_killed_while_it_fills_is_in_nobodys_way`).
#[test]
fn i14_a_creator_that_is_killed_leaves_a_whole_map_or_none() {
    let _watchdog = Watchdog::new("I14, killed", Duration::from_mins(2));
    let dir = quick_folder();
    for map in [unique("i14"), dir.path().join("i14.map").to_str().unwrap().into()] {
        for round in 0..scaled(20).max(4) {
            let mut creator = Peer::start("create", &[&map]);
            creator.expect("creating");
            thread::sleep(Duration::from_micros(137 * round as u64));
            assert!(creator.kill().is_empty());
            let mine = options(&map).open_or_create().unwrap();
            mine.set("mine", round).unwrap();
            assert_eq!(mine.get::<usize>("mine").unwrap(), round);
            mine.close().unwrap();
            if map.contains(['/', '\\']) {
                fs::remove_file(&map).unwrap();
            }
        }
        // No unfinished file remains, except on Windows a temporary one (docs/PLATFORM.md).
        for entry in fs::read_dir(dir.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(cfg!(windows) && name.starts_with(".mapvar-"), "{name}");
        }
    }
}

/// Fuller: `crates/os/tests/contract.rs`
/// (`processes_that_come_go_and_are_killed_never_split_a_name`).
#[test]
fn i15_one_name_is_one_memory() {
    let _watchdog = Watchdog::new("I15", Duration::from_mins(1));
    let name = unique("i15");
    let first = options(&name).create().unwrap();
    first.set("x", 1).unwrap();
    let mut peer = Peer::start("hold", &[&name]);
    peer.expect("holding");
    let var = first.var::<i64>("x").unwrap();
    // The creator closes its map; a handle of a variable and the other process stay.
    first.close().unwrap();
    for round in 2..20 {
        let again = options(&name).open().unwrap();
        assert_eq!(again.get::<i64>("x").unwrap(), round - 1);
        assert_eq!(options(&name).create().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(options(&name).open_or_create().unwrap().origin(), Origin::Opened);
        var.set(round).unwrap();
        assert_eq!(again.get::<i64>("x").unwrap(), round);
        assert_eq!(again.atomic::<u64>("users").unwrap().load().unwrap(), 1);
    }
    drop(var);
    assert_eq!(options(&name).open().unwrap().get::<i64>("x").unwrap(), 19);
    peer.finish();
    assert_eq!(options(&name).open().unwrap_err().kind(), ErrorKind::NotFound);

    // A file by another path is the same file.
    let dir = quick_folder();
    let path = dir.path().join("i15.map");
    let map = Map::options().file(&path).create().unwrap();
    fs::create_dir(dir.path().join("below")).unwrap();
    let around = dir.path().join("below").join("..").join("i15.map");
    let link = dir.path().join("link.map");
    fs::hard_link(&path, &link).unwrap();
    for other in [around, link] {
        let other = Map::options().file(&other).open().unwrap();
        other.set("x", 5).unwrap();
        assert_eq!(map.get::<i64>("x").unwrap(), 5);
        map.set("x", 6).unwrap();
        assert_eq!(other.get::<i64>("x").unwrap(), 6);
        assert_eq!(other.recovery(), None, "nobody recovers what is in use");
    }
}

/// Returns the number of open files of this process; `None` if the system does not report it, and
/// on Windows, since Wine opens files of its own.
fn open_files() -> Option<usize> {
    if cfg!(windows) {
        return None;
    }
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Returns the number of files for that name in the folders of named sections.
fn objects(name: &str) -> usize {
    ["/dev/shm", "/var/tmp"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter(|entry| {
            entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().contains(name))
        })
        .count()
}

/// Fuller: `tests/processes.rs` (`a_killed_holder_leaves_no_map_behind`), `tests/kill.rs`,
/// `tests/load.rs`.
#[test]
fn i16_nothing_is_left_of_many_users_killed_or_not() {
    let _watchdog = Watchdog::new("I16", Duration::from_mins(3));
    let dir = quick_folder();
    let name = unique("i16");
    let path = dir.path().join("i16.map");
    for map in [name.as_str(), path.to_str().unwrap()] {
        let holder = options(map).size(1 << 16).create().unwrap();
        // In total more writers than seats.
        let rounds = scaled(34).max(3);
        for round in 0..rounds {
            let mut users: Vec<_> = (0..4).map(|_| Peer::start("hold", &[map])).collect();
            all(&mut users, "holding");
            for (number, user) in users.into_iter().enumerate() {
                if (round + number) % 4 == 0 {
                    user.finish();
                } else {
                    assert!(user.kill().is_empty());
                }
            }
        }
        assert_eq!(holder.get::<u64>("users").unwrap(), 4 * rounds as u64);
        // Only the Atomic is left, and a seat is free.
        let mut last = Peer::start("hold", &[map]);
        last.expect("holding");
        last.finish();
        holder.clear().unwrap();
        holder.flush().unwrap();
        holder.flush().unwrap();
        let used = holder.stat().unwrap().used;
        assert!(used <= 2 * 320, "{used} bytes are taken by nobody");
        drop(holder);
    }
    assert_eq!(objects(&name), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the map alone");
}

/// Opens, uses and closes maps 200 times in a process of its own, and counts its open files.
#[test]
fn i16_a_process_that_opens_and_closes_keeps_nothing_open() {
    const ALONE: &str = "MAPVAR_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let this = "names::i16_a_process_that_opens_and_closes_keeps_nothing_open";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", this, "--test-threads=1"]).env(ALONE, "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let _watchdog = Watchdog::new("I16, alone", Duration::from_mins(1));
    let dir = quick_folder();
    let name = unique("i16");
    let path = dir.path().join("i16.map");
    drop(Map::options().file(&path).create().unwrap());
    let round = || {
        let named = options(&name).create().unwrap();
        let again = options(&name).open().unwrap();
        named.set("x", vec![1_u8; 5_000]).unwrap();
        let var = again.var::<Vec<u8>>("x").unwrap();
        drop((named, again, var));
        let file = Map::options().file(&path).open().unwrap();
        file.set("x", vec![1_u8; 5_000]).unwrap();
        file.close().unwrap();
        drop(Map::options().file(&path).read_only(true).open().unwrap());
        assert!(Map::options().file(dir.path()).open().is_err());
        assert!(options("no such map").open().is_err());
        assert!(options(&name).open().is_err());
    };
    round();
    let mapped =
        || fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.matches("i16").count());
    let before = (open_files(), mapped());
    for _ in 0..scaled(200) {
        round();
    }
    assert_eq!((open_files(), mapped()), before);
    assert_eq!((objects(&name), mapped()), (0, 0));
}

/// Sets the right checksum, so that only the tested difference is invalid.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut header = bytes[8..512].to_vec();
    header[8..16].fill(0);
    bytes[16..24].copy_from_slice(&u64::from(crc32fast::hash(&header)).to_le_bytes());
    bytes
}

type Change = fn(&mut [u8]);

/// Fuller: `tests/files/hostile.rs`, `tests/files/format.rs` (docs/FORMAT.md word by word).
#[test]
fn i17_a_header_of_another_build_is_refused() {
    let dir = quick_folder();
    let path = dir.path().join("good.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    let good = fs::read(&path).unwrap();
    assert_eq!(with_checksum(good.clone()), good, "docs/FORMAT.md tells how");
    let table: [(&str, Change, ErrorKind); 11] = [
        ("a newer version", |b| b[8] = 2, ErrorKind::Version),
        ("version 0", |b| b[8] = 0, ErrorKind::Version),
        ("an unknown flag", |b| b[13] = 1, ErrorKind::Version),
        ("the highest flag", |b| b[15] = 0x80, ErrorKind::Version),
        ("another layout", |b| b[72] ^= 1, ErrorKind::Version),
        ("a layout with its bytes swapped", |b| b[72..80].reverse(), ErrorKind::Version),
        ("a magic with its bytes swapped", |b| b[..8].reverse(), ErrorKind::NotAMap),
        ("another magic", |b| b[3] ^= 0x20, ErrorKind::NotAMap),
        ("a longer region", |b| b[58] ^= 0x40, ErrorKind::Truncated),
        ("no region", |b| b[56..64].fill(0), ErrorKind::Corrupt),
        ("no file", |b| b[12] ^= 1, ErrorKind::NotAMap),
    ];
    let refused = |what: &str, bytes: &[u8], kind: ErrorKind| {
        let path = dir.path().join("bad.map");
        fs::write(&path, bytes).unwrap();
        let options = Map::options().file(&path).timeout(Duration::from_millis(100));
        for error in [
            options.open().err(),
            options.open_or_create().err(),
            options.clone().read_only(true).open().err(),
        ] {
            let error = error.unwrap_or_else(|| panic!("{what} was opened"));
            assert_eq!(error.kind(), kind, "{what}: {error}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    };
    for (what, change, kind) in table {
        let mut bytes = good.clone();
        change(&mut bytes);
        let bytes = with_checksum(bytes);
        refused(what, &bytes, kind);
    }
    // With a wrong checksum the header is damaged.
    for at in [24, 40, 50, 72, 90] {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        refused("a wrong checksum", &bytes, ErrorKind::Corrupt);
    }
    assert!(Map::options().file(Path::new(&path)).open().is_ok());
}
