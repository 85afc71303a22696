//! What an execution may not do: allocate without a bound. The allocator counts for each thread
//! that asks for it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The largest single allocation, and the most memory at once, that an execution may ask for. The
/// regions that are fuzzed have a megabyte at most.
const LARGEST: usize = 4 << 20;
const AT_ONCE: isize = 64 << 20;
/// An allocation of this size is refused without a call of the system.
const ABSURD: usize = 1 << 30;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static HUGE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CURRENT: Cell<Option<(&'static str, u64)>> = const { Cell::new(None) };
}

/// Records the target and the seed that this thread runs.
pub fn note(target: &'static str, seed: u64) {
    CURRENT.set(Some((target, seed)));
}

/// Returns the target and the seed that this thread runs.
pub fn current() -> Option<(&'static str, u64)> {
    CURRENT.get()
}

/// The system's allocator, with counters.
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
// SAFETY: the system's allocator does all the work; counting allocates nothing, and an allocator
// may return a null pointer.
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

/// Prints the refused allocation at once, because its caller may abort and report nothing.
#[cold]
fn refused(bytes: usize) {
    let watched = WATCHED.replace(false);
    let (target, seed) = current().unwrap_or(("nothing", 0));
    println!(
        "FAILED: an allocation of {bytes} bytes: target {target}, --seed {seed} --one {target}"
    );
    WATCHED.set(watched);
}

/// Runs `work`; returns its result, and the size by which it exceeded the bounds, or 0.
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

/// Runs `work`; returns its result, and the most bytes that it had at once.
pub fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    PEAK.set(0);
    let (done, _) = measured(work);
    (done, PEAK.get().max(0).cast_unsigned())
}
