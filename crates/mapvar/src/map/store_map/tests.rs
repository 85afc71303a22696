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
