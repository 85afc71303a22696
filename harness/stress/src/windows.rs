//! What the standard library lacks.
#![allow(unsafe_code, reason = "calls of the system that nobody wraps")]

use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemProcessInformation},
    Win32::System::{
        ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
        Threading::{GetCurrentProcess, GetCurrentThreadId},
        WindowsProgramming::SYSTEM_PROCESS_INFORMATION,
    },
};

/// Returns the system's number of the calling thread.
pub(crate) fn thread_number() -> u32 {
    // SAFETY: no argument.
    unsafe { GetCurrentThreadId() }
}

/// Returns how many handles and threads this process has, from the list of all processes. Wine 8
/// counts handles in no other way (its `GetProcessHandleCount` returns 0).
pub(crate) fn handles_and_threads() -> (u64, u64) {
    let mut list = vec![0_u64; 1 << 17];
    let len = (list.len() * 8) as u32;
    // SAFETY: the buffer is as long as `len` says, and aligned for the structures written there;
    // the pointer to the returned length may be null.
    let status = unsafe {
        NtQuerySystemInformation(
            SystemProcessInformation,
            list.as_mut_ptr().cast(),
            len,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(status, 0, "the list of all processes");
    let mut at = 0;
    loop {
        let entry = list.as_ptr().cast::<u8>().wrapping_add(at);
        // SAFETY: the system has written an entry there, within the list; `read_unaligned` needs no
        // alignment.
        let entry = unsafe { entry.cast::<SYSTEM_PROCESS_INFORMATION>().read_unaligned() };
        if entry.UniqueProcessId.addr() == std::process::id() as usize {
            return (entry.HandleCount.into(), entry.NumberOfThreads.into());
        }
        assert_ne!(entry.NextEntryOffset, 0, "this process is among all");
        at += entry.NextEntryOffset as usize;
    }
}

/// Returns how many bytes of memory are private to this process.
pub(crate) fn memory() -> u64 {
    let mut of = PROCESS_MEMORY_COUNTERS::default();
    // SAFETY: no argument. The result is a constant handle that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    let len = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    // SAFETY: the structure is valid and as long as `len` says.
    unsafe { GetProcessMemoryInfo(process, &raw mut of, len) };
    of.PagefileUsage as u64
}
