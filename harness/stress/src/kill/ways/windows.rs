//! Ends a program that this process has started in its way (Wine), and reads one.

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
    Foundation::{CloseHandle, HANDLE},
    System::{
        Diagnostics::Debug::ReadProcessMemory,
        LibraryLoader::GetModuleHandleW,
        Memory::{MEMORY_BASIC_INFORMATION, VirtualQueryEx},
        ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
        Threading::{OpenProcess, PROCESS_QUERY_INFORMATION, PROCESS_VM_READ},
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

/// Reads memory and state of a process, as a debugger does. Returns how much could be read.
pub(super) fn read(pid: u32) -> u64 {
    // SAFETY: no pointer.
    let process = unsafe { OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, 0, pid) };
    if process.is_null() {
        thread::sleep(POLL);
        return 0;
    }
    let mut reads = 0;
    // The program is the same, so it is at the same address.
    // SAFETY: a null name stands for the program itself.
    let image = unsafe { GetModuleHandleW(std::ptr::null()) };
    let (mut bytes, mut len) = ([0_u8; 4096], 0);
    // SAFETY: the buffer is as long as the call is told, and both are valid locals; the address is
    // of the other process, and the system checks it.
    let done = unsafe {
        ReadProcessMemory(process, image, bytes.as_mut_ptr().cast(), bytes.len(), &raw mut len)
    };
    reads += u64::from(done != 0);
    let mut memory = PROCESS_MEMORY_COUNTERS::default();
    // SAFETY: a valid local of that size.
    let done = unsafe {
        GetProcessMemoryInfo(process, &raw mut memory, size_of::<PROCESS_MEMORY_COUNTERS>() as u32)
    };
    reads += u64::from(done != 0);
    let mut at = std::ptr::null_mut::<std::ffi::c_void>();
    for _ in 0..64 {
        let mut range = MEMORY_BASIC_INFORMATION::default();
        // SAFETY: a valid local of that size.
        let done = unsafe {
            VirtualQueryEx(process, at, &raw mut range, size_of::<MEMORY_BASIC_INFORMATION>())
        };
        if done == 0 {
            break;
        }
        reads += 1;
        at = range.BaseAddress.wrapping_byte_add(range.RegionSize);
    }
    // SAFETY: the handle was opened above and is not used after this.
    unsafe { CloseHandle(process) };
    reads
}
