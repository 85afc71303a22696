//! What an execution may not do: allocate without measure. The allocator counts for the thread that
//! asked it to.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The largest piece that an execution may ask for, and all that it may have at once. The regions
/// that are fuzzed have a megabyte at the most.
const LARGEST: usize = 4 << 20;
const AT_ONCE: isize = 64 << 20;
/// What is so large that the system is not asked for it.
const ABSURD: usize = 1 << 30;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static HUGE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CURRENT: Cell<Option<(&'static str, u64)>> = const { Cell::new(None) };
}

/// Notes the target and the seed that this thread is at.
pub fn note(target: &'static str, seed: u64) {
    CURRENT.set(Some((target, seed)));
}

/// The target and the seed that this thread is at.
pub fn current() -> Option<(&'static str, u64)> {
    CURRENT.get()
}

/// The system's allocator, which counts.
#[derive(Debug)]
pub struct Counting;

fn count(bytes: usize) -> bool {
    if !WATCHED.get() {
        return true;
    }
    LIVE.set(LIVE.get() + bytes.cast_signed());
    PEAK.set(PEAK.get().max(LIVE.get()));
    if bytes > LARGEST || LIVE.get() > AT_ONCE {
        HUGE.set(HUGE.get().max(bytes).max(LIVE.get().max(0).cast_unsigned()));
    }
    bytes < ABSURD
}

#[allow(unsafe_code, reason = "an allocator is")]
// SAFETY: the system's allocator does all the work; counting allocates nothing, and a null pointer
// is an answer that an allocator may give.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size()) {
            refused(layout.size());
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size()) {
            refused(layout.size());
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if WATCHED.get() {
            LIVE.set(LIVE.get() - layout.size().cast_signed());
        }
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What is asked for may be more than there is, and its asker may not live to tell.
#[cold]
fn refused(bytes: usize) {
    let watched = WATCHED.replace(false);
    let (target, seed) = current().unwrap_or(("nothing", 0));
    println!(
        "FAILED: an allocation of {bytes} bytes: target {target}, --seed {seed} --one {target}"
    );
    WATCHED.set(watched);
}

/// Runs `work`; the size of what it allocated without measure, 0 = it did not.
pub fn measured<R>(work: impl FnOnce() -> R) -> (R, usize) {
    struct Unwatched;
    impl Drop for Unwatched {
        fn drop(&mut self) {
            WATCHED.set(false);
        }
    }
    LIVE.set(0);
    HUGE.set(0);
    WATCHED.set(true);
    let unwatched = Unwatched;
    let done = work();
    drop(unwatched);
    (done, HUGE.get())
}

/// Runs `work`; the most bytes that it had at once.
pub fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    PEAK.set(0);
    let (done, _) = measured(work);
    (done, PEAK.get().max(0).cast_unsigned())
}
