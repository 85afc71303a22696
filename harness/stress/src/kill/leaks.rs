//! What a process has open, and what lies in a folder.

use std::path::Path;

/// Descriptors, or handles, of this process.
#[cfg(unix)]
pub(crate) fn handles() -> Option<usize> {
    // One of them is of the listing itself.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "a call of the system")]
pub(crate) fn handles() -> Option<usize> {
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};
    let mut count = 0;
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's, and the place for the answer is valid.
    let done = unsafe { GetProcessHandleCount(process, &raw mut count) };
    (done != 0).then_some(count as usize)
}

/// Mappings of this process.
pub(crate) fn mappings() -> Option<usize> {
    Some(std::fs::read_to_string("/proc/self/maps").ok()?.lines().count())
}

pub(crate) fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
