//! The time, on one scale for all processes.

/// Returns the time of the monotonic clock in nanoseconds; never 0.
#[cfg(unix)]
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()).max(1)
}

/// Returns the ticks of the performance counter; never 0.
#[cfg(windows)]
#[allow(unsafe_code, reason = "a call of the system")]
pub(crate) fn now() -> u64 {
    let mut now = 0;
    // SAFETY: the number is a valid local. The call cannot fail.
    unsafe { windows_sys::Win32::System::Performance::QueryPerformanceCounter(&raw mut now) };
    now.cast_unsigned().max(1)
}
