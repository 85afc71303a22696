//! Handles to variables that may be absent, and waiting for values and for maps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it saw"
)]

use common::unique;
use mapvar::{Compared, Error, ErrorKind, Map, Var, Version};
use std::{collections::BTreeMap, thread, time::Duration};

mod common;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

fn named(name: &str) -> Map {
    Map::options().name(unique(name)).create().unwrap()
}

/// Asserts what holds of a handle without a variable, and that `set` creates the variable.
fn absent_until_set<T>(map: &Map, name: &str, value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let var: Var<T> = map.var(name).unwrap();
    for round in 0..3 {
        assert_eq!(var.get().unwrap_err().kind(), ErrorKind::NotFound, "{name}, {round}");
        assert_eq!(var.find().unwrap(), None);
        assert_eq!(var.version().unwrap(), Version::ABSENT);
        assert_eq!(var.get_versioned().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(var.get_versioned().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(var.kind().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(var.read_bytes(&mut [0; 4]).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(var.set_if_changed(value).unwrap());
        assert_eq!(var.find().unwrap().as_ref(), Some(value));
        assert!(!var.set_if_changed(value).unwrap());
        assert!(map.remove(name).unwrap());
        assert_eq!(var.find().unwrap(), None);
        var.set(value).unwrap();
        assert_eq!(&var.get().unwrap(), value);
        assert!(map.remove(name).unwrap());
        let stale = var.compare_and_set(Version::from((7, 7)), value).unwrap();
        assert_eq!(stale, Compared::Changed(Version::ABSENT));
        assert_eq!(var.find().unwrap(), None);
        let new = var.compare_and_set(Version::ABSENT, value).unwrap().if_set().unwrap();
        assert_eq!(var.version().unwrap(), new);
        assert!(!var.compare_and_set(Version::ABSENT, value).unwrap().is_set());
        assert!(map.remove(name).unwrap());
    }
}

#[test]
fn a_handle_does_not_need_its_variable() {
    let map = named("absent");
    absent_until_set(&map, "number", &3.5);
    absent_until_set(&map, "nil", &());
    absent_until_set(&map, "none", &None::<i64>);
    absent_until_set(&map, "empty", &String::new());
    absent_until_set(&map, "text", &"x".repeat(5_000));
    absent_until_set(&map, "list", &vec![1, 2, 3]);
    absent_until_set(&map, "dict", &BTreeMap::from([("a".to_owned(), 1)]));
    let frame = map.var::<Vec<u8>>("frame").unwrap();
    frame.write_bytes(&[]).unwrap();
    assert_eq!(frame.get().unwrap(), []);
    assert_eq!(map.var::<i64>("").unwrap_err().kind(), ErrorKind::InvalidName);
}

#[test]
fn a_handle_of_a_map_for_reading_sees_the_variable_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.map");
    let map = Map::options().file(&path).create().unwrap();
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    let var = reader.var::<i64>("x").unwrap();
    assert_eq!(var.find().unwrap(), None);
    assert_eq!(var.set(1).unwrap_err().kind(), ErrorKind::ReadOnly);
    map.set("x", 5).unwrap();
    assert_eq!(var.get().unwrap(), 5);
    map.remove("x").unwrap();
    assert_eq!(var.find().unwrap(), None);
}

#[test]
fn a_handle_of_an_atomic_says_how_to_make_it_again() {
    let map = named("gone");
    let count = map.atomic_or("count", 1_u32).unwrap();
    map.remove("count").unwrap();
    let error = count.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("atomic_or"), "{error}");
}

#[test]
fn atomics_of_every_size_share_one_variable() {
    let map = named("sizes");
    let (narrow, wide) = (map.atomic_or("n", i32::MAX).unwrap(), map.atomic::<i64>("n").unwrap());
    assert_eq!(narrow.fetch_add(1).unwrap(), i32::MAX);
    assert_eq!((narrow.load().unwrap(), wide.load().unwrap()), (i32::MIN, i64::from(i32::MIN)));
    assert_eq!(narrow.fetch_sub(1).unwrap(), i32::MIN);
    wide.store(1 << 40).unwrap();
    for error in [
        narrow.load().map(drop),
        narrow.fetch_add(1).map(drop),
        narrow.swap(1).map(drop),
        narrow.fetch_max(1).map(drop),
        narrow.compare_exchange(1, 2).map(drop),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
        assert!(error.to_string().contains("1099511627776"), "{error}");
    }
    assert_eq!(wide.load().unwrap(), 1 << 40);
    narrow.store(6).unwrap();
    assert_eq!((narrow.fetch_and(3).unwrap(), narrow.fetch_or(8).unwrap()), (6, 2));
    assert_eq!((narrow.fetch_min(4).unwrap(), narrow.fetch_max(9).unwrap()), (10, 4));
    assert_eq!((narrow.swap(-1).unwrap(), wide.load().unwrap()), (9, -1));

    let size = map.atomic_or("size", 0_usize).unwrap();
    assert_eq!(size.fetch_sub(1).unwrap(), 0);
    assert_eq!(size.load().unwrap(), usize::MAX);
    assert_eq!(map.atomic::<i64>("size").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.atomic_or("less", 0_isize).unwrap().update(|n| n - 1).unwrap(), -1);
    assert!(map.atomic_or("flag", false).unwrap().update(|flag| !flag).unwrap());
}

#[test]
fn threads_that_update_one_atomic_lose_nothing() {
    let map = named("race");
    let (narrow, float) = (map.atomic_or("n", 0).unwrap(), map.atomic_or("f", 0.0).unwrap());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    narrow.fetch_add(1).unwrap();
                    float.update(|sum| sum + 0.5).unwrap();
                }
            });
        }
    });
    assert_eq!((narrow.load().unwrap(), float.load().unwrap()), (2_000, 1_000.0));
}

#[derive(Debug)]
enum Trouble {
    Own,
    Map(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Map(error)
    }
}

#[test]
fn closures_fail_with_errors_of_their_own_or_change_nothing() {
    let map = named("own");
    map.set("stock", 2).unwrap();
    let version = map.version("stock").unwrap();
    let own = map.try_transaction(|tx| {
        tx.set("stock", 9)?;
        Err::<(), _>(Trouble::Own)
    });
    assert!(matches!(own, Err(Trouble::Own)), "{own:?}");
    let theirs = map.try_transaction(|tx| tx.get::<String>("stock").map_err(Trouble::from));
    assert!(matches!(&theirs, Err(Trouble::Map(error)) if error.kind() == ErrorKind::WrongKind));
    map.transaction(|tx| {
        tx.set("stock", 9)?;
        tx.discard();
        Ok(())
    })
    .unwrap();
    let stock = map.var::<i64>("stock").unwrap();
    assert!(matches!(stock.try_update(|_| Err(Trouble::Own)), Err(Trouble::Own)));
    assert_eq!(stock.try_update(|_| Ok::<_, Error>(None)).unwrap(), None);
    assert_eq!(map.try_update("stock", |_: Option<i64>| Ok::<_, Error>(None)).unwrap(), None);
    assert!(!map.set_if_changed("stock", 2).unwrap());
    assert_eq!(map.version("stock").unwrap(), version);
    assert!(map.set_if_changed("stock", 3).unwrap());
    assert_eq!(map.get_or("stock", 0).unwrap() + map.get_or("none", 4).unwrap(), 7);
}

#[test]
fn the_first_value_tells_the_type() {
    let map = named("first");
    let text: Var<String> = map.var_or("text", "init").unwrap();
    let list: Var<Vec<f64>> = map.var_or("list", &[1.0, 2.0][..]).unwrap();
    let count = map.var_or("count", 0).unwrap();
    let wide: Var<u64> = map.var_or("wide", 0).unwrap();
    let pair = map.var_or("pair", (1, 2.5)).unwrap();
    text.set("b").unwrap();
    text.set(String::from("c")).unwrap();
    let values = vec![3.0];
    list.set(&values).unwrap();
    list.set(&[4.0, 5.0]).unwrap();
    count.set(7).unwrap();
    wide.set(u64::MAX).unwrap();
    assert_eq!((text.get().unwrap().as_str(), list.get().unwrap()), ("c", vec![4.0, 5.0]));
    assert_eq!((count.get().unwrap(), wide.get().unwrap()), (7_i32, u64::MAX));
    assert_eq!(pair.get().unwrap(), (1, 2.5));
    let numbers = map.atomic_or("atomic", 0).unwrap();
    assert_eq!(numbers.fetch_add(2).unwrap(), 0_i32);
}

#[test]
fn a_wait_ends_when_the_condition_holds_or_the_time_is_up() {
    let map = named("until");
    let door = map.var::<String>("door").unwrap();
    assert_eq!(door.wait_until(SHORT, |_| true).unwrap(), None);
    let other = map.clone();
    let writer = thread::spawn(move || {
        for value in ["closed", "ajar", "open"] {
            thread::sleep(Duration::from_millis(5));
            other.set("door", value).unwrap();
        }
        other.set("ready", true).unwrap();
    });
    assert_eq!(door.wait_until(LONG, |door| door == "open").unwrap().as_deref(), Some("open"));
    let ready = |map: &Map| map.get_or("ready", false);
    assert!(map.wait_until(["door", "ready"], None, ready).unwrap());
    writer.join().unwrap();
    assert!(!map.wait_until(["ready"], SHORT, |_| Ok::<_, Error>(false)).unwrap());
    let own = map.wait_until(["ready"], LONG, |_| Err(Trouble::Own));
    assert!(matches!(own, Err(Trouble::Own)));
    assert_eq!(door.watch().unwrap().try_recv().unwrap().map(|_| ()), None);
}

/// As beside a writer that writes without a pause: after each look there is another change.
#[test]
fn a_wait_ends_in_time_though_each_look_meets_another_change() {
    let map = named("busy");
    let busy = map.var_or("busy", 0).unwrap();
    let mut looks = 0;
    let held = map.wait_until(["busy"], SHORT, |map| {
        looks += 1;
        map.set("busy", looks).map(|()| false)
    });
    assert!(!held.unwrap() && looks > 1);
    assert_eq!(busy.wait_until(SHORT, |seen| busy.set(seen + 1).is_err()).unwrap(), None);
    // Without time there is one look, and another one at a change that came meanwhile.
    let mut looks = 0;
    let held = map.wait_until(["busy"], Duration::ZERO, |map| {
        looks += 1;
        map.set("busy", looks).map(|()| false)
    });
    assert!(!held.unwrap() && looks == 2);
}

#[test]
fn open_waits_for_a_map_that_does_not_exist_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later.map");
    let name = unique("later");
    let (by_file, by_name) = (Map::options().file(&path), Map::options().name(&name));
    for options in [&by_file, &by_name] {
        let error = options.clone().wait(SHORT).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let waiting = options.clone().wait(LONG);
        let opener = thread::spawn(move || waiting.open().unwrap().get::<i64>("x"));
        thread::sleep(Duration::from_millis(30));
        let map = options.create().unwrap();
        // The opener may be faster than this set.
        map.set("x", 1).unwrap();
        let _ = opener.join().unwrap();
    }
    drop((by_file, by_name));
}

#[test]
fn an_atomic_has_no_version_by_a_handle_either() {
    let map = Map::options().name(unique("absent-atomic")).create().unwrap();
    map.atomic_or("count", 1_i64).unwrap();
    let var = map.var::<i64>("count").unwrap();
    assert_eq!(var.get().unwrap(), 1);
    for error in [
        var.version().unwrap_err(),
        var.get_versioned().unwrap_err(),
        map.version("count").unwrap_err(),
        var.compare_and_set(Version::ABSENT, 2).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{error}");
    }
}
