//! What the standard library has not.
#![allow(unsafe_code, reason = "calls of the system that nobody wraps")]

use windows_sys::Win32::System::{
    ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
    Threading::{GetCurrentProcess, GetCurrentThreadId, GetProcessHandleCount},
};

/// The number of the calling thread.
pub fn thread_number() -> u32 {
    // SAFETY: no argument.
    unsafe { GetCurrentThreadId() }
}

/// Open handles of this process.
pub fn handles() -> u64 {
    let mut count = 0;
    // SAFETY: no argument. The answer is a constant that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the place for the answer is valid.
    unsafe { GetProcessHandleCount(process, &raw mut count) };
    count.into()
}

/// Bytes of memory that are this process's alone.
pub fn memory() -> u64 {
    let mut of = PROCESS_MEMORY_COUNTERS::default();
    // SAFETY: no argument. The answer is a constant that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    let len = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    // SAFETY: the place for the answer is valid and as long as is said.
    unsafe { GetProcessMemoryInfo(process, &raw mut of, len) };
    of.PagefileUsage as u64
}
