//! Interruptions of operations at any instruction: a timer's signal, whose handler lets other
//! processes run. With few processors an operation would otherwise mostly run from its begin to its
//! end without another one in between.

#[cfg(unix)]
mod unix {
    #![allow(unsafe_code, reason = "signals and timers")]

    use std::{io, time::Duration};

    extern "C" fn yield_to_others(_: libc::c_int) {
        // SAFETY: no pointer; a plain system call, which leaves errno alone.
        unsafe { libc::sched_yield() };
    }

    /// Sets the handler.
    pub(crate) fn prepare() -> io::Result<()> {
        // SAFETY: plain numbers and an optional function, for which all zeros is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = yield_to_others as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the action is a valid local, and its handler only makes a system call.
        match unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Interrupts this process every `each` from now on; never for zero.
    pub(crate) fn set(each: Duration) {
        let each = libc::timeval {
            tv_sec: 0,
            #[allow(clippy::useless_conversion, reason = "its type differs between systems")]
            tv_usec: i32::try_from(each.as_micros()).unwrap_or(0).into(),
        };
        let timer = libc::itimerval { it_interval: each, it_value: each };
        // SAFETY: the timer is a valid local.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    }

    /// Has the kernel kill this process when the harness ends.
    pub(crate) fn end_with_parent() {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: sets the signal that the kernel sends when the parent's thread ends; no
            // pointer.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::{io, time::Duration};

    pub(crate) fn prepare() -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn set(_: Duration) {}

    pub(crate) fn end_with_parent() {}
}

#[cfg(unix)]
pub(crate) use unix::{end_with_parent, prepare, set};
#[cfg(windows)]
pub(crate) use windows::{end_with_parent, prepare, set};
