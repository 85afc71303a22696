//! The engine under a map: tests that read or write the words of its region.

use crate::Map;
use mapvar_engine::{
    layout,
    mem::{Mem, Ordering},
};

#[test]
fn a_handle_without_a_seat_reports_no_living_process_as_dead() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seats.map");
    let first = Map::options().file(&path).create().unwrap();
    let token = first.stored("", "").unwrap().inner.store.mem().seat().unwrap();
    let others: Vec<Map> = (0..layout::PARTICIPANT_SLOTS)
        .map(|_| Map::options().file(&path).open().unwrap())
        .collect();
    let seats = others
        .iter()
        .filter(|map| map.stored("", "").unwrap().inner.store.mem().seat().is_ok())
        .count();
    assert_eq!(seats, layout::PARTICIPANT_SLOTS - 1);
    let last = others
        .iter()
        .find(|map| map.stored("", "").unwrap().inner.store.mem().seat().is_err())
        .unwrap();
    assert!(last.stored("", "").unwrap().inner.store.lives(token).unwrap());
}

/// The timeout is measured by the clock. Counted in intended naps, 5 s became 15 s, and more on
/// Windows.
#[test]
fn a_flush_waits_for_a_living_flusher_no_longer_than_the_timeout() {
    use std::time::{Duration, Instant};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wait.map");
    let first = Map::options().file(&path).create().unwrap();
    let timeout = Duration::from_secs(1);
    let second = Map::options().file(&path).timeout(timeout).open().unwrap();
    let mem = first.stored("", "").unwrap().inner.store.mem();
    let token = mem.seat().unwrap();
    let words = mem.words_mut(layout::live::AT, layout::live::WORDS).unwrap();
    words.store(layout::live::FLUSHER, token, Ordering::SeqCst);
    second.set("x", 1).unwrap();
    let began = Instant::now();
    let error = second.flush().unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.kind(), mapvar_os::ErrorKind::TimedOut);
    assert!(took >= timeout && took < 3 * timeout, "{took:?} for {timeout:?}");
    words.store(layout::live::FLUSHER, 0, Ordering::SeqCst);
    second.flush().unwrap();
}

/// Only one of many processes that find the region full may lengthen it. When each did, 64
/// processes lengthened the map by half each (harness `soak`).
#[test]
fn of_many_who_find_the_region_full_one_makes_it_longer() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::options().file(dir.path().join("full.map")).create().unwrap();
    let store = &map.stored("", "").unwrap().inner.store;
    let seen = store.chunk_count().unwrap();
    assert!(store.grow(1, seen).unwrap());
    let grown = store.chunk_count().unwrap();
    assert!(grown > seen);
    for _ in 0..64 {
        assert!(store.grow(1, seen).unwrap(), "another process has grown the region");
    }
    assert_eq!(store.chunk_count().unwrap(), grown);
    assert!(store.grow(1, grown).unwrap());
    assert!(store.chunk_count().unwrap() > grown);
}

/// Removed records are collected before a file grows. Otherwise a file in which names are created
/// and removed grows without bound, because chunks for records take all free space (harness
/// `soak`).
#[test]
fn names_that_come_and_go_do_not_make_a_file_longer() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::options().file(dir.path().join("churn.map")).create().unwrap();
    let large = vec![7_u8; 100_000];
    let mut regions = Vec::new();
    for round in 0..60 {
        let names: Vec<String> = (0..100).map(|at| format!("{round}.{at}")).collect();
        for name in &names {
            map.set(name, 1).unwrap();
        }
        map.set("large", &large).unwrap();
        map.flush().unwrap();
        assert!(names.iter().all(|name| map.remove(name).unwrap()));
        map.remove("large").unwrap();
        map.flush().unwrap();
        regions.push(map.stat().unwrap().region);
    }
    assert_eq!(regions[20], regions[59], "{regions:?}");
    assert!(map.check().unwrap().is_whole());
}

/// A lookup compares names of 17 to 32 bytes by two moves that overlap, and others word by word.
#[test]
fn names_that_differ_in_one_byte_are_told_apart() {
    let map = Map::options().name(format!("apart.{}", std::process::id())).create().unwrap();
    let name = |len: usize, odd: usize| -> String {
        (0..len).map(|at| if at == odd { 'b' } else { 'a' }).collect()
    };
    let all = || (1..=40).flat_map(|len| (0..=len).map(move |odd| (len, odd)));
    for (len, odd) in all().filter(|(_, odd)| odd % 2 == 0) {
        map.set(&name(len, odd), len * 100 + odd).unwrap();
    }
    for (len, odd) in all() {
        let there = (odd % 2 == 0).then_some(len * 100 + odd);
        assert_eq!(map.find::<usize>(&name(len, odd)).unwrap(), there, "{len} {odd}");
    }
}

/// The fast path reads the current slot of a record of each class, in memory and in a file.
#[test]
fn numbers_in_records_of_all_classes_are_read_by_one_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let named = format!("classes.{}", std::process::id());
    for options in
        [Map::options().name(&named), Map::options().file(dir.path().join("classes.map"))]
    {
        let map = options.create().unwrap();
        let store = &map.stored("", "").unwrap().inner.store;
        for len in [0, 60, 100, 120, 200, 300, 400, 500, 700, 900, 1000] {
            for name in [format!("of {len}"), format!("a value of {len} bytes")] {
                // A record keeps its class.
                map.set(&name, vec![7_u8; len]).unwrap();
                for number in 0..6_u64 {
                    map.set(&name, number).unwrap();
                    let read = store.try_read_named(name.as_bytes());
                    let (_, word) = read.unwrap_or_else(|| panic!("{name} {number}"));
                    assert_eq!(word, number, "{name}");
                }
            }
        }
    }
}

/// A lookup that met a word of the index while it changed must not take a name for absent.
#[test]
fn a_name_that_stays_is_found_while_others_come_and_go() {
    use std::sync::atomic::AtomicBool;

    let map = Map::options().name(format!("stays.{}", std::process::id())).create().unwrap();
    let stays: Vec<String> = (0..100).map(|at| format!("plant.pump.{at:03}.pressure")).collect();
    for (name, at) in stays.iter().zip(0_u64..) {
        map.set(name, at).unwrap();
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..40 {
                let names: Vec<String> = (0..100).map(|at| format!("plant.{round}.{at}")).collect();
                for name in &names {
                    map.set(name, 1).unwrap();
                }
                for name in &names {
                    assert!(map.remove(name).unwrap());
                }
            }
            ended.store(true, Ordering::Release);
        });
        while !ended.load(Ordering::Acquire) {
            for (name, at) in stays.iter().zip(0_u64..) {
                assert_eq!(map.find::<u64>(name).unwrap(), Some(at), "{name}");
            }
        }
    });
}
