//! A watch beside a thread that owns the lock of one of its variables for long.

use super::*;
use std::sync::mpsc;

/// As of a process that is stopped within a set.
#[test]
fn a_busy_variable_holds_up_no_other() {
    let name = format!("watch-busy.{}", std::process::id());
    let map = Map::options().name(&name).create().unwrap();
    for name in ["a", "b"] {
        map.set(name, 1).unwrap();
    }
    let mut watch = map.watch_all().unwrap();
    let inner = Arc::clone(&map.stored("test", "").unwrap().inner);
    let handle = inner.store.find(inner.store.query(b"a")).unwrap().unwrap();
    let (locked, is_locked) = mpsc::channel();
    let (unlock, until) = mpsc::channel::<()>();
    let owner = thread::spawn(move || {
        inner.store.lock_record(handle).unwrap();
        locked.send(()).unwrap();
        let _ = until.recv();
        inner.store.mem().unlock(handle.lock());
    });
    is_locked.recv().unwrap();
    // More than the ring holds: the watch asks for all its variables again.
    for number in 0..300 {
        map.set(&format!("c.{number}"), number).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| watch.try_recv().unwrap()).count(), 300);
    assert!(watch.set.is_busy() && !watch.set.has_changed());
    map.set("b", 2).unwrap();
    assert_eq!(watch.recv().unwrap().name(), "b");
    assert!(watch.recv_timeout(Duration::from_millis(20)).unwrap().is_none());
    assert!(watch.set.is_busy());
    unlock.send(()).unwrap();
    owner.join().unwrap();
    map.set("a", 2).unwrap();
    assert_eq!(watch.recv().unwrap().name(), "a");
    assert!(watch.try_recv().unwrap().is_none() && !watch.set.is_busy());
}
