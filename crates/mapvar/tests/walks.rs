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
fn names_leave_out_what_the_library_keeps_for_itself() {
    let [map, _] = maps();
    map.set("x", 1).unwrap();
    map.lock("jobs").unwrap().acquire().unwrap().release().unwrap();
    map.atomic_or("count", 1).unwrap();
    assert_eq!(map.names().sorted().unwrap(), ["count", "x"]);
}
