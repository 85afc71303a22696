//! Locks that are held while their views go away: no memory but that of a view is ever written to
//! (Linux).

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork is")]
#![allow(
    clippy::unwrap_used,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{ErrorKind, Locks, Scope, Section, Taken, View};
use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_mins(1);
const LEN: u64 = 16 << 10;

/// The tests run one after another: they map at addresses that were just freed, and fork.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn region() -> (Section, Locks) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let id = format!("held{}x{count}", std::process::id());
    let section = Section::options().size(LEN).create().unwrap();
    (section, Locks::new(Scope::Local, &id, 4096, 64).unwrap())
}

fn word(view: &View) -> u32 {
    let mut bytes = [0; 4];
    view.read_at(0, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

/// Other memory of this process at that address, if it is free.
fn other_memory_at(address: usize) -> Option<View> {
    let other = Section::options().size(LEN).create().unwrap();
    other.view().base_address(address).map().ok()
}

/// Runs `end` while a thread owns the lock of a view that only the caller still has; the thread ends
/// when `end` has returned. Returns what was returned.
fn while_a_thread_holds<R>(section: &Section, locks: &Locks, end: impl FnOnce(View) -> R) -> R {
    let view = Arc::new(section.view().map().unwrap());
    let (taken, is_taken) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let lent = Arc::clone(&view);
        scope.spawn(move || {
            assert_eq!(locks.lock(&lent, 0, MINUTE).unwrap(), Taken::Clean);
            drop(lent);
            taken.send(()).unwrap();
            let _ = may_go.recv();
        });
        is_taken.recv().unwrap();
        let returned = end(Arc::into_inner(view).unwrap());
        drop(go);
        returned
    })
}

#[test]
fn the_kernel_writes_to_no_memory_that_took_the_place_of_a_view() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (section, locks) = region();
    let (address, other, owner) = while_a_thread_holds(&section, &locks, |view| {
        let (address, owner) = (view.as_ptr().addr(), word(&view));
        drop(view);
        // The kernel marks the word of a thread that ends if it finds the thread's number there.
        let other = other_memory_at(address);
        if let Some(other) = &other {
            other.write_at(0, &owner.to_le_bytes()).unwrap();
        }
        (address, other, owner)
    });
    if let Some(other) = other {
        assert_eq!(word(&other), owner, "the end of a thread changed memory at {address:#x}");
    }
    // The lock is not lost either.
    let view = section.view().map().unwrap();
    assert_eq!(locks.lock(&view, 0, MINUTE).unwrap(), Taken::Recovered);
    locks.unlock(&view, 0);
}

#[test]
fn a_view_under_a_lock_stays_mapped_until_the_thread_has_ended() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (section, locks) = region();
    let address = while_a_thread_holds(&section, &locks, |view| {
        let address = view.as_ptr().addr();
        assert_eq!(view.close().unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert!(other_memory_at(address).is_none(), "it was unmapped under the lock");
        address
    });
    // The addresses are free again with the next mapping, once the kernel has let the thread go.
    let start = Instant::now();
    while other_memory_at(address).is_none() {
        assert!(start.elapsed() < MINUTE, "it stays mapped for ever");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_view_under_a_lock_stays_mapped_until_the_thread_has_unlocked() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (section, locks) = region();
    let first = section.view().map().unwrap();
    let second = section.view().map().unwrap();
    let address = first.as_ptr().addr();
    assert_eq!(locks.lock(&first, 0, MINUTE).unwrap(), Taken::Clean);
    drop(first);
    assert!(other_memory_at(address).is_none(), "it was unmapped under the lock");
    locks.unlock(&second, 0);
    // The next mapping unmaps it first.
    assert!(other_memory_at(address).is_some(), "it stays mapped after the unlock");
}

/// A value of a thread that takes a lock when it is dropped, as the thread ends.
struct LocksLate(View, Locks);

impl Drop for LocksLate {
    fn drop(&mut self) {
        for _ in 0..2 {
            let _ = self.1.lock(&self.0, 0, MINUTE).unwrap();
            self.1.unlock(&self.0, 0);
        }
        // This lock is not released.
        let _ = self.1.lock(&self.0, 0, MINUTE).unwrap();
    }
}

#[test]
fn a_thread_that_is_ending_can_lock() {
    thread_local! {
        static LATE: RefCell<Option<LocksLate>> = const { RefCell::new(None) };
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (section, _) = region();
    for early in [false, true] {
        let (view, (_, locks)) = (section.view().map().unwrap(), region());
        let address = view.as_ptr().addr();
        thread::spawn(move || {
            // The values of a thread are dropped in the reverse order of their first use.
            if early {
                LATE.with_borrow_mut(|_| {});
            }
            let _ = locks.lock(&view, 0, MINUTE).unwrap();
            locks.unlock(&view, 0);
            LATE.with_borrow_mut(|late| *late = Some(LocksLate(view, locks)));
        })
        .join()
        .unwrap();
        let start = Instant::now();
        while other_memory_at(address).is_none() {
            assert!(start.elapsed() < MINUTE, "it stays mapped for ever");
            thread::sleep(Duration::from_millis(1));
        }
        let (view, (_, locks)) = (section.view().map().unwrap(), region());
        assert_eq!(locks.lock(&view, 0, MINUTE).unwrap(), Taken::Recovered);
        locks.unlock(&view, 0);
    }
}

/// Runs `child` in a child of `fork`, and returns whether it returned true.
fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child has only this thread. `child` takes no lock that another thread of this
    // process could own.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = i32::from(!child());
        // SAFETY: ends the child without exit handlers, as a child after fork must.
        unsafe { libc::_exit(code) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above and writes its status to a local.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    waited == pid && status == 0
}

#[test]
fn a_child_of_fork_is_not_bound_by_the_locks_of_its_parents_threads() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (section, locks) = region();
    while_a_thread_holds(&section, &locks, |view| {
        let view = RefCell::new(Some(view));
        assert!(in_child(|| view.take().is_some_and(|view| view.close().is_ok())));
    });
    // The lock that the forking thread itself holds stays the parent's.
    let view = section.view().map().unwrap();
    assert_eq!(locks.lock(&view, 0, MINUTE).unwrap(), Taken::Recovered);
    let view = RefCell::new(Some(view));
    assert!(in_child(|| view.take().is_some_and(|view| view.close().is_ok())));
    assert!(in_child(|| {
        let other = section.view().map();
        other.is_ok_and(|other| locks.lock(&other, 0, Duration::ZERO).is_err())
    }));
    locks.unlock(view.borrow().as_ref().unwrap(), 0);
}
