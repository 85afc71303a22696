//! Named locks: exclusive and shared entries, order, deadlines, and owners that are killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

mod common;

use common::{Owned, Watchdog, other, role, scaled, unique};
use mapvar::{
    ErrorKind, Map, Watches,
    lock::{Acquired, Lock, LockMode, OwnedLockGuard},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let options = Map::options().timeout(LONG);
    let is_file = arguments[0].contains(['/', '\\']);
    let options = if is_file { options.file(&arguments[0]) } else { options.name(&arguments[0]) };
    let map = options.open().unwrap();
    let lock = map.lock("jobs").unwrap();
    match role.as_str() {
        // Owns the lock until it is killed.
        "holder" => {
            let guard = if arguments[1] == "shared" { lock.share() } else { lock.acquire() };
            let guard = guard.unwrap();
            map.set(&format!("held.{}", std::process::id()), true).unwrap();
            thread::sleep(LONG);
            drop(guard);
        }
        // Increments a number that only this lock protects.
        "adder" => {
            let rounds: u64 = arguments[1].parse().unwrap();
            for _ in 0..rounds {
                let guard = lock.acquire().unwrap();
                let sum: u64 = map.get("sum").unwrap();
                map.set("sum", sum + 1).unwrap();
                guard.release().unwrap();
            }
        }
        other => panic!("no role {other}"),
    }
}

/// Starts a process, and waits until it owns the lock.
fn holder(map: &Map, name: &str, how: &str) -> Owned {
    let mut held = map.watch_prefix("held.").unwrap();
    let process = other("holder", &[name, how]);
    while held.recv().unwrap().name() != format!("held.{}", process.0.id()) {}
    process
}

fn map(what: &str) -> (Map, Lock, String) {
    let name = unique(what);
    let map = Map::options().name(&name).timeout(LONG).create().unwrap();
    let lock = map.lock("jobs").unwrap();
    (map, lock, name)
}

#[test]
fn i23_one_has_it_and_gives_it_back() {
    let _watchdog = Watchdog::new("one_has_it", LONG);
    let (map, lock, _) = map("lock-one");
    assert!(lock.claims().unwrap().is_empty());
    let guard = lock.acquire().unwrap();
    assert_eq!(guard.acquired(), &Acquired::Clean);
    assert_eq!(guard.lock().name(), "jobs");
    let claims = lock.claims().unwrap();
    assert_eq!(claims.len(), 1);
    assert!(claims[0].held && claims[0].alive && !claims[0].shared);
    assert_eq!(claims[0].holder.pid, std::process::id());
    assert!(claims[0].holder.program.is_some() && claims[0].holder.since.is_some());
    // The same thread cannot acquire the lock twice.
    let twice = lock.acquire().unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::InvalidArgument);
    assert!(twice.to_string().contains("jobs"), "{twice}");
    // Another thread waits, and times out.
    let other = lock.clone();
    let begin = Instant::now();
    thread::spawn(move || {
        assert!(other.try_acquire().unwrap().is_none());
        assert!(other.try_share().unwrap().is_none());
        let late = other.acquire_timeout(SHORT).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(late.holder().unwrap().pid, std::process::id());
    })
    .join()
    .unwrap();
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(lock.claims().unwrap().len(), 1, "who gave up waits no more");
    guard.release().unwrap();
    drop(lock.try_acquire().unwrap().unwrap());
    assert!(lock.claims().unwrap().is_empty());
    // Locks are no variables.
    assert!(map.is_empty().unwrap() && map.iter().next().is_none());
    assert_eq!(map.clear().unwrap(), 0);
    assert_eq!(map.locks().unwrap().iter().map(Lock::name).collect::<Vec<_>>(), ["jobs"]);
}

#[test]
fn those_who_share_do_so_and_nobody_overtakes() {
    let _watchdog = Watchdog::new("share", LONG);
    let (_map, lock, _) = map("lock-share");
    let first = lock.share().unwrap();
    let (said, heard) = mpsc::channel();
    // A second thread shares the lock at once.
    let other = lock.clone();
    thread::spawn(move || drop(other.share().unwrap())).join().unwrap();
    // A thread waits for an exclusive entry, and a later shared entry waits behind it.
    let spawn = |label: &'static str, shared: bool| {
        let (lock, said) = (lock.clone(), said.clone());
        let waiting = lock.claims().unwrap().len() + 1;
        let watch = lock.clone();
        let thread = thread::spawn(move || {
            let guard = if shared { lock.share() } else { lock.acquire() }.unwrap();
            said.send(label).unwrap();
            drop(guard);
        });
        while watch.claims().unwrap().len() < waiting && !thread.is_finished() {
            thread::yield_now();
        }
        thread
    };
    let threads = [spawn("alone", false), spawn("shared", true)];
    assert!(heard.recv_timeout(SHORT).is_err());
    drop(first);
    assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], ["alone", "shared"]);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn i23_who_dies_with_it_is_replaced_and_told() {
    let _watchdog = Watchdog::new("who_dies", 2 * LONG);
    let (map, lock, name) = map("lock-dies");
    for _ in 0..3 {
        let process = holder(&map, &name, "alone");
        let pid = process.0.id();
        let late = lock.acquire_timeout(SHORT).unwrap_err();
        assert_eq!((late.kind(), late.holder().unwrap().pid), (ErrorKind::TimedOut, pid));
        let other = lock.clone();
        let waiter = thread::spawn(move || other.acquire().unwrap().acquired().clone());
        thread::sleep(SHORT);
        drop(process);
        let Acquired::Abandoned(dead) = waiter.join().unwrap() else { panic!("not told") };
        assert_eq!(dead.pid, pid);
        // The death is reported once.
        assert_eq!(lock.acquire().unwrap().acquired(), &Acquired::Clean);
    }
}

#[test]
fn i23_shared_owners_leave_the_notice_to_the_next_exclusive_one() {
    let _watchdog = Watchdog::new("notice", 2 * LONG);
    let (map, lock, name) = map("lock-notice");
    let process = holder(&map, &name, "alone");
    let pid = process.0.id();
    drop(process);
    // Each shared owner learns of the death, at the same time and one after the other.
    let told = |outcome: &Acquired| matches!(outcome, Acquired::Abandoned(dead) if dead.pid == pid);
    let first = lock.share().unwrap();
    let second = lock.try_share().unwrap().unwrap();
    assert!(told(first.acquired()) && told(second.acquired()));
    // A shared owner that dies as well replaces no notice.
    drop(holder(&map, &name, "shared"));
    first.release().unwrap();
    second.release().unwrap();
    // A waiter that left before it had seen the lock took nothing from the queue.
    drop(lock.queue(LockMode::Shared).unwrap());
    drop(lock.queue(LockMode::Exclusive).unwrap());
    let guard = lock.acquire().unwrap();
    assert!(told(guard.acquired()), "{:?}", guard.acquired());
    guard.release().unwrap();
    assert_eq!(lock.share().unwrap().acquired(), &Acquired::Clean);
    assert_eq!(lock.acquire().unwrap().acquired(), &Acquired::Clean);
    // An exclusive owner that has learned of a death, and dies, is noted itself.
    drop(holder(&map, &name, "alone"));
    let process = holder(&map, &name, "alone");
    let pid = process.0.id();
    drop(process);
    let guard = lock.acquire().unwrap();
    assert!(matches!(guard.acquired(), Acquired::Abandoned(dead) if dead.pid == pid));
}

#[test]
fn i23_the_next_exclusive_owner_learns_of_a_dead_shared_one() {
    let _watchdog = Watchdog::new("dead_sharer", 2 * LONG);
    let (map, lock, name) = map("lock-sharer");
    let process = holder(&map, &name, "shared");
    let pid = process.0.id();
    drop(process);
    // Other shared owners do not learn of it: a shared owner has nothing to repair.
    assert_eq!(lock.share().unwrap().acquired(), &Acquired::Clean);
    let guard = lock.acquire().unwrap();
    assert!(
        matches!(guard.acquired(), Acquired::AbandonedShared(dead) if dead.pid == pid),
        "{:?}",
        guard.acquired()
    );
    guard.release().unwrap();
    assert_eq!(lock.acquire().unwrap().acquired(), &Acquired::Clean);
    // An exclusive owner that dies outranks a shared one that died before.
    drop(holder(&map, &name, "shared"));
    drop(lock.share().unwrap());
    let lost = lock.share().unwrap();
    assert_eq!(lock.force_unlock().unwrap().len(), 1);
    assert_eq!(lost.release().unwrap_err().kind(), ErrorKind::TakenAway);
    let process = holder(&map, &name, "alone");
    let pid = process.0.id();
    drop(process);
    let guard = lock.acquire().unwrap();
    assert!(matches!(guard.acquired(), Acquired::Abandoned(dead) if dead.pid == pid));
}

#[test]
fn it_is_taken_away_by_force_and_all_are_told() {
    let _watchdog = Watchdog::new("by_force", LONG);
    let (map, lock, name) = map("lock-force");
    let process = holder(&map, &name, "alone");
    let owners = lock.force_unlock().unwrap();
    assert_eq!((owners.len(), owners[0].holder.pid), (1, process.0.id()));
    assert!(owners[0].alive);
    let guard = lock.acquire().unwrap();
    assert!(matches!(guard.acquired(), Acquired::Abandoned(_)));
    assert_eq!(lock.force_unlock().unwrap().len(), 1);
    assert_eq!(guard.release().unwrap_err().kind(), ErrorKind::TakenAway);
    assert!(lock.force_unlock().unwrap().is_empty());
}

/// A program that was interrupted before it saw the notice gives it back. A release can be tried
/// without giving up the guard.
#[test]
fn a_notice_that_was_given_back_goes_to_the_next_owner() {
    let (_map, lock, _name) = map("lock-back");
    let held = OwnedLockGuard::from(lock.acquire().unwrap());
    lock.force_unlock().unwrap();
    assert_eq!(held.release().unwrap_err().kind(), ErrorKind::TakenAway);
    for shared in [false, true, false] {
        let guard = if shared { lock.share() } else { lock.acquire() }.unwrap();
        assert!(matches!(guard.acquired(), Acquired::Abandoned(_)), "{:?}", guard.acquired());
        OwnedLockGuard::from(guard).give_back().unwrap();
        assert!(!lock.claims().unwrap().iter().any(|claim| claim.held));
    }
    let held = OwnedLockGuard::from(lock.acquire().unwrap());
    assert!(matches!(held.acquired(), Acquired::Abandoned(_)));
    held.try_release().unwrap();
    let next = lock.acquire().unwrap();
    assert!(matches!(next.acquired(), Acquired::Clean));
    held.try_release().unwrap();
    held.release().unwrap();
    next.release().unwrap();
}

#[test]
fn processes_add_together() {
    let _watchdog = Watchdog::new("add_together", 2 * LONG);
    let (map, _lock, name) = map("lock-add");
    map.set("sum", 0_u64).unwrap();
    let (processes, rounds) = (4, scaled(500) as u64);
    let all: Vec<_> =
        (0..processes).map(|_| other("adder", &[&name, &rounds.to_string()])).collect();
    for mut process in all {
        assert!(process.0.wait().unwrap().success());
    }
    assert_eq!(map.get::<u64>("sum").unwrap(), processes * rounds);
}

/// Programs that make up a name for each job would fill the map.
#[test]
fn a_free_lock_can_be_removed() {
    let (map, lock, name) = map("lock-remove");
    assert!(lock.remove().unwrap(), "a lock that was never used");
    let guard = lock.acquire().unwrap();
    assert!(!lock.remove().unwrap(), "a lock that is owned");
    guard.release().unwrap();
    assert_eq!(map.locks().unwrap().len(), 1);
    assert!(lock.remove().unwrap());
    assert!(map.locks().unwrap().is_empty());
    // The notice of a death stays for the next owner.
    drop(holder(&map, &name, "exclusive"));
    assert!(!lock.remove().unwrap(), "a lock whose owner died");
    let guard = lock.acquire().unwrap();
    assert!(matches!(guard.acquired(), Acquired::Abandoned(_)));
    guard.release().unwrap();
    assert!(lock.remove().unwrap());
    let before = map.stat().unwrap().used;
    for job in 0..scaled(2000) {
        let lock = map.lock(&format!("job {job}")).unwrap();
        lock.acquire().unwrap().release().unwrap();
        assert!(lock.remove().unwrap());
    }
    assert_eq!(map.stat().unwrap().used, before);
}

#[test]
fn a_lock_that_is_removed_all_the_time_lets_one_in() {
    let _watchdog = Watchdog::new("a_lock_that_is_removed_all_the_time", Duration::from_mins(2));
    let (map, lock, name) = map("lock-removed");
    map.set("sum", 0_u64).unwrap();
    let rounds = scaled(300);
    let mut adders: Vec<Owned> =
        (0..3).map(|_| other("adder", &[&name, &rounds.to_string()])).collect();
    let mut removed = 0;
    while adders.iter_mut().any(|adder| adder.0.try_wait().unwrap().is_none()) {
        removed += u64::from(lock.remove().unwrap());
    }
    for adder in &mut adders {
        assert!(adder.0.wait().unwrap().success());
    }
    assert_eq!(map.get::<u64>("sum").unwrap(), 3 * rounds as u64);
    assert!(removed > 0, "no removal met a free lock");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let (map, _, _) = map("lock-names");
    assert_eq!(map.lock("").unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(map.lock(&"x".repeat(1_018)).unwrap_err().kind(), ErrorKind::InvalidName);
    drop(map.lock(&"x".repeat(1_017)).unwrap().acquire().unwrap());
    for error in [map.set("\0lock\0jobs", 1).unwrap_err(), map.watch("\0x").unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
    }
}

#[test]
fn a_lock_in_a_file_that_everybody_left_is_recovered() {
    let _watchdog = Watchdog::new("file", LONG);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks");
    let map = Map::options().file(&path).create().unwrap();
    let process = holder(&map, path.to_str().unwrap(), "alone");
    let pid = process.0.id();
    map.close().unwrap();
    drop(process);
    let map = Map::options().file(&path).timeout(LONG).open().unwrap();
    let guard = map.lock("jobs").unwrap().acquire().unwrap();
    let Acquired::Abandoned(dead) = guard.acquired() else { panic!("not told") };
    assert_eq!(dead.pid, pid);
}

#[test]
fn who_is_there_and_what_he_has_is_seen() {
    let _watchdog = Watchdog::new("who_is_there", LONG);
    let (map, lock, name) = map("lock-who");
    let me = map.participants().unwrap();
    assert_eq!(me.len(), 1);
    assert!(me[0].this && me[0].holder.pid == std::process::id());
    assert!(me[0].holder.since.is_some() && me[0].holds.is_empty());
    let process = holder(&map, &name, "alone");
    let pid = process.0.id();
    let waiting = lock.clone();
    let waiter = thread::spawn(move || waiting.acquire().map(drop));
    while lock.claims().unwrap().len() < 2 {
        thread::yield_now();
    }
    let all = map.participants().unwrap();
    assert_eq!(all.len(), 2);
    let other = all.iter().find(|one| one.holder.pid == pid).unwrap();
    assert!(!other.this && other.holder.program.is_some());
    assert_eq!(other.holds, ["jobs"]);
    let mine = all.iter().find(|one| one.this).unwrap();
    assert_eq!((mine.holds.len(), mine.waits_for.join(" ")), (0, "jobs".to_owned()));
    // A participant is also reported with the variables that it watches, as long as it waits.
    assert_eq!(mine.watches, None, "a lock is no variable");
    let mut watch = map.watch("state").unwrap();
    let mut several = Map::open(&name).unwrap().watch_all().unwrap();
    map.set("state", 1).unwrap();
    assert!(watch.try_recv().unwrap().is_some() && several.try_recv().unwrap().is_some());
    let threads =
        [thread::spawn(move || drop(watch.recv())), thread::spawn(move || drop(several.recv()))];
    for wanted in [Watches::Variable("state".into()), Watches::Others] {
        while !map.participants().unwrap().iter().any(|one| one.watches == Some(wanted.clone())) {
            thread::yield_now();
        }
    }
    map.set("state", 2).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(process);
    waiter.join().unwrap().unwrap();
    while map.participants().unwrap().len() > 1 {
        thread::yield_now();
    }
    let second = Map::open(&name).unwrap();
    assert_eq!(map.participants().unwrap().iter().filter(|one| one.this).count(), 1);
    assert_eq!(second.participants().unwrap().len(), 2);
    let reader = Map::options().name(&name).read_only(true).open().unwrap();
    let seen = reader.participants().unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|one| !one.this));
}

#[test]
fn i23_a_writer_is_not_starved_by_readers_that_come_and_go() {
    let _watchdog = Watchdog::new("a_writer_is_not_starved", LONG);
    let (_map, lock, _) = map("lock-readers");
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|number| {
            let (lock, stop) = (lock.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(200 * number));
                // Longer than the patience of waiters; together the two own the lock all the time.
                while !stop.load(Ordering::Relaxed) {
                    let guard = lock.share_timeout(LONG).unwrap();
                    thread::sleep(Duration::from_millis(400));
                    guard.release().unwrap();
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    for _ in 0..2 {
        lock.acquire_timeout(LONG / 6).unwrap().release().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}
