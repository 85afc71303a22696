//! The address space that the views of this process have, reservations included.

use crate::memory::words::Length;
use std::sync::atomic::Ordering;

/// Relaxed: the sum protects nothing, and a value that is a moment old is as good.
static TAKEN: Length = Length::new(0);

pub(crate) fn taken() -> usize {
    TAKEN.load(Ordering::Relaxed)
}

/// RAII guard: while it lives, its bytes count as taken.
#[derive(Debug)]
pub(crate) struct Addresses(usize);

impl Addresses {
    pub(crate) fn count(bytes: usize) -> Self {
        TAKEN.fetch_add(bytes, Ordering::Relaxed);
        Self(bytes)
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}
