//! Facts about the machine and its processes.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::cvt::{last, status};
use crate::error::{Error, ErrorKind, Result};
use std::{
    ffi::OsString,
    os::windows::{
        ffi::OsStringExt,
        io::{AsRawHandle, FromRawHandle, OwnedHandle},
    },
    path::PathBuf,
    ptr::null_mut,
    sync::OnceLock,
};
use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation},
    Win32::{
        Foundation::FILETIME,
        Security::Authentication::Identity::RtlGenRandom,
        System::{
            SystemInformation::{GetSystemInfo, SYSTEM_INFO},
            Threading::{
                GetCurrentProcess, GetCurrentProcessId, GetCurrentThreadId, GetProcessTimes,
                OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
            },
        },
    },
};

/// Returns the page size and the granularity of allocation.
pub(super) fn sizes() -> (usize, usize) {
    static SIZES: OnceLock<(usize, usize)> = OnceLock::new();
    *SIZES.get_or_init(|| {
        let mut info = SYSTEM_INFO::default();
        // SAFETY: the out pointer is valid.
        unsafe { GetSystemInfo(&raw mut info) };
        (info.dwPageSize as usize, info.dwAllocationGranularity as usize)
    })
}

/// Returns the time of the system's start, by the clock as it was set then.
///
/// The kernel moves its boot time when the clock is set, and adds the same amount to the bias. So
/// the difference stays (the system's own event tracing computes the boot time so). Two starts in
/// the same tenth of a microsecond do not happen. Under Wine it is the start of the wineserver,
/// which all its processes share, and which no process outlives.
pub(super) fn boot_id() -> Result<[u64; 2]> {
    /// `SYSTEM_TIMEOFDAY_INFORMATION`; windows-sys does not name its fields.
    #[repr(C)]
    #[derive(Default)]
    struct TimeOfDay {
        boot_time: u64,
        current_time: u64,
        zone_bias: u64,
        zone: u32,
        reserved: u32,
        boot_time_bias: u64,
        sleep_time_bias: u64,
    }
    let mut of = TimeOfDay::default();
    // SAFETY: the out pointer leads to as many bytes as the length says, all of them numbers. The
    // pointer for the returned length may be null.
    let code = unsafe {
        NtQuerySystemInformation(
            SystemTimeOfDayInformation,
            (&raw mut of).cast(),
            size_of::<TimeOfDay>() as u32,
            null_mut(),
        )
    };
    if code < 0 {
        return Err(status(code).during("ask for", "the boot time"));
    }
    match of.boot_time.wrapping_sub(of.boot_time_bias) {
        0 => Err(Error::new(ErrorKind::Io, "ask for", "the boot time").detail("it is zero")),
        started => Ok([started, 0]),
    }
}

pub(super) fn random() -> Result<[u64; 2]> {
    let mut bits = [0_u64; 2];
    // SAFETY: the out pointer leads to as many bytes as the length says.
    if unsafe { RtlGenRandom(bits.as_mut_ptr().cast(), size_of_val(&bits) as u32) } {
        Ok(bits)
    } else {
        Err(last().during("ask for", "random bits"))
    }
}

pub(super) fn current_process() -> u32 {
    // SAFETY: the call takes no argument.
    unsafe { GetCurrentProcessId() }
}

pub(super) fn current_thread() -> u32 {
    // SAFETY: the call takes no argument.
    unsafe { GetCurrentThreadId() }
}

/// Returns the start time of this process; 0 if the system does not report it.
pub(super) fn started_here() -> u64 {
    // SAFETY: the call takes no argument. It returns a constant that needs no closing.
    started(unsafe { GetCurrentProcess() })
}

/// Returns the start time of a process. Together with the id it identifies a process for ever.
fn started(process: *mut std::ffi::c_void) -> u64 {
    let mut times = [FILETIME::default(); 4];
    let [created, exited, kernel, user] = &mut times;
    // SAFETY: a handle that does not lead to a process makes the call fail. The four out pointers
    // are valid.
    let done = unsafe {
        GetProcessTimes(
            process,
            &raw mut *created,
            &raw mut *exited,
            &raw mut *kernel,
            &raw mut *user,
        )
    };
    if done == 0 {
        return 0;
    }
    u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime)
}

/// Returns the program of a process. `None` if another process has the id now, as far as `start`
/// shows that.
pub(super) fn program(pid: u32, start: Option<u64>) -> Option<String> {
    // SAFETY: the call takes no pointer.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    if start.is_some_and(|start| started(process.as_raw_handle()) != start) {
        return None;
    }
    let mut path = vec![0_u16; 32_768];
    let mut len = path.len() as u32;
    // SAFETY: the handle is open, and the out pointer leads to as many characters as `len` says.
    let done = unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), 0, path.as_mut_ptr(), &raw mut len)
    };
    if done == 0 {
        return None;
    }
    let path = PathBuf::from(OsString::from_wide(path.get(..len as usize)?));
    Some(path.file_name()?.to_string_lossy().into_owned())
}
