//! A robust mutex of the C library's, shared between processes: what others build on.

#![allow(unsafe_code, reason = "the C library's interface")]

use std::{cell::UnsafeCell, mem::MaybeUninit};

pub struct RobustMutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

impl RobustMutex {
    pub fn new() -> Self {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: the pointer is to room for the attributes, which this makes.
        check(unsafe { libc::pthread_mutexattr_init(attributes) });
        // SAFETY: the attributes were made above.
        check(unsafe {
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
        });
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) });
        // SAFETY: the mutex is of this function's alone, nobody holds it, and it stays where it is
        // in its box until it is destroyed; the attributes were made above.
        check(unsafe { libc::pthread_mutex_init(mutex.get(), attributes) });
        // SAFETY: they were made above, and are not used after this.
        check(unsafe { libc::pthread_mutexattr_destroy(attributes) });
        Self(mutex)
    }

    #[inline]
    pub fn lock_and_unlock(&self) {
        // SAFETY: the mutex was made in `new` and lives in its box; this thread does not hold it.
        check(unsafe { libc::pthread_mutex_lock(self.0.get()) });
        // SAFETY: as above; this thread holds it.
        check(unsafe { libc::pthread_mutex_unlock(self.0.get()) });
    }
}

impl Drop for RobustMutex {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and nobody holds it: `lock_and_unlock` does both.
        let _ = unsafe { libc::pthread_mutex_destroy(self.0.get()) };
    }
}

#[inline]
fn check(code: i32) {
    assert_eq!(code, 0, "pthread");
}
