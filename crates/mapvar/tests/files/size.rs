//! What a new map takes, and what a requested capacity means.

use crate::common::unique;
use mapvar::{ErrorKind, Map, Stat};
use std::fs;

/// What a new map may take of disk or memory.
const MOST: u64 = 64 << 10;

/// Sets what the first user of a map may set, and returns the figures.
fn begin(map: &Map) -> Stat {
    let new = map.stat().unwrap();
    assert!(new.region <= MOST && new.allocated <= MOST, "{new:?}");
    map.set("speed", 3.5).unwrap();
    map.set("state", "ready").unwrap();
    let stat = map.stat().unwrap();
    assert!(stat.region <= MOST && stat.allocated <= MOST, "{stat:?}");
    assert_eq!(stat.used + stat.free + stat.overhead, stat.region, "{stat:?}");
    stat
}

#[test]
fn a_new_file_takes_little_whatever_its_capacity() {
    let dir = tempfile::tempdir().unwrap();
    let new = Map::options;
    for (name, options, size) in [
        ("usual", new(), 64 << 10),
        ("tiny", new().size(1), 1),
        ("large", new().size(1 << 30), 1 << 30),
        ("bounded", new().size(1 << 30).max_size(1), 1 << 30),
    ] {
        let path = dir.path().join(name);
        let map = options.file(&path).create().unwrap();
        assert_eq!(begin(&map).size, size);
        map.close().unwrap();
        assert!(fs::metadata(&path).unwrap().len() <= MOST, "{name}");
        let map = Map::options().file(&path).open_or_create().unwrap();
        assert_eq!(map.get::<String>("state").unwrap(), "ready");
        assert_eq!(map.check().unwrap().faults(), 0);
    }
}

#[test]
fn a_new_map_without_a_file_takes_little_whatever_its_capacity() {
    for (number, size) in [1, 64 << 10, 1 << 30].into_iter().enumerate() {
        let name = format!("size-test.{}.{number}", std::process::id());
        let map = Map::options().name(&name).size(size).create().unwrap();
        assert_eq!(begin(&map).size, size);
    }
}

#[test]
fn a_capacity_raises_the_limit_to_what_its_values_need() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("size-test.{}.limit", std::process::id());
    let bounded = || Map::options().size(1 << 20).max_size(1);
    for options in [bounded().file(dir.path().join("a")), bounded().name(name)] {
        let map = options.create().unwrap();
        let value = vec![7_u8; 1000];
        let mut number = 0;
        let error = loop {
            match map.set(&format!("v{number}"), &value) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(number * value.len() >= 1 << 20, "only {number} values fit");
        let stat = map.stat().unwrap();
        assert_eq!(Some(stat.region), stat.max_size);
        assert_eq!(map.check().unwrap().faults(), 0);
    }
}

#[test]
fn a_value_larger_than_the_new_map_fits() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::options().file(dir.path().join("a")).create().unwrap();
    let reader = Map::options().file(dir.path().join("a")).read_only(true).open().unwrap();
    let large = vec![7_u8; 5_000_000];
    map.set("large", &large).unwrap();
    assert_eq!(reader.get::<Vec<u8>>("large").unwrap(), large);
    let stat = map.stat().unwrap();
    assert!(stat.region < 8_000_000, "{stat:?}");
    assert!(stat.allocated >= 5_000_000, "{stat:?}");
}

/// docs/LIMITS.md, "Space": a chunk that was divided for records of one size holds no others.
#[test]
fn a_divided_chunk_is_never_whole_again() {
    let new = |what: &str, size: u64| {
        Map::options().name(unique(what)).size(size).max_size(size).create().unwrap()
    };
    let text = "x".repeat(400);
    let fits = |map: &Map, name: &str| {
        (0..1_000_000).take_while(|at| map.set(&format!("{name}{at}"), &text).is_ok()).count()
    };
    for size in [2000, 64 << 10] {
        let fresh = fits(&new("fresh", size), "text");
        let map = new("failed", size);
        let long = "y".repeat(200_000);
        let mut seen = Vec::new();
        for round in 0..3 {
            let error = map
                .transaction(|all| {
                    (0..512).try_for_each(|at| all.set(&format!("{round}.{at}"), &long))
                })
                .unwrap_err();
            assert_eq!((error.kind(), map.count().unwrap()), (ErrorKind::Full, 0), "{error}");
            seen.push(map.stat().unwrap().region - map.stat().unwrap().free);
        }
        // Another such transaction takes the records of the first.
        assert_eq!(seen[1..], [seen[0]; 2]);
        let after = fits(&map, "text");
        println!(
            "size {size}: {fresh} texts in a new map, {after} after a transaction that failed"
        );
        assert!(after < fresh);

        let map = new("numbers", size);
        let numbers = |name: &str| {
            (0..1_000_000).take_while(|at| map.set(&format!("{name}{at}"), *at).is_ok()).count()
        };
        let first = numbers("n");
        map.clear().unwrap();
        assert_eq!((fits(&map, "text"), map.count().unwrap()), (0, 0));
        assert_eq!(numbers("m"), first, "numbers in a map of {size}");
        println!("size {size}: {first} numbers, and no text after them");
    }
}
