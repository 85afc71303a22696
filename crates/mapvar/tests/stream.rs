//! Streams of changes: many streams on one thread of the map, streams that are dropped while they
//! wait, and streams of read-only maps.
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

use common::{Owned, Watchdog, child, map, other, role, scaled, start};
use mapvar::{
    Changes, Map,
    lock::{Acquired, LockMode::Exclusive, LockMode::Shared},
};
use std::{
    io::{BufRead, BufReader, Write},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

const LONG: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_millis(30);

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let map = Map::open(&arguments[0]).unwrap();
    match role.as_str() {
        "echo" => common::echo(&map),
        "holder" => {
            map.set_ephemeral("here", true).unwrap();
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "owner" => {
            let guard = map.lock("jobs").unwrap().acquire().unwrap();
            println!("\nchild: owns");
            let _ = std::io::stdin().read_line(&mut String::new());
            guard.release().unwrap();
            println!("\nchild: released");
            let _ = std::io::stdin().read_line(&mut String::new());
            std::mem::forget(map.lock("jobs").unwrap().acquire().unwrap());
            println!("\nchild: owns again");
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "owner and waiter" => {
            let guard = map.lock("jobs").unwrap().acquire().unwrap();
            let waiter = map.clone();
            std::thread::spawn(move || waiter.lock("jobs").unwrap().acquire().map(drop));
            let _ = std::io::stdin().read_line(&mut String::new());
            drop(guard);
        }
        other => panic!("no role {other}"),
    }
}

async fn nothing(changes: &mut Changes) {
    assert!(timeout(SOON, changes.change()).await.is_err());
}

/// Returns the number of threads of this process; `None` if the system does not report it.
fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

#[tokio::test]
async fn changes_come_and_a_dropped_wait_loses_none() {
    let _watchdog = Watchdog::new("changes_come", LONG);
    let (map, _) = map("stream-one");
    map.set("foo", 1).unwrap();
    let mut one = map.watch("foo").unwrap().into_stream().unwrap();
    let mut unborn = map.watch("bar").unwrap().into_stream().unwrap();
    let mut all = map.watch_all().unwrap().into_stream().unwrap();
    nothing(&mut one).await;
    nothing(&mut unborn).await;
    nothing(&mut all).await;
    map.set("foo", 2).unwrap();
    assert_eq!(one.change().await.unwrap().get::<i64>().unwrap(), 2);
    assert_eq!(all.change().await.unwrap().name(), "foo");
    nothing(&mut one).await;
    map.set("bar", 3).unwrap();
    assert_eq!(unborn.change().await.unwrap().get::<i64>().unwrap(), 3);
    assert_eq!(all.change().await.unwrap().name(), "bar");
    map.remove("bar").unwrap();
    assert!(unborn.change().await.unwrap().is_removed());
    assert!(all.change().await.unwrap().is_removed());
    // An Atomic that changes and changes back wakes the stream, which then waits again.
    let atomic = map.atomic_or("count", 1_i64).unwrap();
    let mut count = map.watch("count").unwrap().into_stream().unwrap();
    for round in 0..20 {
        let waiting = tokio::spawn(async move {
            let change = count.change().await.unwrap();
            (count, change.get::<i64>().unwrap())
        });
        tokio::task::yield_now().await;
        atomic.fetch_add(1).unwrap();
        atomic.fetch_add(-1).unwrap();
        atomic.store(100 + round).unwrap();
        let (stream, value) = waiting.await.unwrap();
        count = stream;
        if value != 100 + round {
            assert_eq!(count.change().await.unwrap().get::<i64>().unwrap(), 100 + round);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_answered_at_once() {
    let _watchdog = Watchdog::new("another_process", LONG);
    let (map, name) = map("stream-echo");
    let mut ready = map.watch("ready").unwrap().into_stream().unwrap();
    let mut answer = map.watch("answer").unwrap().into_stream().unwrap();
    let _echo = other("echo", &[&name]);
    ready.change().await.unwrap();
    for number in 0..scaled(2000) as u64 {
        map.set("ask", number).unwrap();
        let change = answer.change().await.unwrap();
        assert_eq!((change.get::<u64>().unwrap(), change.skipped()), (number + 1_000_000, 0));
    }
}

#[tokio::test]
async fn a_thousand_streams_are_one_thread() {
    let _watchdog = Watchdog::new("a_thousand", LONG);
    let (map, _) = map("stream-many");
    let before = threads();
    let mut tasks = Vec::new();
    for number in 0..1000 {
        let mut changes = map.watch(&format!("n.{number}")).unwrap().into_stream().unwrap();
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            loop {
                let change = changes.change().await.unwrap();
                count += 1 + change.skipped();
                if change.get::<u64>().unwrap() == 9 {
                    return count;
                }
            }
        }));
    }
    tokio::task::yield_now().await;
    if let (Some(before), Some(now)) = (before, threads()) {
        assert!(now <= before + 1 + PARALLEL, "{before} threads, then {now}");
    }
    for round in 0..10_u64 {
        for number in 0..1000 {
            map.set(&format!("n.{number}"), round).unwrap();
        }
        tokio::task::yield_now().await;
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 10);
    }
    // The thread ends with the last stream, so the map can be closed.
    map.close().unwrap();
}

/// Maximum number of threads of other tests that run at the same time.
const PARALLEL: usize = 16;

#[tokio::test]
async fn the_end_of_a_process_and_a_map_for_reading() {
    let _watchdog = Watchdog::new("the_end_of_a_process", LONG);
    let (map, name) = map("stream-end");
    let reader = Map::options().name(&name).read_only(true).open().unwrap();
    let mut here = map.watch("here").unwrap().into_stream().unwrap();
    let mut read = reader.watch_prefix("he").unwrap().into_stream().unwrap();
    let holder = other("holder", &[&name]);
    assert!(!here.change().await.unwrap().is_removed());
    assert!(!read.change().await.unwrap().is_removed());
    nothing(&mut here).await;
    drop(holder);
    assert!(here.change().await.unwrap().is_removed());
    assert!(read.change().await.unwrap().is_removed());
    nothing(&mut here).await;
    nothing(&mut read).await;
}

#[test]
fn a_stream_is_dropped_by_its_own_waker() {
    use std::{
        pin::pin,
        sync::Mutex,
        task::{Context, Wake, Waker},
    };
    struct Dropper(Mutex<Option<Changes>>);
    impl Wake for Dropper {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let _watchdog = Watchdog::new("dropped_by_its_own_waker", LONG);
    let (map, _) = map("stream-drop");
    let mut changes = map.watch("foo").unwrap().into_stream().unwrap();
    let dropper = Arc::new(Dropper(Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&dropper));
    {
        let future = pin!(changes.change());
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    *dropper.0.lock().unwrap() = Some(changes);
    map.set("foo", 1).unwrap();
    while dropper.0.lock().unwrap().is_some() {
        std::thread::yield_now();
    }
    map.set("foo", 2).unwrap();
    // A new stream starts a new thread.
    let mut watch = map.watch("foo").unwrap();
    map.set("foo", 3).unwrap();
    assert!(watch.recv_timeout(LONG).unwrap().is_some());
    drop(watch.into_stream().unwrap());
}

#[tokio::test]
async fn tasks_of_one_thread_take_a_lock_in_turn() {
    let _watchdog = Watchdog::new("tasks_of_one_thread", LONG);
    let (map, _) = map("stream-lock-tasks");
    let lock = map.lock("jobs").unwrap();
    let first = lock.acquire_async(Exclusive).await.unwrap();
    // A wait that is dropped leaves the queue.
    assert!(timeout(SOON, lock.acquire_async(Exclusive)).await.is_err());
    assert_eq!(lock.claims().unwrap().len(), 1);

    let count = map.atomic_or("count", 0_i64).unwrap();
    let inside = map.atomic_or("inside", 0_i64).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (lock, count, inside) = (lock.clone(), count.clone(), inside.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let shared = task % 4 == 3;
                    let mode = if shared { Shared } else { Exclusive };
                    let guard = lock.acquire_async(mode).await.unwrap();
                    let weight = if shared { 1 } else { 100 };
                    let others = inside.fetch_add(weight).unwrap();
                    assert!(others == 0 || (shared && others < 100), "{others}");
                    tokio::task::yield_now().await;
                    inside.fetch_sub(weight).unwrap();
                    count.fetch_add(1).unwrap();
                    guard.release().unwrap();
                }
            })
        })
        .collect();
    tokio::time::sleep(SOON).await;
    assert_eq!(count.load().unwrap(), 0);
    first.release().unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((count.load().unwrap(), lock.claims().unwrap().len()), (160, 0));
}

#[tokio::test]
async fn a_task_gets_the_lock_of_another_process_that_releases_it_or_dies() {
    let _watchdog = Watchdog::new("a_task_gets_the_lock", LONG);
    let (map, name) = map("stream-lock-death");
    let mut owner = Owned(start(&mut child("child_entry", "owner", &[&name])));
    let mut says = BufReader::new(owner.0.stdout.take().unwrap()).lines();
    let mut hear = |what: &str| {
        let wanted = format!("child: {what}");
        let _ =
            says.find(|line| line.as_ref().unwrap().trim_end() == wanted).expect("the child ended");
    };
    hear("owns");
    let lock = map.lock("jobs").unwrap();
    let waiter = lock.clone();
    let waiting = tokio::spawn(async move { waiter.acquire_async(Exclusive).await });
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    let mut tell = owner.0.stdin.take().unwrap();
    tell.write_all(b"\n").unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert_eq!(*guard.acquired(), Acquired::Clean);
    hear("released");
    tell.write_all(b"\n").unwrap();
    guard.release().unwrap();
    hear("owns again");
    let waiter = lock.clone();
    let waiting = tokio::spawn(async move { waiter.acquire_async(Exclusive).await });
    tokio::time::sleep(SOON).await;
    let pid = owner.0.id();
    drop(owner);
    let guard = waiting.await.unwrap().unwrap();
    let Acquired::Abandoned(lost) = guard.acquired() else { panic!("{:?}", guard.acquired()) };
    assert_eq!(lost.pid, pid);
}

#[tokio::test]
async fn a_task_gets_the_lock_if_the_owner_dies_together_with_the_first_waiter() {
    let _watchdog = Watchdog::new("a_task_gets_the_lock_if", LONG);
    let (map, name) = map("stream-lock-both");
    let both = Owned(start(&mut child("child_entry", "owner and waiter", &[&name])));
    let lock = map.lock("jobs").unwrap();
    while lock.claims().unwrap().len() < 2 {
        tokio::time::sleep(SOON).await;
    }
    let waiter = lock.clone();
    let waiting = tokio::spawn(async move { waiter.acquire_async(Exclusive).await });
    while lock.claims().unwrap().len() < 3 {
        tokio::time::sleep(SOON).await;
    }
    let pid = both.0.id();
    drop(both);
    let guard = waiting.await.unwrap().unwrap();
    let Acquired::Abandoned(lost) = guard.acquired() else { panic!("{:?}", guard.acquired()) };
    assert_eq!(lost.pid, pid);
}
