#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use super::*;

fn entry(ticket: u64, shared: bool, held: bool) -> Entry {
    let (token, thread, pid, program, since) = (1, ticket, 1, String::new(), 0);
    Entry { token, ticket, thread, pid, program, since, shared, held }
}

fn queue(entries: &[(bool, bool)]) -> Queue {
    let entries = entries.iter().enumerate();
    let entries = entries.map(|(at, (shared, held))| entry(at as u64, *shared, *held));
    Queue { lost: None, entries: entries.collect() }
}

const ALONE: bool = false;
const SHARED: bool = true;
const WAITS: bool = false;
const HAS: bool = true;

#[test]
fn a_blocked_waiter_is_not_passed_by() {
    // A writer waits for readers: no reader behind it may take it for idle.
    let readers = queue(&[(SHARED, HAS), (ALONE, WAITS), (SHARED, WAITS)]);
    assert_eq!(readers.idle_before(2), None);
    assert!(!readers.may_have(2, false) && readers.may_have(2, true));
    let held = queue(&[(ALONE, HAS), (ALONE, WAITS), (ALONE, WAITS)]);
    assert_eq!(held.idle_before(2), None);
    // The first waiter could take the lock: its time runs, then the time of the next.
    let free = queue(&[(ALONE, WAITS), (ALONE, WAITS), (ALONE, WAITS)]);
    assert_eq!(free.idle_before(1), Some(vec![0]));
    assert_eq!(free.idle_before(2), Some(vec![0, 1]));
    assert_eq!(free.idle_before(0), None);
    let slow = queue(&[(SHARED, HAS), (SHARED, WAITS), (SHARED, WAITS)]);
    assert_eq!(slow.idle_before(2), Some(vec![1]));
}

#[test]
fn the_notice_of_an_exclusive_owner_outranks_that_of_a_shared_one() {
    let lost = |queue: &Queue| queue.lost.as_ref().map(|lost| (lost.since, lost.shared));
    let mut entries = queue(&[(SHARED, HAS), (SHARED, WAITS), (SHARED, HAS)]);
    for (at, entry) in entries.entries.iter_mut().enumerate() {
        entry.since = at as u64;
    }
    // The first of several shared owners is noted; a waiter is not.
    entries.take_out(|entry| entry.ticket == 1);
    assert_eq!(lost(&entries), None);
    entries.take_out(|_| true);
    assert_eq!(lost(&entries), Some((0, true)));
    let stored = Queue { entries: vec![entry(7, SHARED, WAITS)], ..entries.clone() };
    assert_eq!(stored.written().0.map(|lost| lost.3), Some(3));
    // An exclusive owner replaces it, and is not replaced by a shared one.
    let mut alone = Queue { entries: vec![Entry { since: 5, ..entry(5, ALONE, HAS) }], ..entries };
    alone.take_out(|_| true);
    assert_eq!(lost(&alone), Some((5, false)));
    alone.entries.push(entry(6, SHARED, HAS));
    alone.take_out(|_| true);
    assert_eq!(lost(&alone), Some((5, false)));
    // A shared owner learns of it and leaves it; an exclusive one takes it.
    alone.entries.push(entry(7, SHARED, WAITS));
    assert!(alone.grant(0).is_some() && lost(&alone).is_some());
    alone.entries = vec![entry(8, ALONE, WAITS)];
    let taken = alone.grant(0);
    assert!(taken.is_some() && lost(&alone).is_none());
    // Put back, if no program has seen it.
    assert!(alone.leave(8, taken.as_ref()));
    assert_eq!(lost(&alone), Some((5, false)));
    assert!(!alone.leave(8, None));
}

#[test]
fn a_release_that_is_blocked_is_done_later() {
    let name = format!("lock-later.{}", std::process::id());
    let map = Map::options().name(&name).timeout(Duration::from_millis(30)).create().unwrap();
    let lock = map.lock("jobs").unwrap();
    let guard = lock.acquire().unwrap();
    // Another thread is stopped during a step on the queue.
    let (go, going) = std::sync::mpsc::channel::<()>();
    let (stopped, is_stopped) = std::sync::mpsc::channel();
    let other = lock.clone();
    let step = std::thread::spawn(move || {
        let store = &other.map.inner.store;
        let handle = store.find(store.query(other.variable.as_bytes())).unwrap().unwrap();
        store.lock_record(handle).unwrap();
        stopped.send(()).unwrap();
        let _ = going.recv();
        store.mem().unlock(handle.lock());
    });
    is_stopped.recv().unwrap();
    assert_eq!(guard.release().unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(lock.claims().unwrap().iter().any(|claim| claim.held));
    drop(go);
    step.join().unwrap();
    let begin = Instant::now();
    while lock.claims().unwrap().iter().any(|claim| claim.held) {
        assert!(begin.elapsed() < Duration::from_secs(30), "the lock is never released");
        std::thread::yield_now();
    }
    lock.acquire_timeout(Duration::from_secs(30)).unwrap().release().unwrap();
}
