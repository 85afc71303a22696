//! Ephemeral variables, whose owner process exits or is killed.
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

use common::{Owned, Random, Watchdog, map, other, role, scaled};
use mapvar::{ErrorKind, Map, Value, Version, check::Severity};
use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_millis(10);

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let map = Map::open(&arguments[0]).or_else(|_| Map::options().file(&arguments[0]).open());
    let map = map.unwrap();
    match role.as_str() {
        // Sets these variables, and runs until it is killed or its input ends.
        "holder" => {
            for name in &arguments[1..] {
                map.set_ephemeral(name, std::process::id()).unwrap();
            }
            map.set_ephemeral("ready", true).unwrap();
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        // As it does, in one transaction.
        "transactor" => {
            map.transaction(|tx| {
                tx.set("beside", 1)?;
                tx.set_ephemeral("of the dead", 1)
            })
            .unwrap();
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        // Sets these variables, and exits at once without closing the map.
        "leaver" => {
            for name in &arguments[1..] {
                map.set_ephemeral(name, std::process::id()).unwrap();
            }
            std::process::exit(0);
        }
        // Sets, removes and replaces variables until it is killed.
        "churner" => {
            let mut random = Random::new("churner");
            map.set_ephemeral(&format!("churner.{}", std::process::id()), 0).unwrap();
            loop {
                let name = format!("shared.{}", random.below(4));
                let long = vec![7_u8; random.below(3000) as usize];
                match random.below(5) {
                    0 => drop(map.remove(&name).unwrap()),
                    1 => map.set_ephemeral(&name, std::process::id()).unwrap(),
                    2 => map.set_ephemeral(&name, Value::Bytes(long)).unwrap(),
                    3 => drop(map.find::<u32>(&name)),
                    _ => drop(map.compare_and_set(&name, Version::ABSENT, 1).unwrap()),
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

fn holder(map: &Map, name: &str, names: &[&str]) -> Owned {
    let mut arguments = vec![name];
    arguments.extend(names);
    let holder = other("holder", &arguments);
    await_that(|| map.contains("ready").unwrap());
    holder
}

/// Polls until `what` returns true; the watchdog ends a test that waits forever.
fn await_that(mut what: impl FnMut() -> bool) {
    while !what() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn it_is_a_variable_as_any_while_its_process_lives() {
    let _watchdog = Watchdog::new("it_is_a_variable", LONG);
    let (map, name) = map("ephemeral-any");
    let long = "x".repeat(100_000);
    let room = "y".repeat(90);
    map.set_ephemeral("number", 7).unwrap();
    map.set_ephemeral("text", "hello").unwrap();
    map.set_ephemeral("long", &long).unwrap();
    map.set_ephemeral("room", &room).unwrap();
    map.set_ephemeral("list", (1, "two")).unwrap();
    map.set_ephemeral("nil", None::<u8>).unwrap();
    map.set_ephemeral("pod", &Value::Pod { type_id: 9, bytes: vec![1, 2, 3] }).unwrap();
    let second = Map::open(&name).unwrap();
    for map in [&map, &second] {
        assert_eq!(map.get::<i64>("number").unwrap(), 7);
        assert_eq!(map.get::<String>("text").unwrap(), "hello");
        assert_eq!(map.get::<String>("long").unwrap(), long);
        assert_eq!(map.get::<String>("room").unwrap(), room);
        assert_eq!(map.get::<Value>("list").unwrap().to_string(), "[1, \"two\"]");
        assert_eq!(map.get::<Value>("nil").unwrap(), Value::Nil);
        assert_eq!(
            map.get::<Value>("pod").unwrap(),
            Value::Pod { type_id: 9, bytes: vec![1, 2, 3] }
        );
        assert_eq!(map.count().unwrap(), 7);
        assert_eq!(map.iter().map(Result::unwrap).count(), 7);
        assert!(map.contains("number").unwrap());
        let owner = map.owner("number").unwrap().unwrap();
        assert_eq!(owner.pid, std::process::id());
    }
    let var = second.var::<i64>("number").unwrap();
    assert_eq!(var.get().unwrap(), 7);
    let mine = map.participants().unwrap().into_iter().find(|one| one.this).unwrap();
    assert_eq!(mine.owns.len(), 7);
    // Longer and shorter values replace the value.
    for len in [0, 1, 7, 8, 9, 23, 24, 25, 31, 32, 33, 88, 96, 97, 1000, 1080, 1088, 5000, 70_000] {
        let text = "z".repeat(len);
        map.set_ephemeral("text", &text).unwrap();
        assert_eq!(second.get::<String>("text").unwrap(), text);
        assert!(second.owner("text").unwrap().is_some());
    }
    drop(map);
    assert_eq!(second.count().unwrap(), 0);
    assert_eq!(var.get().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_transaction_sets_it_with_all_else_or_not_at_all() {
    let _watchdog = Watchdog::new("a_transaction_sets_it", LONG);
    let (map, name) = map("ephemeral-tx");
    let worker = Map::open(&name).unwrap();
    let pod = Value::Pod { type_id: 9, bytes: vec![1, 2, 3] };
    for (round, len) in
        [0, 1, 8, 15, 16, 17, 24, 31, 32, 33, 96, 1088, 70_000].into_iter().enumerate()
    {
        let text = "z".repeat(len);
        worker
            .transaction(|tx| {
                tx.set("ordinary", round)?;
                tx.set_ephemeral("number", round)?;
                tx.set_ephemeral("text", &text)?;
                tx.set_ephemeral("pod", &pod)?;
                assert_eq!(tx.get::<String>("text")?, text);
                Ok(())
            })
            .unwrap();
        assert_eq!(map.get::<usize>("number").unwrap(), round);
        assert_eq!(map.get::<String>("text").unwrap(), text);
        assert_eq!(map.get::<Value>("pod").unwrap(), pod);
        for name in ["number", "text", "pod"] {
            assert_eq!(map.owner(name).unwrap().unwrap().pid, std::process::id());
        }
        assert!(map.owner("ordinary").unwrap().is_none());
    }
    let refused: mapvar::Result<()> = worker.transaction(|tx| {
        tx.set_ephemeral("never", 1)?;
        tx.get("absent")
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!map.contains("never").unwrap());
    // Any other write makes it permanent, in a transaction too.
    map.transaction(|tx| tx.set("number", 0)).unwrap();
    let mut watch = map.watch("text").unwrap();
    drop(worker);
    assert!(watch.recv().unwrap().is_removed());
    let names: Vec<_> = map.iter().map(|entry| entry.unwrap().name().to_owned()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // A process that dies.
    let holder = other("transactor", &[&name]);
    await_that(|| map.contains("of the dead").unwrap());
    drop(holder);
    await_that(|| !map.contains("of the dead").unwrap());
    assert!(map.contains("beside").unwrap());
}

#[test]
fn any_other_write_makes_it_stay() {
    let _watchdog = Watchdog::new("any_other_write", LONG);
    let (map, name) = map("ephemeral-stay");
    let worker = Map::open(&name).unwrap();
    for name in ["set", "cas", "transaction", "var", "update", "again", "taken"] {
        worker.set_ephemeral(name, 1).unwrap();
    }
    map.set("set", 2).unwrap();
    let version = map.version("cas").unwrap();
    assert!(map.compare_and_set("cas", version, 2).unwrap().is_set());
    map.transaction(|all| all.set("transaction", 2)).unwrap();
    map.var::<i64>("var").unwrap().set(2).unwrap();
    worker.set("again", 1).unwrap();
    worker.set_ephemeral("again", 2).unwrap();
    map.set_ephemeral("taken", 2).unwrap();
    drop(worker);
    let mut left: Vec<_> = map.iter().map(|entry| entry.unwrap().name().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["cas", "set", "taken", "transaction", "var"]);
    assert!(map.owner("set").unwrap().is_none() && map.owner("none").unwrap().is_none());
    assert_eq!(map.owner("taken").unwrap().unwrap().pid, std::process::id());
}

#[test]
fn i24_who_is_killed_leaves_nothing_and_who_watches_is_told() {
    let _watchdog = Watchdog::new("who_is_killed", LONG);
    let (map, name) = map("ephemeral-killed");
    let reader = Map::options().name(&name).read_only(true).open().unwrap();
    let holder = holder(&map, &name, &["one", "two"]);
    let pid = holder.0.id();
    assert_eq!(map.owner("one").unwrap().unwrap().pid, pid);
    assert_eq!(reader.owner("two").unwrap().unwrap().pid, pid);
    let owner = map.participants().unwrap().into_iter().find(|one| one.holder.pid == pid);
    let mut owns = owner.unwrap().owns;
    owns.sort();
    assert_eq!(owns, ["one", "ready", "two"]);
    let mut one = map.watch("one").unwrap();
    let mut all = map.watch_all().unwrap();
    let mut read = reader.watch_any(["one", "two"]).unwrap();
    assert!(one.try_recv().unwrap().is_none() && read.try_recv().unwrap().is_none());
    drop(holder);
    let change = one.recv().unwrap();
    assert!(change.is_removed() && change.skipped() == 0);
    let mut changed = HashSet::new();
    for _ in 0..3 {
        let change = all.recv().unwrap();
        assert!(change.is_removed());
        changed.insert(change.name().to_owned());
    }
    assert_eq!(changed.len(), 3);
    for _ in 0..2 {
        assert!(read.recv().unwrap().is_removed());
    }
    // Each removal is reported once.
    for watch in [&mut one, &mut all, &mut read] {
        assert!(watch.recv_timeout(SOON).unwrap().is_none());
    }
    assert!(map.is_empty().unwrap() && reader.is_empty().unwrap());
    // Later variables of the same names are not ephemeral.
    map.set("one", 5).unwrap();
    assert_eq!(one.recv().unwrap().get::<i64>().unwrap(), 5);
    assert_eq!(reader.get::<i64>("one").unwrap(), 5);
}

#[test]
fn who_may_only_read_finds_nothing_though_nobody_removes() {
    let _watchdog = Watchdog::new("who_may_only_read", LONG);
    let (map, name) = map("ephemeral-read");
    let reader = Map::options().name(&name).read_only(true).open().unwrap();
    let mut watch = reader.watch("one").unwrap();
    drop(other("leaver", &[&name, "one"]).0.wait());
    // The variable may have appeared and disappeared between two polls.
    await_that(|| !reader.contains("one").unwrap());
    while watch.recv_timeout(SOON).unwrap().is_some() {}
    assert_eq!(reader.find::<u32>("one").unwrap(), None);
    assert_eq!(reader.get::<u32>("one").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((reader.count().unwrap(), reader.iter().count()), (0, 0));
    assert_eq!(reader.version("one").unwrap(), Version::ABSENT);
    // The record of the dead process still exists; each of these operations finds no variable.
    assert!(!map.remove("one").unwrap());
    drop(other("leaver", &[&name, "two", "three", "four", "five", "six"]).0.wait());
    await_that(|| !reader.contains("six").unwrap());
    assert!(map.compare_and_set("two", Version::ABSENT, 1).unwrap().is_set());
    map.atomic_or("three", 3_i64).unwrap();
    assert_eq!(map.var_or("four", 4_i64).unwrap().get().unwrap(), 4);
    map.transaction(|all| {
        assert!(all.find::<i64>("five")?.is_none());
        all.set("five", 5)
    })
    .unwrap();
    assert_eq!(map.clear().unwrap(), 4);
    assert_eq!(map.check().unwrap().findings(), []);
}

#[test]
fn of_a_file_it_ends_with_its_process_too() {
    let _watchdog = Watchdog::new("of_a_file", LONG);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.map");
    let map = Map::options().file(&path).size(2000).create().unwrap();
    let path = path.to_str().unwrap();
    map.set("stays", 1).unwrap();
    let holder = holder(&map, path, &["one"]);
    let own = Map::options().file(path).open().unwrap();
    own.set_ephemeral("two", "x".repeat(5000)).unwrap();
    map.flush().unwrap();
    own.close().unwrap();
    assert!(!map.contains("two").unwrap());
    drop(holder);
    await_that(|| map.count().unwrap() == 1);
    map.flush().unwrap();
    drop(map);
    let map = Map::options().file(path).open().unwrap();
    assert_eq!(map.count().unwrap(), 1);
    // A copy of the file, made while the variable existed, has no owner process.
    map.set_ephemeral("three", 3).unwrap();
    map.flush().unwrap();
    let copy = folder.path().join("copy.map");
    std::fs::copy(path, &copy).unwrap();
    let copied = Map::options().file(&copy).open().unwrap();
    assert!(copied.recovery().is_some());
    assert_eq!(copied.count().unwrap(), 1);
    assert_eq!(map.count().unwrap(), 2);
    assert_eq!(map.check().unwrap().findings(), []);
    assert!(copied.check().unwrap().findings().is_empty());
}

#[test]
fn what_cannot_be_ephemeral_is_refused() {
    let (map, _) = map("ephemeral-refused");
    map.atomic_or("count", 3_i64).unwrap();
    let error = map.set_ephemeral("count", 4_i64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
    assert_eq!(map.get::<i64>("count").unwrap(), 3);
    let error = map.set_ephemeral("", 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.map");
    drop(Map::options().file(&path).create().unwrap());
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.set_ephemeral("a", 4).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn i24_many_are_killed_and_nothing_of_theirs_stays() {
    let _watchdog = Watchdog::new("many_are_killed", LONG);
    let (map, name) = map("ephemeral-many");
    let mut random = Random::new("many_are_killed");
    let mut churners = Vec::new();
    let begin = Instant::now();
    let mut killed = 0;
    while begin.elapsed() < Duration::from_secs(4) {
        while churners.len() < 3 {
            churners.push(other("churner", &[&name]));
        }
        thread::sleep(Duration::from_millis(20 + random.below(60)));
        if map.count().unwrap() > 0 {
            let at = random.below(3) as usize;
            drop(churners.swap_remove(at));
            killed += 1;
        }
    }
    assert!(killed >= scaled(20).min(3));
    drop(churners);
    // All churners are dead, so their ephemeral variables disappear; those that a compare-and-set
    // created stay.
    await_that(|| map.iter().all(|entry| map.owner(entry.unwrap().name()).unwrap().is_none()));
    for entry in &map {
        let entry = entry.unwrap();
        assert!(entry.name().starts_with("shared."), "{}", entry.name());
        assert_eq!(entry.get::<u32>().unwrap(), 1);
    }
    assert_eq!(map.participants().unwrap().len(), 1);
    // Unfinished work of the killed processes may remain until its space is needed.
    let check = map.check().unwrap();
    assert!(check.findings().iter().all(|found| found.severity == Severity::Note), "{check:?}");
}

/// The structure lock at 0x1100 has a living owner that does not go on, as a process that was
/// stopped. Each wait for it takes the timeout, and no operation waits once for each variable: the
/// watchdog would end it.
#[cfg(target_os = "linux")]
#[test]
fn beside_a_stopped_owner_nothing_waits_once_for_each_variable() {
    use std::os::unix::fs::FileExt;
    const MANY: usize = 100;
    let _watchdog = Watchdog::new("beside_a_stopped_owner", LONG);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stopped.map");
    let options = Map::options().file(&path).timeout(Duration::from_secs(2));
    let map = options.clone().open_or_create().unwrap();
    let worker = options.clone().open().unwrap();
    let long = "x".repeat(5000);
    for number in 0..MANY {
        map.set(&format!("permanent.{number}"), &long).unwrap();
        worker.set_ephemeral(&format!("ephemeral.{number}"), &long).unwrap();
    }
    let dead: Vec<_> = (0..MANY).map(|number| format!("of the dead.{number}")).collect();
    let mut arguments = vec![path.to_str().unwrap()];
    arguments.extend(dead.iter().map(String::as_str));
    assert!(other("leaver", &arguments).0.wait().unwrap().success());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let this = std::fs::read_link("/proc/thread-self").unwrap();
    let this: u32 = this.file_name().unwrap().to_str().unwrap().parse().unwrap();
    file.write_all_at(&this.to_le_bytes(), 0x1100).unwrap();

    // A reader meets the variables of the dead process.
    assert_eq!(map.iter().map(Result::unwrap).count(), 2 * MANY);
    assert_eq!(map.count().unwrap(), 2 * MANY as u64);
    // `close` leaves the ephemeral variables to the next process.
    drop(worker);
    assert_eq!(map.count().unwrap(), MANY as u64);
    let error = map.clear().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    file.write_all_at(&[0; 4], 0x1100).unwrap();
    assert!(map.clear().unwrap() >= MANY as u64 - 2);
    assert_eq!(map.count().unwrap(), 0);
    assert!(map.check().unwrap().is_whole());
}

#[test]
fn a_snapshot_has_no_value_of_a_process_that_had_ended_before_the_rest() {
    let _watchdog = Watchdog::new("a_snapshot_has_no_value_of", LONG);
    let mut seen = 0;
    for _ in 0..scaled(12) {
        let (map, name) = map("ephemeral-snapshot");
        // Many names between the two, so that the death often comes between the reads.
        let between: Vec<_> = (0..200).map(|number| format!("between.{number}")).collect();
        between.iter().try_for_each(|name| map.set(name, 0)).unwrap();
        map.set("gone", false).unwrap();
        let names: Vec<_> = ["here"]
            .into_iter()
            .chain(between.iter().map(String::as_str))
            .chain(["gone"])
            .collect();
        let holder = other("holder", &[&name, "here"]);
        while map.find::<bool>("ready").unwrap().is_none() {
            thread::sleep(SOON / 10);
        }
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                loop {
                    let shot = map.snapshot(&names).unwrap();
                    let (here, gone) =
                        (shot.find::<u32>("here").unwrap(), shot.get("gone").unwrap());
                    assert!(!(here.is_some() && gone), "of two instants");
                    seen += 1;
                    if gone {
                        return seen;
                    }
                }
            });
            thread::sleep(SOON / 5);
            drop(holder);
            map.set("gone", true).unwrap();
            seen += reader.join().unwrap();
        });
    }
    println!("{seen} snapshots beside deaths");
}
