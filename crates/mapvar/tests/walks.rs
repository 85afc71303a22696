//! Walks by prefix and over names alone, in both layouts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it saw"
)]

use common::unique;
use mapvar::{Format, Map};

mod common;

fn maps() -> [Map; 2] {
    let store = Map::options().name(unique("walks")).create().unwrap();
    let gem = Map::options().name(unique("walks-gem")).format(Format::Marshal).size(4_096);
    [store, gem.create().unwrap()]
}

#[test]
fn a_walk_by_prefix_finds_these_variables_alone() {
    for map in maps() {
        for (name, value) in [("car/rpm", 900), ("car/gear", 2), ("cart", 3), ("lap", 7)] {
            map.set(name, value).unwrap();
        }
        assert_eq!(map.names().sorted().unwrap(), ["car/gear", "car/rpm", "cart", "lap"]);
        assert_eq!(map.names().prefix("car/").sorted().unwrap(), ["car/gear", "car/rpm"]);
        assert_eq!(map.names().prefix("none").count(), 0);
        assert_eq!(map.names().prefix("").count(), 4);
        let sum: i64 = map.iter().prefix("car/").map(|it| it.unwrap().get::<i64>().unwrap()).sum();
        assert_eq!(sum, 902);
        map.remove("car/rpm").unwrap();
        assert_eq!(map.names().prefix("car").sorted().unwrap(), ["car/gear", "cart"]);
    }
}

#[test]
fn an_owned_walk_goes_on_where_the_borrowing_one_was() {
    for map in maps() {
        for name in ["a/1", "a/2", "a/3", "b"] {
            map.set(name, 1).unwrap();
        }
        let mut names = map.names().prefix("a/");
        let mut found = vec![names.try_next().unwrap().unwrap()];
        let mut names = names.into_owned();
        drop(map);
        // Without an error there is nothing to read again.
        names.retry();
        found.extend(names.by_ref().map(Result::unwrap));
        found.sort_unstable();
        assert_eq!(found, ["a/1", "a/2", "a/3"]);
        assert!(names.next().is_none());
    }
}

#[test]
fn names_leave_out_what_the_library_keeps_for_itself() {
    let [map, _] = maps();
    map.set("x", 1).unwrap();
    map.lock("jobs").unwrap().acquire().unwrap().release().unwrap();
    map.atomic_or("count", 1).unwrap();
    assert_eq!(map.names().sorted().unwrap(), ["count", "x"]);
}
