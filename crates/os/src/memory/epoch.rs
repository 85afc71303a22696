//! A number that changes when what a thread checked before no longer holds: see
//! [`machine::epoch`](crate::machine::epoch).

use crate::memory::words::Half;
use std::sync::atomic::Ordering;

static EPOCH: Half = Half::new(1);

pub(crate) fn current() -> u32 {
    // SYNC POINT: Acquire pairs with the Release of `begin_next`: a thread that asks for the epoch
    // and then whether a view is lost learns of all losses up to then.
    EPOCH.load(Ordering::Acquire)
}

#[inline]
pub(crate) fn is_current(epoch: u32) -> bool {
    EPOCH.load(Ordering::Relaxed) == epoch
}

/// Begins a new epoch. In a signal handler, or in a child of `fork` before anything else runs.
pub(crate) fn begin_next() {
    // SYNC POINT: see `current`.
    EPOCH.fetch_add(1, Ordering::SeqCst);
}
