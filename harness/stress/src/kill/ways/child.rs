//! What a process does itself, beside its operations, to die in its way.

use super::{EXIT, Way};
use crate::kill::{
    order::Order,
    shared::{Actor, word},
};
use std::{
    process::ExitCode,
    thread::{self, Scope},
    time::Duration,
};

/// The role of the program that outlives its parent.
pub(crate) const OUTLIVES: &str = "outlives";

/// Starts the thread that acts, if the way needs one. Call it once the map is open.
pub(crate) fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    order: &'scope Order,
    actor: Actor<'scope>,
) {
    match order.way {
        #[cfg(unix)]
        Way::Limited => unix::limit(),
        Way::Forked | Way::Started | Way::Exits | Way::Executes => {
            let _ = scope.spawn(move || {
                thread::sleep(order.delay);
                act(order, actor);
            });
        }
        _ => {}
    }
}

fn act(order: &Order, actor: Actor<'_>) {
    let odd = !order.seed.is_multiple_of(2);
    match order.way {
        #[cfg(unix)]
        Way::Forked => {
            // The child itself says that it runs: its fork handlers have run before.
            let began = |pid| actor.put(word::LINGERS, pid);
            if !unix::fork(order.linger, odd, began) {
                began(u64::MAX);
            }
        }
        #[cfg(unix)]
        Way::Executes => unix::execute(order.linger),
        Way::Started => {
            let mut program = program(order.linger);
            let started = mapvar_harness::peer::spawn(&mut program).map(|child| child.id());
            actor.put(word::LINGERS, started.map_or(u64::MAX, u64::from));
        }
        Way::Exits if odd => at_once(),
        Way::Exits => std::process::exit(EXIT),
        _ => {}
    }
}

/// Returns the program that outlives this process.
fn program(linger: Duration) -> std::process::Command {
    let millis = linger.as_millis().to_string();
    let mut program = crate::child("kill", OUTLIVES, [millis.as_str()]);
    program.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    program
}

/// Runs that program.
pub(crate) fn outlive(millis: &str) -> ExitCode {
    thread::sleep(Duration::from_millis(millis.parse::<u64>().unwrap_or(0).min(1_000)));
    ExitCode::SUCCESS
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "an exit without handlers")]
fn at_once() {
    // SAFETY: ends the process; no argument is a pointer.
    unsafe { libc::_exit(EXIT) }
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "an exit without handlers")]
fn at_once() {
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's own.
    unsafe { TerminateProcess(process, EXIT.cast_unsigned()) };
}

#[cfg(unix)]
pub(super) use unix::OUTPUT;

#[cfg(unix)]
#[allow(unsafe_code, reason = "fork, exec and limits")]
mod unix {
    use std::{
        ffi::CString,
        sync::atomic::{AtomicI32, Ordering::SeqCst},
        time::Duration,
    };

    /// The descriptor that becomes the standard output of the program which takes the place of this
    /// process.
    pub(in super::super) static OUTPUT: AtomicI32 = AtomicI32::new(-1);

    /// SIGXCPU after a second of processor time, SIGKILL after two.
    pub(super) fn limit() {
        let limit = libc::rlimit { rlim_cur: 1, rlim_max: 2 };
        // SAFETY: the struct is a valid local.
        unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) };
    }

    /// Forks a child that calls `began` with its number and lives for `linger`, as another program
    /// if `exec`. Returns whether it could.
    pub(super) fn fork(linger: Duration, exec: bool, began: impl FnOnce(u64)) -> bool {
        let seconds = format!("{:.3}", linger.as_secs_f64());
        let seconds = CString::new(seconds).unwrap_or_default();
        let arguments = [c"sleep".as_ptr(), seconds.as_ptr(), std::ptr::null()];
        let time = libc::timespec { tv_sec: 0, tv_nsec: linger.subsec_nanos().into() };
        // SAFETY: the child has this thread alone; it makes only system calls, and stores a word.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            began(std::process::id().into());
            if exec {
                // SAFETY: the strings end with a zero, the list with a null pointer.
                unsafe { libc::execv(c"/bin/sleep".as_ptr(), arguments.as_ptr()) };
            }
            // SAFETY: the time is a valid local; the rest of an interrupted sleep is not wanted.
            unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        pid > 0
    }

    /// Replaces this process by a program that says so and lives for `linger`.
    pub(super) fn execute(linger: Duration) {
        let line = format!("echo; exec sleep {:.3}", linger.as_secs_f64());
        let line = CString::new(line).unwrap_or_default();
        let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), line.as_ptr(), std::ptr::null()];
        // SAFETY: descriptors of this process; no pointer.
        unsafe { libc::dup2(OUTPUT.load(SeqCst), 1) };
        // SAFETY: the strings end with a zero, the list with a null pointer.
        unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
        // SAFETY: ends the process: there is no such program.
        unsafe { libc::_exit(127) };
    }
}
