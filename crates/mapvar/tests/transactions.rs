//! Regression tests of transactions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use mapvar::{Compared, Map, Value, Version};
use std::{
    sync::atomic::{
        AtomicBool,
        Ordering::{self, Relaxed},
    },
    thread,
};

fn named(name: &str) -> Map {
    Map::options().name(format!("review-{name}.{}", std::process::id())).create().unwrap()
}

#[test]
fn a_transaction_whose_variable_was_removed_meanwhile_is_run_again() {
    let map = named("removed");
    map.set("a", 1).unwrap();
    let mut runs = 0;
    let done = map.transaction(|tx| {
        runs += 1;
        let a: Option<i64> = tx.find("a")?;
        if runs == 1 {
            map.remove("a")?;
        }
        tx.set("other name", a.unwrap_or(0))?;
        // Of another class, so that it does not reuse the record of the removed variable.
        tx.set("longer", "x".repeat(40))
    });
    done.unwrap();
    assert_eq!((runs, map.get::<i64>("other name").unwrap()), (2, 0));
}

#[test]
fn a_transaction_whose_variable_was_set_meanwhile_is_run_again() {
    let map = named("set");
    map.set("a", 1).unwrap();
    let mut runs = 0;
    map.transaction(|tx| {
        runs += 1;
        let a: i64 = tx.get("a")?;
        if runs == 1 {
            map.set("a", 10)?;
        }
        tx.set("a", a + 1)?;
        tx.set("sum", a)
    })
    .unwrap();
    let now = (map.get::<i64>("a").unwrap(), map.get::<i64>("sum").unwrap());
    assert_eq!((runs, now), (2, (11, 10)), "an update was lost");
}

#[test]
fn an_update_of_what_was_set_meanwhile_is_made_again() {
    let map = named("update");
    map.set("a", 1).unwrap();
    let mut runs = 0;
    let done = map.update("a", |a: Option<i64>| {
        runs += 1;
        if runs == 1 {
            map.set("a", 10).unwrap();
        }
        a.unwrap() + 1
    });
    let now = (done.unwrap(), map.get::<i64>("a").unwrap());
    assert_eq!((runs, now), (2, (11, 11)), "a set was lost");
}

#[test]
fn a_transaction_may_make_a_variable_in_the_place_of_one_it_read() {
    let map = named("place");
    map.set("a", 1).unwrap();
    let mut runs = 0;
    map.transaction(|tx| {
        runs += 1;
        let a: Option<i64> = tx.find("a")?;
        if runs == 1 {
            map.remove("a")?;
        }
        tx.set("b", a.unwrap_or(0))
    })
    .unwrap();
    assert_eq!((runs, map.get::<i64>("b").unwrap()), (2, 0));
}

#[test]
fn the_name_of_a_removed_atomic_is_free_for_transactions_too() {
    let map = named("atomic");
    for name in ["a", "b", "c"] {
        map.atomic_or(name, 5_i64).unwrap();
        assert!(map.remove(name).unwrap());
    }
    assert!(map.compare_and_set("a", Version::ABSENT, 1).unwrap().is_set());
    assert_eq!(map.update("b", |found: Option<i64>| found.unwrap_or(0) + 1).unwrap(), 1);
    map.transaction(|tx| tx.set("c", 7)).unwrap();
    assert_eq!(map.get::<i64>("c").unwrap(), 7);
    let gone = map.version("c").unwrap();
    map.remove("c").unwrap();
    map.atomic_or("c", 5_i64).unwrap();
    map.remove("c").unwrap();
    assert_eq!(map.compare_and_set("c", gone, 1).unwrap(), Compared::Changed(Version::ABSENT));
}

#[test]
fn a_snapshot_under_the_lock_has_removed_variables_too() {
    // In a file a removed variable stays in the index until a flush.
    let dir = tempfile::tempdir().unwrap();
    let map = Map::options().file(dir.path().join("snap.map")).create().unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    for name in &names {
        map.set(name, 0).unwrap();
    }
    map.flush().unwrap();
    map.remove("n7").unwrap();
    map.atomic_or("count", 1_i64).unwrap();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["count", "never there"]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in names.iter().filter(|name| *name != "n7") {
                    map.set(name, 1).unwrap();
                }
            }
        });
        while map.get::<i64>("n0").unwrap() == 0 {}
        for _ in 0..200 {
            let seen = map.snapshot(&all).unwrap();
            assert_eq!(seen.find::<i64>("n7").unwrap(), None);
            assert_eq!(seen.find::<i64>("never there").unwrap(), None);
            assert_eq!(seen.get::<i64>("count").unwrap(), 1);
            assert!(seen.find::<i64>("n8").unwrap().is_some());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
#[cfg(unix)]
fn a_snapshot_for_reading_alone_that_gets_no_turn_is_contended() {
    use mapvar::ErrorKind;
    use std::{fs::OpenOptions, os::unix::fs::FileExt, time::Duration};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snap.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("a", 1).unwrap();
    let timeout = Duration::from_millis(100);
    let reader = Map::options().file(&path).read_only(true).timeout(timeout).open().unwrap();
    assert_eq!(reader.snapshot(["a"]).unwrap().get::<i64>("a").unwrap(), 1);
    // `tseq` is odd, as it is while a transaction is published, and after a death during that.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[1], 0x1080).unwrap();
    assert_eq!(reader.snapshot(["a"]).unwrap_err().kind(), ErrorKind::Contended);
    assert_eq!(map.snapshot(["a"]).unwrap().get::<i64>("a").unwrap(), 1);
    assert_eq!(reader.snapshot(["a"]).unwrap().get::<i64>("a").unwrap(), 1);
}

#[test]
fn a_removal_of_what_is_not_there_takes_effect_with_the_rest() {
    let map = named("removes_nothing");
    for round in 0..200_u64 {
        map.set("a", round).unwrap();
        map.remove("b").unwrap();
        let started = AtomicBool::new(false);
        let made_before = std::thread::scope(|threads| {
            let maker = threads.spawn(|| {
                while !started.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                let made = map.compare_and_set("b", Version::ABSENT, round).unwrap();
                let seen = map.snapshot(["a", "b"]).unwrap();
                made.is_set()
                    && seen.find::<u64>("b").unwrap().is_some()
                    && seen.find::<Value>("a").unwrap() == Some(Value::from(round))
            });
            // Filling the value takes a while, in which "b" is made.
            let large = Value::Bytes(vec![1; 1 << 20]);
            map.transaction(|tx| {
                tx.set("a", &large)?;
                tx.remove("b")?;
                started.store(true, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
            maker.join().unwrap()
        });
        if made_before {
            // A snapshot had "b" beside the old value of "a", so the transaction came after that.
            assert!(!map.contains("b").unwrap(), "round {round}: half a transaction");
        }
    }
}

/// Until a transaction commits, its new records are those of removed variables. A search for space
/// that collected them made it start over again and again.
#[test]
fn a_transaction_may_make_more_variables_than_the_map_has_space_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = Map::options().file(dir.path().join("x.map")).create().unwrap();
    for map in [named("many"), file] {
        map.transaction(|tx| {
            for number in 0..300 {
                tx.set(&format!("small/{number}"), number)?;
            }
            for number in 0..20 {
                tx.set(&format!("large/{number}"), "x".repeat(10_000))?;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(map.count().unwrap(), 320);
        assert_eq!(map.get::<String>("large/19").unwrap().len(), 10_000);
    }
}

#[test]
fn a_transaction_reclaims_what_was_removed_before_it_is_full() {
    let map = Map::options()
        .name(format!("full.{}", std::process::id()))
        .size(1_000)
        .max_size(128 << 10)
        .create()
        .unwrap();
    let many = |from: u32, to: u32| {
        map.transaction(|tx| (from..to).try_for_each(|it| tx.set(&format!("v{it}"), it)))
    };
    let full = many(0, 500).unwrap_err();
    assert_eq!(full.kind(), mapvar::ErrorKind::Full, "{full}");
    assert_eq!(map.count().unwrap(), 0);
    for round in 0..20 {
        many(round * 100, round * 100 + 100).unwrap();
        assert_eq!(map.clear().unwrap(), 100);
    }
}

#[test]
fn two_names_of_which_one_always_is_are_never_both_absent_in_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    // In a file a removed variable keeps its record until a flush, and comes back without a birth.
    let map = Map::options().file(dir.path().join("one.map")).create().unwrap();
    map.set("a", 1).unwrap();
    map.set("b", 1).unwrap();
    map.flush().unwrap();
    map.remove("a").unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Relaxed) {
                for [here, gone] in [["a", "b"], ["b", "a"]] {
                    map.set(here, 1).unwrap();
                    map.remove(gone).unwrap();
                }
            }
        });
        for _ in 0..20_000 {
            let seen = map.snapshot(["a", "b"]).unwrap();
            let both = ["a", "b"].map(|name| seen.find::<i64>(name).unwrap());
            if both == [None, None] {
                stop.store(true, Relaxed);
                panic!("both are absent");
            }
        }
        stop.store(true, Relaxed);
        writer.join().unwrap();
    });
}
