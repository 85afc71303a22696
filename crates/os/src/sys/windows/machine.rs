//! Facts about the machine.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{cvt::last, section::status};
use crate::{Error, ErrorKind, Result};
use std::{ptr::null_mut, sync::OnceLock};
use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation},
    Win32::{
        Security::Authentication::Identity::RtlGenRandom,
        System::SystemInformation::{GetSystemInfo, SYSTEM_INFO},
    },
};

/// Page size and granularity of allocation.
pub(super) fn sizes() -> (usize, usize) {
    static SIZES: OnceLock<(usize, usize)> = OnceLock::new();
    *SIZES.get_or_init(|| {
        let mut info = SYSTEM_INFO::default();
        // SAFETY: the place for the answer is valid.
        unsafe { GetSystemInfo(&raw mut info) };
        (info.dwPageSize as usize, info.dwAllocationGranularity as usize)
    })
}

/// When the system was started, by the clock as it stood then.
///
/// The kernel moves its boot time when somebody sets the clock and keeps account of that in the
/// bias, so the difference stays (its own event tracing takes the boot time so). Two starts in
/// the same tenth of a microsecond are not to be feared. Under Wine it is the start of the
/// wineserver, which all its processes share and which outlives no process.
pub(super) fn boot_id() -> Result<[u64; 2]> {
    /// `SYSTEM_TIMEOFDAY_INFORMATION`, whose fields windows-sys leaves out.
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
    // SAFETY: the place for the answer is as long as is said, and made of numbers only; the length
    // of the answer may be left out.
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
    // SAFETY: the place for the answer is as long as is said.
    if unsafe { RtlGenRandom(bits.as_mut_ptr().cast(), size_of_val(&bits) as u32) } {
        Ok(bits)
    } else {
        Err(last().during("ask for", "random bits"))
    }
}
