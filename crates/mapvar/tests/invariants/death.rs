//! Processes and threads that die, stop or panic during an operation: I4, I5, I6, I7, I19.

use crate::{
    common::{Random, Watchdog, quick_folder, scaled, unique},
    peer::{Peer, await_word, options, report, stamp_of, stamped},
};
use mapvar::Map;
use serde::{Deserialize, Serialize, Serializer};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

const SMALL: usize = 12;
const LARGE: usize = 3_000;

/// Role: sets small and large values, moves an amount between two variables, creates and removes a
/// variable; acknowledges each round.
pub(crate) fn storm(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    for stamp in arguments[1].parse::<u64>().unwrap().. {
        map.set("small", stamped(stamp, SMALL)).unwrap();
        map.set("large", stamped(stamp, LARGE)).unwrap();
        map.transaction(|tx| {
            let (left, right): (i64, i64) = (tx.get("left")?, tx.get("right")?);
            tx.set("left", left - 1)?;
            tx.set("right", right + 1)
        })
        .unwrap();
        if stamp.is_multiple_of(2) {
            map.set("passing", stamped(stamp, SMALL)).unwrap();
        } else {
            map.remove("passing").unwrap();
        }
        report(&format!("ack {stamp}"));
    }
}

fn acknowledged(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}

fn killed_again_and_again(name: &str, map: &Map) {
    let _watchdog = Watchdog::new("I4, I5", Duration::from_mins(2));
    let mut random = Random::new("I4, I5");
    let value = |name: &str| map.find::<Vec<u8>>(name).unwrap().map(|bytes| stamp_of(&bytes));
    map.set("small", stamped(0, SMALL)).unwrap();
    map.set("large", stamped(0, LARGE)).unwrap();
    map.set("left", 0).unwrap();
    map.set("right", 0).unwrap();
    let (mut next, mut moved) = (1, 0_i64);
    for round in 0..scaled(40).max(6) {
        let mut writer = Peer::start("storm", &[name, &next.to_string()]);
        let first = acknowledged(&writer.hear().unwrap()).unwrap();
        thread::sleep(Duration::from_micros(random.below(3_000)));
        let last = writer.kill().iter().filter_map(|line| acknowledged(line)).next_back();
        let last = last.unwrap_or(first);
        // I4: all acknowledged operations are visible. I5: the last operation is complete, or has
        // no effect.
        let done = last..=last + 1;
        for variable in ["small", "large"] {
            let found = value(variable).unwrap();
            assert!(done.contains(&found), "{round}: {variable} is {found}, {last} acknowledged");
        }
        let both = map.snapshot(["left", "right"]).unwrap();
        let (left, right) = (both.get::<i64>("left").unwrap(), both.get::<i64>("right").unwrap());
        assert_eq!(left + right, 0, "{round}: half a transaction");
        let count = i64::try_from(last + 1 - next).unwrap();
        assert!((moved + count..=moved + count + 1).contains(&right), "{round}: {right}");
        let expected = |stamp: u64| stamp.is_multiple_of(2).then_some(stamp);
        let passing = value("passing");
        assert!(passing == expected(last) || passing == expected(last + 1), "{round}: {passing:?}");
        // The dead process blocks no other process: all its locks are free.
        (next, moved) = (last + 2, right + 1);
        map.set("small", stamped(next, SMALL)).unwrap();
        map.set("large", stamped(next, LARGE)).unwrap();
        map.transaction(|tx| {
            tx.set("left", -moved)?;
            tx.set("right", moved)
        })
        .unwrap();
        map.remove("passing").unwrap();
        map.set(&format!("new {}", round % 5), round).unwrap();
    }
    map.clear().unwrap();
    assert!(map.is_empty().unwrap());
}

/// Fuller: `tests/kill.rs` (1,000 kills), `mapvar-engine-sim`, `tests/deaths` (at every pair of
/// steps).
#[test]
fn i04_i05_killed_writers_lose_nothing_by_name() {
    let name = unique("i04");
    killed_again_and_again(&name, &options(&name).size(1 << 17).create().unwrap());
}

#[test]
fn i04_i05_killed_writers_lose_nothing_by_file() {
    let dir = quick_folder();
    let path = dir.path().join("i04.map");
    let map = Map::options().file(&path).size(1 << 17).create().unwrap();
    killed_again_and_again(path.to_str().unwrap(), &map);
}

/// Role: sets one variable repeatedly.
pub(crate) fn set_on(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    let var = map.var::<Vec<u8>>("held").unwrap();
    report("setting");
    for stamp in 1.. {
        var.write_bytes(&stamped(stamp, 120)).unwrap();
    }
}

/// Role: sets that variable once, however long it takes.
pub(crate) fn set_once(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    report("here");
    map.set("held", stamped(u64::MAX - 1, 120)).unwrap();
    report("set");
    await_word();
}

#[cfg(unix)]
mod stopped {
    use super::*;
    use mapvar::ErrorKind;
    use std::process::Command;

    fn signal(name: &str, peer: &Peer) {
        let pid = peer.pid().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Returns a process that is stopped while it owns the lock of "held".
    fn stopped_holder(name: &str) -> Peer {
        let mut holder = Peer::start("set on", &[name]);
        holder.expect("setting");
        let brief = options(name).timeout(Duration::from_millis(30)).open().unwrap();
        for _ in 0..1_000 {
            signal("STOP", &holder);
            // The signal takes effect later, so a set may come before it.
            thread::sleep(Duration::from_millis(2));
            match brief.set("held", stamped(7, 120)) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    return holder;
                }
                Ok(()) => signal("CONT", &holder),
            }
        }
        panic!("it was never stopped under its lock");
    }

    /// Fuller: `crates/os/tests/contract.rs` (`of_many_waiters_one_recovers_and_all_go_on`).
    #[test]
    fn i06_all_waiters_go_on_when_the_holder_dies() {
        let _watchdog = Watchdog::new("I6", Duration::from_mins(1));
        let name = unique("i06");
        let map = options(&name).create().unwrap();
        map.set("held", stamped(0, 120)).unwrap();
        for round in 0..5 {
            let holder = stopped_holder(&name);
            let mut others: Vec<_> = (0..2).map(|_| Peer::start("set once", &[&name])).collect();
            for other in &mut others {
                other.expect("here");
            }
            thread::scope(|scope| {
                for number in 0..8 {
                    let map = &map;
                    scope.spawn(move || map.set("held", stamped(number, 120)).unwrap());
                }
                // Some threads wait already; others arrive when the owner is dead.
                thread::sleep(Duration::from_millis(20));
                assert!(holder.kill().is_empty());
            });
            for mut other in others {
                other.expect("set");
                other.finish();
            }
            assert_eq!(map.get::<Vec<u8>>("held").unwrap().len(), 960, "{round}");
        }
    }

    /// Fuller: `crates/os/tests/contract.rs` (`a_living_owner_keeps_its_lock`).
    #[test]
    fn i07_a_stopped_owner_keeps_its_lock() {
        let _watchdog = Watchdog::new("I7", Duration::from_mins(1));
        let name = unique("i07");
        let map = options(&name).create().unwrap();
        map.set("held", stamped(0, 120)).unwrap();
        map.set("other", 1).unwrap();
        let mut holder = stopped_holder(&name);
        for timeout in [0, 1, 100, 400] {
            let brief = options(&name).timeout(Duration::from_millis(timeout)).open().unwrap();
            let before = brief.get::<Vec<u8>>("held").unwrap();
            let error = brief.set("held", stamped(9, 120)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert_eq!(error.holder().map(|holder| holder.pid), Some(holder.pid()), "{error}");
            let error = brief.transaction(|tx| {
                tx.set("other", 2)?;
                tx.set("held", stamped(9, 120))
            });
            assert!(error.is_err());
            // No write of this handle is visible, and all other operations succeed.
            assert_eq!(brief.get::<Vec<u8>>("held").unwrap(), before);
            assert_eq!(brief.get::<i64>("other").unwrap(), 1);
            brief.set("third", 3).unwrap();
        }
        let before = stamp_of(&map.get::<Vec<u8>>("held").unwrap());
        signal("CONT", &holder);
        assert!(holder.child.0.try_wait().unwrap().is_none());
        while stamp_of(&map.get::<Vec<u8>>("held").unwrap()) <= before {
            thread::yield_now();
        }
        map.set("held", stamped(5, 120)).unwrap();
        map.set("other", 4).unwrap();
        assert!(holder.kill().is_empty());
    }
}

/// A value with serde code that panics.
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as planned")
    }
}

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("as planned")
    }
}

/// Fuller: `crates/os/tests/contract.rs` (`the_lock_of_a_thread_that_ended_is_recovered`).
#[test]
fn i19_panics_and_ends_of_threads_leave_no_lock_behind() {
    let _watchdog = Watchdog::new("I19", Duration::from_mins(1));
    let map = options(&unique("i19")).create().unwrap();
    map.set("a", 1).unwrap();
    map.set("b", 1).unwrap();
    let panics = |operate: &dyn Fn(&Map)| {
        assert!(catch_unwind(AssertUnwindSafe(|| operate(&map))).is_err(), "it was to panic");
        // Another thread and this thread can use the map afterwards.
        for _ in 0..2 {
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    map.set("a", 1).unwrap();
                    map.transaction(|tx| tx.set("b", 1)).unwrap();
                });
                other.join().unwrap();
            });
            map.set("a", 1).unwrap();
            map.update("b", |b: Option<i64>| b.unwrap()).unwrap();
        }
        let both = map.snapshot(["a", "b"]).unwrap();
        assert_eq!((both.get::<i64>("a").unwrap(), both.get::<i64>("b").unwrap()), (1, 1));
    };
    panics(&|map| {
        let _ = map.transaction(|tx| -> mapvar::Result<()> {
            tx.set("a", 2)?;
            tx.remove("b")?;
            panic!("as planned")
        });
    });
    panics(&|map| drop(map.update("a", |_: Option<i64>| -> i64 { panic!("as planned") })));
    panics(&|map| drop(map.set("a", Panics)));
    panics(&|map| drop(map.get::<Panics>("a")));
    panics(&|map| drop(map.transaction(|tx| tx.set("a", Panics))));
    panics(&|map| drop(map.transaction(|tx| tx.get::<Panics>("a"))));
    panics(&|map| {
        let _: Vec<()> = map.iter().map(|_| panic!("as planned")).collect();
    });

    // The end of a thread releases its resources: handles, pins of large values, iterators.
    map.set("large", vec![1_u8; 50_000]).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut entries = map.iter();
                let entry = entries.next().unwrap().unwrap();
                std::mem::forget(entry);
                std::mem::forget(map.snapshot(["large"]).unwrap());
                std::mem::forget(map.clone());
            });
        }
    });
    map.set("large", vec![2_u8; 60_000]).unwrap();
    map.clear().unwrap();
    assert!(map.is_empty().unwrap());
}
