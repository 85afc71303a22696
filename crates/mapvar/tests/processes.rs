//! Two and more processes on one map, by name and by file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

mod common;

use common::{Owned, Watchdog, child, role, start, unique};
use mapvar::{Compared, ErrorKind, Map, Origin, Scope, Value, Version};
use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let argument = arguments[0].as_str();
    match role.as_str() {
        // Opens a map, reads the values of the parent, sets its own, and keeps the map open until
        // the parent lets it continue.
        "peer" => {
            let map = open(argument);
            assert_eq!(map.get::<String>("foo").unwrap(), "hello");
            assert_eq!(map.get::<i64>("bar").unwrap(), 77);
            map.set("back", ("from", std::process::id())).unwrap();
            said("ready");
            wait_for_line();
            assert_eq!(map.get::<String>("foo").unwrap(), "changed");
            assert!(!map.contains("bar").unwrap());
        }
        // Opens a map before it grows, reads the values with which the parent made it grow, and
        // makes it grow further.
        "grower" => {
            let map = open(argument);
            let small = map.var::<String>("small").unwrap();
            said("ready");
            wait_for_line();
            assert!(holds(&map, "first"));
            assert_eq!(small.get().unwrap(), "from before");
            fill(&map, "second");
            small.set("changed").unwrap();
            said("ready");
            wait_for_line();
            assert!(holds(&map, "first") && holds(&map, "second"));
        }
        "holder" => {
            let map = Map::options().name(argument).create().unwrap();
            map.set("mine", 1).unwrap();
            said("ready");
            wait_for_line();
        }
        "racer" => {
            wait_for_line();
            let options = Map::options().timeout(Duration::from_secs(20));
            let options = if argument.contains(['/', '\\']) {
                options.file(argument)
            } else {
                options.name(argument)
            };
            let map = options.open_or_create().unwrap();
            map.atomic_or("racers", 0_u64).unwrap().fetch_add(1).unwrap();
            if map.origin() == Origin::Created {
                map.atomic_or("creators", 0_u64).unwrap().fetch_add(1).unwrap();
            }
            map.set(&format!("racer {}", std::process::id()), true).unwrap();
            said("ready");
            wait_for_line();
        }
        other => panic!("no role {other}"),
    }
}

fn open(what: &str) -> Map {
    if what.contains(['/', '\\']) {
        Map::options().file(what).open().unwrap()
    } else {
        Map::open(what).unwrap()
    }
}

fn said(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n=={line}").unwrap();
    out.flush().unwrap();
}

fn wait_for_line() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

struct Peer {
    child: Owned,
    out: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(role: &str, argument: &str) -> Self {
        let mut child = start(child("child_entry", role, &[argument]).stderr(Stdio::inherit()));
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child: Owned(child), out }
    }

    fn await_ready(&mut self) {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if line.trim_end() == "==ready" {
                return;
            }
            line.clear();
        }
        panic!("the other process ended: {:?}", self.child.0.wait());
    }

    fn go(&mut self) {
        self.child.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    fn finish(mut self) {
        self.go();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.out, &mut rest).unwrap();
        let status = self.child.0.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
    }
}

fn exchange(map: &Map, argument: &str) {
    map.set("foo", "hello").unwrap();
    map.set("bar", 77).unwrap();
    let mut peer = Peer::start("peer", argument);
    peer.await_ready();
    let pid = i64::from(peer.child.0.id());
    // Under Wine the process has another id inside than outside.
    let Value::List(back) = map.get::<Value>("back").unwrap() else { panic!("no list") };
    assert_eq!(back[0], Value::from("from"));
    if std::env::consts::OS != "windows" {
        assert_eq!(back[1], Value::I64(pid));
    }
    map.set("foo", "changed").unwrap();
    assert!(map.remove("bar").unwrap());
    peer.finish();
}

#[test]
fn two_processes_share_variables_by_name() {
    let _watchdog = Watchdog::new("sharing by name", Duration::from_mins(1));
    let name = unique("share");
    let map = Map::options().name(&name).size(2000).create().unwrap();
    assert_eq!(map.origin(), Origin::Created);
    exchange(&map, &name);
}

#[test]
fn two_processes_share_variables_by_file() {
    let _watchdog = Watchdog::new("sharing by file", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared.map");
    let map = Map::options().file(&path).size(1024).open_or_create().unwrap();
    exchange(&map, path.to_str().unwrap());
    map.close().unwrap();
    let map = Map::options().file(&path).open().unwrap();
    assert_eq!(map.origin(), Origin::Opened);
    assert_eq!(map.get::<String>("foo").unwrap(), "changed");
}

const MANY: usize = 64;
const LARGE: usize = 100_000;

/// Sets values of a total size far beyond the initial size of the map.
fn fill(map: &Map, prefix: &str) {
    for number in 0..MANY {
        map.set(&format!("{prefix} {number}"), vec![number as u8; LARGE]).unwrap();
    }
}

fn holds(map: &Map, prefix: &str) -> bool {
    (0..MANY).all(|number| {
        let value = map.get::<Vec<u8>>(&format!("{prefix} {number}")).unwrap();
        value == vec![number as u8; LARGE]
    })
}

/// Two processes make a map grow in turns; neither opens it again.
fn grow_together(map: &Map, argument: &str) {
    map.set("small", "from before").unwrap();
    let before = map.stat().unwrap().region;
    let mut peer = Peer::start("grower", argument);
    peer.await_ready();
    fill(map, "first");
    let between = map.stat().unwrap().region;
    assert!(between >= before + (MANY * LARGE) as u64, "{before} to {between}");
    peer.go();
    peer.await_ready();
    assert!(holds(map, "second") && holds(map, "first"));
    assert_eq!(map.get::<String>("small").unwrap(), "changed");
    assert!(map.stat().unwrap().region > between);
    // Overwrites a variable that the other process created.
    map.set("second 0", "short").unwrap();
    map.set("second 0", vec![0_u8; LARGE]).unwrap();
    peer.finish();
}

#[test]
fn a_map_grows_under_two_processes_by_name() {
    let _watchdog = Watchdog::new("growth by name", Duration::from_mins(2));
    let name = unique("grow");
    let map = Map::options().name(&name).size(1000).create().unwrap();
    grow_together(&map, &name);
    assert!(holds(&Map::open(&name).unwrap(), "second"));
}

#[test]
fn a_map_grows_under_two_processes_by_file() {
    let _watchdog = Watchdog::new("growth by file", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("grow.map");
    let map = Map::options().file(&path).size(1000).create().unwrap();
    grow_together(&map, path.to_str().unwrap());
    map.close().unwrap();
    let map = Map::options().file(&path).open().unwrap();
    assert!(holds(&map, "first") && holds(&map, "second"));
}

#[test]
fn the_synopsis_by_global_name() {
    let name = unique("global");
    let map = Map::options().name(&name).scope(Scope::Global).create().unwrap();
    map.set("foo", "hello").unwrap();
    assert_eq!(Map::open(&name).unwrap_err().kind(), ErrorKind::NotFound, "another scope");
    let other = Map::options().name(&name).scope(Scope::Global).open().unwrap();
    assert_eq!(other.get::<String>("foo").unwrap(), "hello");
}

#[test]
fn a_named_map_ends_with_its_last_user() {
    let _watchdog = Watchdog::new("the last user", Duration::from_mins(1));
    let name = unique("last");
    let mut holder = Peer::start("holder", &name);
    holder.await_ready();
    let map = Map::open(&name).unwrap();
    assert_eq!(map.get::<i64>("mine").unwrap(), 1);
    let error = Map::options().name(&name).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    holder.finish();
    // This process is another user, so the map still exists, also for new openers.
    let second = Map::open(&name).unwrap();
    second.set("mine", 2).unwrap();
    assert_eq!(map.get::<i64>("mine").unwrap(), 2);
    // A handle of a variable also counts as a user.
    let var = map.var::<i64>("mine").unwrap();
    drop(map);
    second.close().unwrap();
    assert_eq!(var.get().unwrap(), 2);
    assert_eq!(Map::open(&name).unwrap().get::<i64>("mine").unwrap(), 2);
    drop(var);
    let error = Map::open(&name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains(&name) && error.to_string().contains("create it"),
        "{error}"
    );
}

#[test]
fn a_killed_holder_leaves_no_map_behind() {
    let _watchdog = Watchdog::new("the killed holder", Duration::from_mins(1));
    let name = unique("killed");
    let mut holder = Peer::start("holder", &name);
    holder.await_ready();
    holder.child.0.kill().unwrap();
    holder.child.0.wait().unwrap();
    // A killed process keeps its locks for a moment.
    let mut last = Map::open(&name);
    for _ in 0..100 {
        if last.is_err() {
            break;
        }
        drop(last);
        std::thread::sleep(Duration::from_millis(20));
        last = Map::open(&name);
    }
    assert_eq!(last.unwrap_err().kind(), ErrorKind::NotFound);
    let map = Map::options().name(&name).create().unwrap();
    assert!(!map.contains("mine").unwrap());
}

fn race(argument: &str) {
    let mut racers: Vec<Peer> =
        (0..common::scaled(64).max(16)).map(|_| Peer::start("racer", argument)).collect();
    for racer in &mut racers {
        racer.go();
    }
    for racer in &mut racers {
        racer.await_ready();
    }
    let map = open(argument);
    assert_eq!(map.atomic::<u64>("racers").unwrap().load().unwrap(), racers.len() as u64);
    assert_eq!(map.atomic::<u64>("creators").unwrap().load().unwrap(), 1, "one made it");
    assert_eq!(map.count().unwrap(), racers.len() as u64 + 2);
    for racer in racers {
        racer.finish();
    }
}

#[test]
fn processes_that_race_to_make_a_map_get_the_same_by_name() {
    let _watchdog = Watchdog::new("the race by name", Duration::from_mins(2));
    race(&unique("race"));
}

#[test]
fn processes_that_race_to_make_a_map_get_the_same_by_file() {
    let _watchdog = Watchdog::new("the race by file", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    race(dir.path().join("race.map").to_str().unwrap());
}

#[test]
fn a_map_opened_twice_is_one_map() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twice.map");
    let first = Map::options().file(&path).create().unwrap();
    let second = Map::options().file(&path).open().unwrap();
    first.set("x", 1).unwrap();
    assert_eq!(second.get::<i64>("x").unwrap(), 1);
    second.set("x", 2).unwrap();
    first.close().unwrap();
    assert_eq!(second.get::<i64>("x").unwrap(), 2);
    let third = Map::options().file(&path).open().unwrap();
    third.set("x", 3).unwrap();
    assert_eq!(second.get::<i64>("x").unwrap(), 3);
}

#[test]
fn reading_alone_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.atomic_or("n", 1_i64).unwrap();
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    assert_eq!(reader.atomic::<i64>("n").unwrap().load().unwrap(), 1);
    for error in [
        reader.set("x", 2).unwrap_err(),
        reader.set("y", 2).unwrap_err(),
        reader.remove("x").unwrap_err(),
        reader.clear().unwrap_err(),
        reader.var::<i64>("x").unwrap().set(3).unwrap_err(),
        reader.atomic::<i64>("n").unwrap().fetch_add(1).unwrap_err(),
        reader.atomic_or("m", 1_i64).unwrap_err(),
        reader.var_or("z", 1).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    map.set("x", 5).unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 5);
    assert_eq!(reader.count().unwrap(), 2);
    let error = Map::options().file(path.with_extension("no")).read_only(true).create();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// After a restart of the machine a lock word may name a dead owner, or an unrelated thread with
/// the same id; the first writable open frees it.
#[test]
fn locks_of_another_boot_are_freed() {
    let _watchdog = Watchdog::new("another boot", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("boot.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Another boot id, with its checksum. Thread 1, which is alive, owns the structure lock and the
    // lock of "x".
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    bytes[0x1100..0x1104].copy_from_slice(&1_u32.to_le_bytes());
    let id = bytes.windows(8).position(|bytes| bytes == b"x\0\0\0\0\0\0\0").unwrap();
    bytes[id - 24..id - 20].copy_from_slice(&1_u32.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    // An opener for reading has the state of the last flush in its own memory. Only a writable open
    // recovers the file.
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    assert!(std::fs::read(&path).unwrap() == bytes, "the file was written to");
    drop(reader);
    let map = Map::options().file(&path).timeout(Duration::from_secs(2)).open().unwrap();
    assert_eq!(map.recovery().unwrap().variables, 1);
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    map.set("x", 2).unwrap();
    map.set("y", 3).unwrap();
    assert_eq!(reader.get::<i64>("y").unwrap(), 3);
}

#[test]
fn a_bad_variable_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.map");
    let map = Map::options().file(&path).create().unwrap();
    for number in 0..6 {
        map.set(&format!("v{number}"), number).unwrap();
    }
    map.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for name in [b"v1\0\0\0\0\0\0", b"v2\0\0\0\0\0\0"] {
        let at = bytes.windows(8).position(|bytes| bytes == name).unwrap();
        // The length in the first slot's description.
        bytes[at + 32 + 14] = 0xff;
    }
    std::fs::write(&path, &bytes).unwrap();
    let map = Map::options().file(&path).open().unwrap();
    let found: Vec<_> = map.iter().collect();
    assert_eq!(found.iter().filter(|entry| entry.is_ok()).count(), 4);
    assert_eq!(found.iter().filter(|entry| entry.is_err()).count(), 2);
    // They exist, whatever their values.
    assert_eq!(map.count().unwrap(), 6);
    assert_eq!(map.clear().unwrap(), 6);
    assert!(map.is_empty().unwrap());
}

#[test]
fn bad_arguments_are_told() {
    let kind = |options: mapvar::MapOptions| options.create().unwrap_err().kind();
    assert_eq!(kind(Map::options()), ErrorKind::InvalidArgument);
    assert_eq!(kind(Map::options().name("a").file("b")), ErrorKind::InvalidArgument);
    assert_eq!(kind(Map::options().name("")), ErrorKind::InvalidName);
    assert_eq!(kind(Map::options().name("a/b")), ErrorKind::InvalidName);
    assert_eq!(kind(Map::options().name("a\\b")), ErrorKind::InvalidName);
    assert_eq!(kind(Map::options().name("é")), ErrorKind::InvalidName);
    assert_eq!(kind(Map::options().name("x".repeat(121))), ErrorKind::InvalidName);
    assert_eq!(kind(Map::options().name("zero").size(0)), ErrorKind::InvalidArgument);
    assert_eq!(kind(Map::options().name("huge").size(u64::MAX)), ErrorKind::TooLarge);

    let map = Map::options().name(unique("names")).create().unwrap();
    for bad in [String::new(), "x".repeat(1024)] {
        let error = map.set(&bad, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert_eq!(map.get::<i64>(&bad).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    map.set(&"x".repeat(1023), 1).unwrap();
    map.set("ünï code\n", 2).unwrap();
    assert_eq!(map.get::<i64>("ünï code\n").unwrap(), 2);
    let error = map.get::<i64>("nothing").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("\"nothing\""), "{error}");
    map.set("text", "x").unwrap();
    let error = map.get::<i64>("text").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
    assert!(error.to_string().contains("found str"), "{error}");
    map.set("big", vec![0_u8; 1009]).unwrap();
    assert_eq!(map.get::<Vec<u8>>("big").unwrap(), vec![0_u8; 1009]);
}

#[test]
fn handles_follow_their_variable() {
    let map = Map::options().name(unique("follow")).create().unwrap();
    let speed = map.var_or("speed", 1).unwrap();
    let first = speed.version().unwrap();
    speed.set(2).unwrap();
    assert!(speed.version().unwrap() > first);
    assert!(!speed.compare_and_set(first, 9).unwrap().is_set());
    let second = speed.version().unwrap();
    let third = speed.compare_and_set(second, 3).unwrap().if_set().unwrap();
    assert_eq!(speed.version().unwrap(), third);
    assert_eq!(speed.update(|speed| speed * 7).unwrap(), 21);
    assert_eq!(map.get::<i64>("speed").unwrap(), 21);
    assert!(map.remove("speed").unwrap());
    assert_eq!(speed.get().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((speed.find().unwrap(), speed.version().unwrap()), (None, Version::ABSENT));
    map.set("other", 9).unwrap();
    assert_eq!(speed.get().unwrap_err().kind(), ErrorKind::NotFound);
    speed.set(3).unwrap();
    assert_eq!(map.get::<i32>("speed").unwrap(), 3);
    map.set("speed", 4).unwrap();
    assert_eq!(speed.get().unwrap(), 4);
    speed.set(5).unwrap();
    assert_eq!(map.get::<i32>("speed").unwrap(), 5);

    let count = map.atomic_or("count", 1_i64).unwrap();
    assert_eq!(map.atomic::<u64>("count").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.atomic::<i64>("speed").unwrap_err().kind(), ErrorKind::WrongKind);
    assert!(map.remove("count").unwrap());
    assert_eq!(count.load().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(count.fetch_add(1).unwrap_err().kind(), ErrorKind::NotFound);
    map.set("count", "text").unwrap();
    assert_eq!(count.load().unwrap_err().kind(), ErrorKind::WrongKind);
    map.remove("count").unwrap();
    let again = map.atomic_or("count", 5_i64).unwrap();
    assert_eq!(count.load().unwrap(), 5);
    count.fetch_sub(6).unwrap();
    assert_eq!(again.load().unwrap(), -1);
    let flag = map.atomic_or("flag", false).unwrap();
    flag.store(true).unwrap();
    assert!(map.get::<bool>("flag").unwrap());
    let level = map.atomic_or("level", 0.5).unwrap();
    assert_eq!(level.compare_exchange(0.5, 1.5).unwrap(), Compared::Set(0.5));
    assert_eq!(level.compare_exchange(0.5, 2.5).unwrap(), Compared::Changed(1.5));
}
