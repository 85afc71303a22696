//! What a review found of transactions: each was a bug.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use mapvar::{Map, Version};

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
        // In a class of its own, so that it does not come to lie in the other's place.
        tx.set("longer", "x".repeat(40))
    });
    done.unwrap();
    assert_eq!((runs, map.get::<i64>("other name").unwrap()), (2, 0));
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
    assert!(map.compare_and_set("a", Version::ABSENT, 1).unwrap().is_ok());
    assert_eq!(map.update("b", |found: Option<i64>| found.unwrap_or(0) + 1).unwrap(), 1);
    map.transaction(|tx| tx.set("c", 7)).unwrap();
    assert_eq!(map.get::<i64>("c").unwrap(), 7);
    let gone = map.version("c").unwrap();
    map.remove("c").unwrap();
    map.atomic_or("c", 5_i64).unwrap();
    map.remove("c").unwrap();
    assert_eq!(map.compare_and_set("c", gone, 1).unwrap(), Err(Version::ABSENT));
}
