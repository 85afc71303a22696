//! Interruptions of operations at any instruction: a timer's signal, whose handler lets other
//! processes run. With few processors an operation would otherwise mostly run from its begin to its
//! end without another one in between. A process that is to die does so in the handler, amid an
//! operation.

#[cfg(unix)]
mod unix {
    #![allow(unsafe_code, reason = "signals and timers")]

    use std::{
        io,
        sync::atomic::{AtomicU8, Ordering::Relaxed},
        time::Duration,
    };

    /// What the timer is to do: nothing (it is not set), interrupt, or kill.
    static TO_DO: AtomicU8 = AtomicU8::new(NOTHING);
    const NOTHING: u8 = 0;
    const INTERRUPT: u8 = 1;
    const DIE: u8 = 2;

    extern "C" fn on_time(_: libc::c_int) {
        if TO_DO.load(Relaxed) == DIE {
            // SAFETY: no pointer; a system call that a handler may make, for this process alone.
            unsafe { libc::raise(libc::SIGKILL) };
        }
        TO_DO.store(NOTHING, Relaxed);
        // SAFETY: no pointer; a plain system call, which leaves errno alone.
        unsafe { libc::sched_yield() };
    }

    /// Interrupts this process once, after this time, unless it is still to be interrupted.
    pub(crate) fn interrupt_after(time: Duration) {
        if TO_DO.load(Relaxed) == NOTHING {
            TO_DO.store(INTERRUPT, Relaxed);
            set(time);
        }
    }

    /// Kills this process after this time.
    pub(crate) fn die_after(time: Duration) {
        if TO_DO.swap(DIE, Relaxed) != DIE {
            set(time);
        }
    }

    pub(crate) fn stop() {
        set(Duration::ZERO);
        TO_DO.store(NOTHING, Relaxed);
    }

    /// Sets the handler.
    pub(crate) fn prepare() -> io::Result<()> {
        // SAFETY: plain numbers and an optional function, for which all zeros is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_time as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the action is a valid local, and its handler only makes a system call.
        match unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sets the timer; zero: stops it.
    fn set(time: Duration) {
        let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        #[allow(clippy::useless_conversion, reason = "its type differs between systems")]
        let time = libc::timeval {
            tv_sec: 0,
            tv_usec: i32::try_from(time.as_micros()).unwrap_or(0).into(),
        };
        let timer = libc::itimerval { it_interval: zero, it_value: time };
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

    pub(crate) fn interrupt_after(_: Duration) {}

    /// Does nothing: the harness kills the process.
    pub(crate) fn die_after(_: Duration) {}

    pub(crate) fn stop() {}

    pub(crate) fn end_with_parent() {}
}

#[cfg(unix)]
pub(crate) use unix::{die_after, end_with_parent, interrupt_after, prepare, stop};
#[cfg(windows)]
pub(crate) use windows::{die_after, end_with_parent, interrupt_after, prepare, stop};
