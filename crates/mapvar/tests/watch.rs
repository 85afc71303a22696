//! Watches of one variable, of many, of a prefix, and of all, which other processes set; some of
//! these processes are killed.
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

use common::{Watchdog, map, other, role, scaled, unique};
use mapvar::{ErrorKind, Map, Version, Watch};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(30);

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let map = Map::open(&arguments[0]).unwrap();
    match role.as_str() {
        "echo" => common::echo(&map),
        // Increments every variable of a range repeatedly.
        "counter" => {
            let [first, count, rounds] = [1, 2, 3].map(|at| arguments[at].parse::<u64>().unwrap());
            let names = (first..first + count).map(|number| format!("n.{number}"));
            let vars: Vec<_> = names.map(|name| map.var_or(&name, 0_u64).unwrap()).collect();
            for round in 1..=rounds {
                for var in &vars {
                    var.set(round).unwrap();
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

fn nothing(watch: &mut Watch) {
    assert!(watch.try_recv().unwrap().is_none());
    let begin = Instant::now();
    assert!(watch.recv_timeout(SHORT).unwrap().is_none());
    assert!(begin.elapsed() >= SHORT);
}

#[test]
fn what_was_before_is_no_change_and_what_comes_after_is() {
    let _watchdog = Watchdog::new("what_was_before", LONG);
    let (map, _) = map("watch-one");
    map.set("foo", 1).unwrap();
    let mut watch = map.watch("foo").unwrap();
    nothing(&mut watch);
    map.set("foo", 2).unwrap();
    let change = watch.recv().unwrap();
    assert_eq!((change.name(), change.get::<i64>().unwrap(), change.skipped()), ("foo", 2, 0));
    assert_eq!(change.version(), map.version("foo").unwrap());
    nothing(&mut watch);
    for value in 3..=9 {
        map.set("foo", value).unwrap();
    }
    let change = watch.recv().unwrap();
    assert_eq!((change.get::<i64>().unwrap(), change.skipped()), (9, 6));
    // A set of the same value is a change.
    map.set("foo", 9).unwrap();
    assert_eq!(watch.recv().unwrap().skipped(), 0);
    map.set("other", 1).unwrap();
    nothing(&mut watch);
}

#[test]
fn a_variable_comes_goes_and_comes_again() {
    let _watchdog = Watchdog::new("comes_goes", LONG);
    let (map, _) = map("watch-life");
    let mut watch = map.watch("foo").unwrap();
    nothing(&mut watch);
    map.set("foo", "born").unwrap();
    let born = watch.recv().unwrap();
    assert_eq!((born.get::<String>().unwrap().as_str(), born.skipped()), ("born", 0));
    assert!(map.remove("foo").unwrap());
    let gone = watch.recv().unwrap();
    assert!(gone.is_removed() && gone.skipped() == 0);
    assert_eq!(gone.find::<String>().unwrap(), None);
    assert_eq!(born.find::<String>().unwrap().as_deref(), Some("born"));
    assert_eq!(born.find::<i64>().unwrap_err().kind(), ErrorKind::WrongKind);
    assert!(gone.find::<mapvar::Value>().unwrap().is_none() && gone.kind().unwrap().is_none());
    assert_eq!(gone.get::<String>().unwrap_err().kind(), ErrorKind::NotFound);
    nothing(&mut watch);
    map.set("foo", 77).unwrap();
    assert_eq!(watch.recv().unwrap().get::<i64>().unwrap(), 77);
    // Removed and created again between two waits.
    map.remove("foo").unwrap();
    map.set("foo", 78).unwrap();
    let again = watch.recv().unwrap();
    assert_eq!(again.get::<i64>().unwrap(), 78);
    assert!(again.skipped() >= 1, "the removal is told as skipped");
    nothing(&mut watch);
}

#[test]
fn many_a_prefix_and_all() {
    let _watchdog = Watchdog::new("many", LONG);
    let (map, _) = map("watch-many");
    for name in ["a.1", "a.2", "b.1"] {
        map.set(name, 0).unwrap();
    }
    let mut any = map.watch_any(["a.1", "b.1", "later", "a.1"]).unwrap();
    let mut prefix = map.watch_prefix("a.").unwrap();
    let mut all = map.watch_all().unwrap();
    for name in ["a.1", "a.2", "a.3", "b.1", "later"] {
        map.set(name, 1).unwrap();
    }
    map.remove("a.2").unwrap();
    let changed = |watch: &mut Watch| {
        let mut names: Vec<_> = std::iter::from_fn(|| watch.recv_timeout(SHORT).unwrap())
            .map(|change| {
                format!("{}{}", change.name(), if change.is_removed() { "-" } else { "" })
            })
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(changed(&mut any), "a.1 b.1 later");
    assert_eq!(changed(&mut prefix), "a.1 a.2- a.3");
    assert_eq!(changed(&mut all), "a.1 a.2- a.3 b.1 later");
}

#[test]
fn atomics_and_transactions_are_told() {
    let _watchdog = Watchdog::new("atomics", LONG);
    let (map, _) = map("watch-atomic");
    let atomic = map.atomic_or("hits", 5_u64).unwrap();
    map.set("x", 0).unwrap();
    map.set("y", 0).unwrap();
    let mut hits = map.watch("hits").unwrap();
    let mut both = map.watch_any(["x", "y"]).unwrap();
    let other = map.clone();
    let waiter = thread::spawn(move || {
        let change = hits.recv().unwrap();
        (change.get::<u64>().unwrap(), change.skipped())
    });
    thread::sleep(SHORT);
    atomic.fetch_add(1).unwrap();
    assert_eq!(waiter.join().unwrap(), (6, 0));
    let waiter = thread::spawn(move || [both.recv().unwrap(), both.recv().unwrap()]);
    thread::sleep(SHORT);
    other
        .transaction(|transaction| {
            transaction.set("x", 1)?;
            transaction.set("y", 2)
        })
        .unwrap();
    let mut changes = waiter.join().unwrap().map(|change| {
        let value: i64 = change.get().unwrap();
        (change.name().to_owned(), value)
    });
    changes.sort();
    assert_eq!(changes, [("x".to_owned(), 1), ("y".to_owned(), 2)]);
    map.remove("hits").unwrap();
    let mut hits = map.watch("hits").unwrap();
    nothing(&mut hits);
    map.atomic_or("hits", 1_u64).unwrap();
    assert_eq!(hits.recv().unwrap().get::<u64>().unwrap(), 1);
}

#[test]
fn another_process_is_woken_and_wakes() {
    let _watchdog = Watchdog::new("another_process", 4 * LONG);
    let (map, name) = map("watch-echo");
    map.set("ask", 0_u64).unwrap();
    let mut ready = map.watch("ready").unwrap();
    let mut answers = map.watch("answer").unwrap();
    let _echo = other("echo", &[&name]);
    ready.recv().unwrap();
    for asked in 1..=scaled(2_000) as u64 {
        map.set("ask", asked).unwrap();
        let answer = answers.recv().unwrap();
        assert_eq!((answer.get::<u64>().unwrap(), answer.skipped()), (asked + 1_000_000, 0));
    }
}

#[test]
fn i22_waiters_that_are_killed_cost_the_others_nothing() {
    let _watchdog = Watchdog::new("killed", 2 * LONG);
    let (map, name) = map("watch-killed");
    map.set("ask", 0_u64).unwrap();
    let mut ready = map.watch("ready").unwrap();
    for _ in 0..5 {
        let echo = other("echo", &[&name]);
        ready.recv().unwrap();
        drop(echo);
    }
    let mut answers = map.watch("answer").unwrap();
    let _echo = other("echo", &[&name]);
    ready.recv().unwrap();
    map.set("ask", 7_u64).unwrap();
    assert_eq!(answers.recv().unwrap().get::<u64>().unwrap(), 1_000_007);
}

#[test]
fn i22_each_variable_is_told_in_its_order_and_nothing_is_missed() {
    const PROCESSES: u64 = 4;
    let _watchdog = Watchdog::new("each_variable", 4 * LONG);
    let name = unique("watch-order");
    let map = Map::options().name(&name).size(1 << 20).create().unwrap();
    let (each, rounds) = (scaled(250).max(10) as u64, 40_u64);
    let mut watch = map.watch_prefix("n.").unwrap();
    let counters: Vec<_> = (0..PROCESSES)
        .map(|process| {
            let first = (process * each).to_string();
            other("counter", &[&name, &first, &each.to_string(), &rounds.to_string()])
        })
        .collect();
    let (mut last, mut counted) = (HashMap::new(), HashMap::<String, u64>::new());
    while last.len() < (PROCESSES * each) as usize || last.values().any(|value| *value < rounds) {
        let change = watch.recv().unwrap();
        let value: u64 = change.get().unwrap();
        let before = last.insert(change.name().to_owned(), value);
        assert!(before.is_none_or(|before| before < value), "{} goes back", change.name());
        *counted.entry(change.name().to_owned()).or_default() += 1 + change.skipped();
    }
    // One change for the creation with 0, and one for each round.
    assert!(counted.values().all(|count| *count == rounds + 1), "{counted:?}");
    drop(counters);
}

#[test]
fn a_map_for_reading_is_watched_too() {
    let _watchdog = Watchdog::new("for_reading", LONG);
    let (map, name) = map("watch-reading");
    map.set("foo", 1).unwrap();
    let reader = Map::options().name(&name).read_only(true).open().unwrap();
    let mut one = reader.watch("foo").unwrap();
    let mut all = reader.watch_all().unwrap();
    let setter = thread::spawn(move || {
        thread::sleep(SHORT);
        map.set("foo", 2).unwrap();
        map.set("new", 3).unwrap();
        map
    });
    assert_eq!(one.recv().unwrap().get::<i64>().unwrap(), 2);
    let mut names =
        [all.recv().unwrap(), all.recv().unwrap()].map(|change| change.name().to_owned());
    names.sort();
    assert_eq!(names, ["foo", "new"]);
    setter.join().unwrap();
}

/// All changes that a watch has at present, as `name=value` or `name-`.
fn told(watch: &mut Watch) -> Vec<String> {
    std::iter::from_fn(|| watch.try_recv().unwrap())
        .map(|change| match change.find::<i64>().unwrap() {
            Some(value) => format!("{}={value}", change.name()),
            None => format!("{}-", change.name()),
        })
        .collect()
}

#[test]
fn changes_of_many_come_in_the_order_in_which_they_happened() {
    let (map, _) = map("watch-order");
    for name in ["a", "b", "c"] {
        map.set(name, 0).unwrap();
    }
    let mut all = map.watch_all().unwrap();
    for name in ["c", "new", "a", "b"] {
        map.set(name, 1).unwrap();
    }
    assert_eq!(told(&mut all), ["c=1", "new=1", "a=1", "b=1"]);
    map.remove("c").unwrap();
    map.set("a", 2).unwrap();
    assert_eq!(told(&mut all), ["c-", "a=2"]);
    assert!(told(&mut all).is_empty());
}

/// More happens between two looks than the ring of changes holds.
#[test]
fn a_watch_that_looks_seldom_misses_nothing() {
    const MANY: usize = 1_500;
    let name = unique("watch-seldom");
    let map = Map::options().name(&name).size(1 << 20).create().unwrap();
    let names: Vec<_> = (0..MANY).map(|number| format!("n.{number}")).collect();
    map.set("x.0", 0).unwrap();
    let mut prefix = map.watch_prefix("n.").unwrap();
    let mut any = map.watch_any(names.iter().chain([&"x.0".to_owned()])).unwrap();
    for round in 0..3 {
        for name in &names {
            map.set(name, round).unwrap();
        }
        let mut expected: Vec<_> = names.iter().map(|name| format!("{name}={round}")).collect();
        expected.sort();
        for watch in [&mut prefix, &mut any] {
            let mut found = told(watch);
            found.sort();
            assert_eq!(found, expected, "round {round}");
        }
        // One change more is told by the ring again.
        map.set("n.7", round + 10).unwrap();
        assert_eq!(told(&mut prefix), [format!("n.7={}", round + 10)]);
        assert_eq!(told(&mut any), [format!("n.7={}", round + 10)]);
    }
    for name in &names {
        map.remove(name).unwrap();
    }
    assert_eq!((told(&mut prefix).len(), told(&mut any).len()), (MANY, MANY));
    map.set("n.7", 1).unwrap();
    map.set("x.0", 1).unwrap();
    assert_eq!(told(&mut prefix), ["n.7=1"]);
    assert_eq!(told(&mut any), ["n.7=1", "x.0=1"]);
}

/// The records of removed variables become those of others while the watch does not look.
#[test]
fn a_watch_that_looks_seldom_finds_what_has_taken_a_place() {
    const MANY: usize = 400;
    let name = unique("watch-places");
    let map = Map::options().name(&name).size(1 << 20).create().unwrap();
    for number in 0..MANY {
        map.set(&format!("a.{number}"), 0).unwrap();
    }
    let mut all = map.watch_all().unwrap();
    for number in 0..MANY {
        map.remove(&format!("a.{number}")).unwrap();
        map.set(&format!("b.{number}"), 0).unwrap();
    }
    let mut found = told(&mut all);
    found.sort();
    let gone = (0..MANY).map(|number| format!("a.{number}-"));
    let mut expected: Vec<_> =
        gone.chain((0..MANY).map(|number| format!("b.{number}=0"))).collect();
    expected.sort();
    assert_eq!(found, expected);
    for number in 0..MANY {
        map.set(&format!("b.{number}"), 1).unwrap();
        assert_eq!(told(&mut all), [format!("b.{number}=1")]);
    }
}

/// An Atomic that changed and changed back is not told, but its next change is.
#[test]
fn an_atomic_that_changed_back_is_told_the_next_time() {
    let name = unique("watch-back");
    let map = Map::options().name(&name).size(1 << 20).create().unwrap();
    let atomic = map.atomic_or("hits", 5_u64).unwrap();
    map.set("other", 0).unwrap();
    let mut watch = map.watch_any(["hits", "other"]).unwrap();
    for lap in [false, true] {
        atomic.store(6).unwrap();
        atomic.store(5).unwrap();
        if lap {
            // The entry of the change is no longer in the ring.
            (0..600).for_each(|number| map.set(&format!("n.{number}"), 0).unwrap());
        }
        nothing(&mut watch);
        atomic.store(7).unwrap();
        assert_eq!(told(&mut watch), ["hits=7"]);
        atomic.store(5).unwrap();
        assert_eq!(told(&mut watch), ["hits=5"]);
    }
}

/// A process dies between its change and the entry of it: the head is as it was before.
#[cfg(target_os = "linux")]
#[test]
fn a_change_without_an_entry_is_found_all_the_same() {
    use std::os::unix::fs::FileExt;
    const HEAD: u64 = 0x1050;
    let _watchdog = Watchdog::new("without_an_entry", LONG);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched");
    let map = Map::options().file(&path).create().unwrap();
    map.set("a", 1).unwrap();
    map.set("b", 1).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut all = map.watch_all().unwrap();
    let mut any = map.watch_any(["b", "c"]).unwrap();
    let mut head = [0; 8];
    file.read_exact_at(&mut head, HEAD).unwrap();
    map.set("b", 2).unwrap();
    map.set("c", 2).unwrap();
    file.write_all_at(&head, HEAD).unwrap();
    assert_eq!(all.recv().unwrap().name(), "b");
    let mut names = [any.recv().unwrap(), any.recv().unwrap()].map(|it| it.name().to_owned());
    names.sort();
    assert_eq!(names, ["b", "c"]);
}

/// Names that come and go leave nothing behind in a watch of a prefix.
#[test]
fn a_watch_forgets_the_names_that_are_gone() {
    let (map, _) = map("watch-forgets");
    let mut all = map.watch_all().unwrap();
    for round in 0..2_000 {
        let name = format!("session.{round}");
        map.set(&name, round).unwrap();
        assert_eq!(told(&mut all), [format!("{name}={round}")]);
        map.remove(&name).unwrap();
        assert_eq!(told(&mut all), [format!("{name}-")]);
    }
    assert!(told(&mut all).is_empty());
    let watched = format!("{all:?}");
    assert!(watched.contains("watched: 0") || watched.contains("watched: 1"), "{watched}");
}

#[test]
fn what_cannot_be_watched_says_so() {
    let (map, _) = map("watch-refused");
    assert_eq!(map.watch("").unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(map.watch_any([""; 0]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(map.version("foo").unwrap(), Version::ABSENT);
}

#[test]
fn a_file_that_is_flushed_and_collected_is_watched_on() {
    let _watchdog = Watchdog::new("flushed", LONG);
    let folder = tempfile::tempdir().unwrap();
    let map = Map::options().file(folder.path().join("watched")).create().unwrap();
    map.set("foo", 1).unwrap();
    let mut watch = map.watch("foo").unwrap();
    map.flush().unwrap();
    nothing(&mut watch);
    map.remove("foo").unwrap();
    assert!(watch.recv().unwrap().is_removed());
    // The record of a removed variable is reclaimed after two flushes, and may then be reused for
    // another variable.
    for round in 0..4 {
        map.flush().unwrap();
        map.set(&format!("other.{round}"), round).unwrap();
        nothing(&mut watch);
    }
    map.set("foo", 2).unwrap();
    assert_eq!(watch.recv().unwrap().get::<i64>().unwrap(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_value_that_cannot_be_read_is_told_once_and_the_next_one_is_a_change() {
    use std::os::unix::fs::FileExt;
    const MARK: u64 = 0x1122_3344_5566_7788;
    let _watchdog = Watchdog::new("cannot_be_read", LONG);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched");
    let map = Map::options().file(&path).create().unwrap();
    let mut watch = map.watch("foo").unwrap();
    map.set("foo", MARK).unwrap();
    // As a hostile process leaves it: the description, three words before the value, says more bytes
    // than the record has.
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|word| word == MARK.to_le_bytes()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 6], at as u64 - 22).unwrap();
    let error = watch.recv().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    nothing(&mut watch);
    for round in 0..3 {
        map.set("foo", round).unwrap();
        assert_eq!(watch.recv().unwrap().get::<i64>().unwrap(), round);
    }
    map.remove("foo").unwrap();
    assert!(watch.recv().unwrap().is_removed());
}

/// A value that nobody can read does not keep a watch from its start, nor a copy from the others.
#[cfg(unix)]
#[test]
fn a_value_that_cannot_be_read_hides_no_other_variable() {
    use std::os::unix::fs::FileExt;
    const MARK: u64 = 0x1122_3344_5566_7788;
    let _watchdog = Watchdog::new("hides_no_other", LONG);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched");
    let map = Map::options().file(&path).create().unwrap();
    for (name, value) in [("before", 1), ("foo", MARK), ("later", 3)] {
        map.set(name, value).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|word| word == MARK.to_le_bytes()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 6], at as u64 - 22).unwrap();

    let copy = Map::options().file(folder.path().join("copy")).create().unwrap();
    let copied = map.copy_to(&copy).unwrap();
    assert_eq!((copied.variables, copied.at_one_instant, copied.lost.len()), (2, true, 1));
    let lost = &copied.lost[0];
    assert!(lost.kind() == ErrorKind::Corrupt && lost.to_string().contains("\"foo\""), "{lost}");
    assert_eq!(copy.get::<i64>("later").unwrap(), 3);
    assert!(!copy.contains("foo").unwrap());

    // A walk continues behind it, unless it is told to read it again.
    let mut entries = map.iter();
    let mut names = Vec::new();
    let mut errors = 0;
    loop {
        match entries.try_next() {
            Ok(Some(entry)) => names.push(entry.name().to_owned()),
            Ok(None) => break,
            Err(_) if errors < 3 => {
                errors += 1;
                entries.retry();
            }
            Err(_) => errors += 1,
        }
    }
    assert_eq!((errors, names), (4, vec!["before".to_owned(), "later".to_owned()]));

    for mut watch in [map.watch_all().unwrap(), map.watch("foo").unwrap()] {
        let error = watch.recv().map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Corrupt, "watch variable"));
        assert!(error.to_string().contains("\"foo\""), "{error}");
        nothing(&mut watch);
    }
    let mut watch = map.watch_all().unwrap();
    watch.recv().unwrap_err();
    map.set("later", 4).unwrap();
    assert_eq!(watch.recv().unwrap().name(), "later");
    // A condition that does not need the variable is waited for all the same.
    let never = |_: &Map| Ok::<_, mapvar::Error>(false);
    assert!(!map.wait_until(["foo", "later"], Duration::from_millis(20), never).unwrap());
    let needs = |map: &Map| Ok::<_, mapvar::Error>(map.get::<i64>("foo")? == 5);
    let error = map.wait_until(["foo", "later"], LONG, needs).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Corrupt, "get variable"));
    map.set("foo", 5).unwrap();
    assert_eq!(watch.recv().unwrap().get::<i64>().unwrap(), 5);
}
