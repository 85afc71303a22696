//! What the standard library has not.
#![allow(unsafe_code, reason = "calls of the system that nobody wraps")]

/// The number of the calling thread.
pub fn thread_number() -> u32 {
    // SAFETY: no argument.
    unsafe { windows_sys::Win32::System::Threading::GetCurrentThreadId() }
}
