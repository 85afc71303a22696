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
