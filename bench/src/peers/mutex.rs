//! A robust mutex of the C library, shared between processes: the base of other libraries.

#![allow(unsafe_code, reason = "the C library's interface")]

use std::{cell::UnsafeCell, hint::black_box, mem::MaybeUninit};

pub const PEER: &str = "robust mutex";

/// Returns a loop that locks and unlocks a mutex of its own, with nothing between.
pub fn bare() -> impl FnMut(u64) {
    let mutex = RobustMutex::new();
    move |count| {
        for _ in 0..count {
            black_box(&mutex).lock_and_unlock();
        }
    }
}

struct RobustMutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

impl RobustMutex {
    fn new() -> Self {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: the pointer is to space for the attributes, which this call initializes.
        check(unsafe { libc::pthread_mutexattr_init(attributes) });
        // SAFETY: the attributes were initialized above.
        check(unsafe {
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
        });
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) });
        // SAFETY: only this function has the mutex, no thread owns it, and its box keeps it in one
        // place until it is destroyed; the attributes were initialized above.
        check(unsafe { libc::pthread_mutex_init(mutex.get(), attributes) });
        // SAFETY: they were initialized above, and are not used after this.
        check(unsafe { libc::pthread_mutexattr_destroy(attributes) });
        Self(mutex)
    }

    #[inline]
    fn lock_and_unlock(&self) {
        // SAFETY: the mutex was initialized in `new` and stays in its box; this thread does not own
        // it.
        check(unsafe { libc::pthread_mutex_lock(self.0.get()) });
        // SAFETY: as above; this thread owns it.
        check(unsafe { libc::pthread_mutex_unlock(self.0.get()) });
    }
}

impl Drop for RobustMutex {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, and no thread owns it, since `lock_and_unlock` also
        // unlocks.
        let _ = unsafe { libc::pthread_mutex_destroy(self.0.get()) };
    }
}

#[inline]
fn check(code: i32) {
    assert_eq!(code, 0, "pthread");
}
