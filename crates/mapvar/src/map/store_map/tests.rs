//! The engine under a map, by what only its own words tell.

use crate::Map;
use mapvar_engine::{
    layout,
    mem::{Mem, Ordering},
};

#[test]
fn who_gets_no_seat_takes_nobody_for_dead() {
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

/// It was counted by the naps that were meant: of 5 s became 15, and more on Windows.
#[test]
fn who_waits_for_a_living_flusher_waits_as_long_as_it_was_told() {
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

/// Found by the harness `soak`: of 64 processes that met the end at once each made the map longer by half.
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
        assert!(store.grow(1, seen).unwrap(), "there is room to look at");
    }
    assert_eq!(store.chunk_count().unwrap(), grown);
    assert!(store.grow(1, grown).unwrap());
    assert!(store.chunk_count().unwrap() > grown);
}

/// Found by the harness `soak`: a file to which new names came and went grew for ever. Their records waited
/// for room to be short, and by then there was a chunk for records wherever there had been room.
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
