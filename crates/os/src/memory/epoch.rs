//! A number that changes when the earlier checks of a thread become stale: see
//! [`machine::epoch`](crate::machine::epoch).

use crate::memory::words::Half;
use std::sync::atomic::Ordering;

const FIRST: u32 = 1;

static EPOCH: Half = Half::new(FIRST);

pub(crate) fn current() -> u32 {
    // SYNC POINT: Acquire pairs with the SeqCst addition in `begin_next`. A thread that loads the
    // epoch and then checks a view sees every loss that was marked before this epoch began.
    EPOCH.load(Ordering::Acquire)
}

#[inline]
pub(crate) fn is_current(epoch: u32) -> bool {
    EPOCH.load(Ordering::Relaxed) == epoch
}

#[inline]
pub(crate) fn is_first() -> bool {
    EPOCH.load(Ordering::Relaxed) == FIRST
}

/// Begins a new epoch. Runs in a fault handler, or in a child of `fork` before any other code.
pub(crate) fn begin_next() {
    // SYNC POINT: pairs with the Acquire load in `current`.
    EPOCH.fetch_add(1, Ordering::SeqCst);
}
