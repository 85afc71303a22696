//! Ends a program that this process has started in its way (Wine), and reads one as a monitor does.

#![allow(unsafe_code, reason = "calls of the system that nobody wraps")]

use super::{EXIT, Look, Phase, Way};
use crate::kill::{
    order::{Ended, Order, START, When, await_moment},
    shared::{Shared, word},
};
use std::{
    cell::RefCell,
    io,
    os::windows::io::AsRawHandle,
    process::Child,
    thread,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::{CloseHandle, FILETIME, HANDLE},
    System::{
        ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
        Threading::{
            GetProcessHandleCount, GetProcessTimes, OpenProcess, PROCESS_QUERY_INFORMATION,
        },
    },
};

#[link(name = "ntdll", kind = "raw-dylib")]
unsafe extern "system" {
    fn NtSuspendProcess(process: HANDLE) -> i32;
    fn NtResumeProcess(process: HANDLE) -> i32;
}

const POLL: Duration = Duration::from_micros(500);

/// Ends the program as ordered. `look` is called in each phase, and the program waits meanwhile.
pub(crate) fn end(
    child: Child,
    order: &Order,
    shared: &Shared,
    look: Look<'_>,
) -> io::Result<Ended> {
    let number = child.id();
    let actor = shared.actor(order.actor);
    let child = RefCell::new(child);
    let ended = || child.borrow_mut().try_wait().is_ok_and(|ended| ended.is_some());
    if order.way == Way::Watched {
        look(Phase::Born, number);
    }
    await_moment(order, shared, POLL, ended);
    if order.when == When::Told {
        look(Phase::Ready, number);
    }
    let process: HANDLE = child.borrow().as_raw_handle();
    // The code of `Child::kill`, which no role of this program uses.
    let mut wanted = 1;
    match order.way {
        Way::Stopped | Way::Continued => {
            // SAFETY: the handle is the child's and open.
            if unsafe { NtSuspendProcess(process) } == 0 {
                look(Phase::Stopped, number);
                thread::sleep(order.linger);
            }
            if order.way == Way::Continued {
                // SAFETY: as above.
                unsafe { NtResumeProcess(process) };
                thread::sleep(order.delay);
            }
        }
        Way::Started => {
            let began = Instant::now();
            while actor.get(word::LINGERS) == 0 && began.elapsed() < START && !ended() {
                thread::sleep(POLL);
            }
            thread::sleep(order.delay);
        }
        Way::Exits => {
            wanted = EXIT;
            let began = Instant::now();
            while began.elapsed() < START && !ended() {
                thread::sleep(POLL);
            }
        }
        _ => {}
    }
    let mut child = child.into_inner();
    let by_itself = child.try_wait()?;
    // Fails if the process has just ended by itself.
    let _ = child.kill();
    let status = child.wait()?;
    if order.way != Way::Killed {
        // `child` keeps a handle of the dead process meanwhile.
        look(Phase::Dead, number);
    }
    // `try_wait` before the kill decides: the exit code of a killed process is like any other.
    let well = status.code() == Some(wanted) && by_itself.is_some() == (wanted == EXIT);
    // The program that it started lives for longer than the death takes.
    let outlived = order.way == Way::Started;
    let how = || format!("ended by itself: {status}");
    Ok(if well { Ended::Killed { outlived } } else { Ended::Otherwise(how()) })
}

/// Reads the state of a process, as a monitor does. Returns how much could be read.
///
/// It does not read the memory: under Wine that call does not return if the process is killed
/// meanwhile, whatever the process has open.
pub(super) fn read(pid: u32) -> u64 {
    // SAFETY: no pointer.
    let process = unsafe { OpenProcess(PROCESS_QUERY_INFORMATION, 0, pid) };
    if process.is_null() {
        thread::sleep(POLL);
        return 0;
    }
    let mut memory = PROCESS_MEMORY_COUNTERS::default();
    // SAFETY: a valid local of that size.
    let has_memory = unsafe {
        GetProcessMemoryInfo(process, &raw mut memory, size_of::<PROCESS_MEMORY_COUNTERS>() as u32)
    };
    let mut handles = 0;
    // SAFETY: a valid local.
    let has_handles = unsafe { GetProcessHandleCount(process, &raw mut handles) };
    let [mut created, mut exited, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: four valid locals.
    let has_times = unsafe {
        GetProcessTimes(process, &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user)
    };
    // SAFETY: the handle was opened above and is not used after this.
    unsafe { CloseHandle(process) };
    [has_memory, has_handles, has_times].iter().filter(|&&done| done != 0).count() as u64
}
