//! What a process has open, and which files a folder has.

use std::path::Path;

/// Returns how many descriptors, or handles, this process has.
#[cfg(unix)]
pub(crate) fn handles() -> Option<usize> {
    // One of them belongs to the listing itself; it does, too, in the count this is compared with.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "a call of the system")]
pub(crate) fn handles() -> Option<usize> {
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};
    let mut count = 0;
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's, and the count is a valid local.
    let done = unsafe { GetProcessHandleCount(process, &raw mut count) };
    (done != 0).then_some(count as usize)
}

/// Returns how many mappings this process has.
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
