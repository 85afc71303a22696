//! No call is a cancellation point: `pthread_cancel` takes effect after the call.
//!
//! The C library cancels a thread by unwinding its stack from within a system call. It must not
//! unwind Rust's functions: it would end the whole process, and could do so with a lock taken.
#![allow(unsafe_code, reason = "calls of the C library")]

/// While it lives, this thread is not cancelled.
pub(crate) struct Uncancelled(imp::State);

impl Uncancelled {
    #[inline]
    pub(crate) fn begin() -> Self {
        Self(imp::set(imp::DISABLE))
    }
}

impl Drop for Uncancelled {
    #[inline]
    fn drop(&mut self) {
        imp::set(self.0);
    }
}

#[cfg(all(unix, not(target_os = "android")))]
mod imp {
    use std::ffi::c_int;

    pub(super) type State = c_int;

    /// `PTHREAD_CANCEL_DISABLE`
    pub(super) const DISABLE: State = if cfg!(target_vendor = "apple") { 0 } else { 1 };

    unsafe extern "C" {
        fn pthread_setcancelstate(new: c_int, old: *mut c_int) -> c_int;
    }

    /// Returns the former state.
    #[inline]
    pub(super) fn set(state: State) -> State {
        let mut old = state;
        // SAFETY: changes a number of the calling thread, and writes the former one to a local.
        unsafe { pthread_setcancelstate(state, &raw mut old) };
        old
    }
}

/// Systems that cancel no threads.
#[cfg(not(all(unix, not(target_os = "android"))))]
mod imp {
    pub(super) type State = ();
    pub(super) const DISABLE: State = ();

    #[inline]
    pub(super) fn set(state: State) -> State {
        state
    }
}
