//! A fork while another thread installs a handler of this crate for the first time (Linux, glibc).
//!
//! The C library's functions that install handlers are replaced by ones that wait until the test has
//! forked. What happens once a process runs in a second process: this executable again.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(unsafe_code, reason = "fork, and functions of the C library")]
#![allow(
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{Section, faults, machine};
use std::{
    env,
    ffi::{c_int, c_void},
    mem::transmute,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The next installation waits.
static ARMED: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicBool = AtomicBool::new(false);
static MAY_GO: AtomicBool = AtomicBool::new(false);

fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn wait_if_armed() {
    if ARMED.swap(false, Ordering::SeqCst) {
        WAITING.store(true, Ordering::SeqCst);
        until(&MAY_GO);
    }
}

type Handler = Option<unsafe extern "C" fn()>;
type Register = unsafe extern "C" fn(Handler, Handler, Handler, *mut c_void) -> c_int;
type Action = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

/// What `pthread_atfork` calls.
#[unsafe(no_mangle)]
unsafe extern "C" fn __register_atfork(
    prepare: Handler,
    parent: Handler,
    child: Handler,
    library: *mut c_void,
) -> c_int {
    wait_if_armed();
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"__register_atfork".as_ptr());
        transmute::<*mut c_void, Register>(next)(prepare, parent, child, library)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    if signal == libc::SIGBUS {
        wait_if_armed();
    }
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"sigaction".as_ptr());
        transmute::<*mut c_void, Action>(next)(signal, new, old)
    }
}

/// Forks while another thread is in `first`, for the first time in this process. The child does the
/// same.
fn fork_during(first: fn()) {
    ARMED.store(true, Ordering::SeqCst);
    let other = thread::spawn(first);
    until(&WAITING);
    let child = unsafe { libc::fork() };
    if child == 0 {
        first();
        unsafe { libc::_exit(0) };
    }
    let start = Instant::now();
    let mut status = -1;
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > Duration::from_secs(20) {
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(1));
    }
    MAY_GO.store(true, Ordering::SeqCst);
    other.join().unwrap();
    assert_eq!(status, 0, "the child did not get through");
}

/// Not a test: the second processes.
#[test]
fn child() {
    match env::var("MAPVAR_FORK_FIRST").as_deref() {
        Ok("generation") => {
            fork_during(|| {
                machine::generation();
            });
            let before = machine::generation();
            let child = unsafe { libc::fork() };
            if child == 0 {
                let code = c_int::from(machine::generation() == before);
                unsafe { libc::_exit(code) };
            }
            let mut status = -1;
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((status, machine::generation()), (0, before));
        }
        Ok("view") => {
            machine::generation();
            fork_during(|| {
                let section = Section::options().size(1).create().unwrap();
                section.view().map().unwrap().write_at(0, b"a").unwrap();
            });
            assert!(!faults::leave_alone());
        }
        _ => {}
    }
}

fn run(role: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("MAPVAR_FORK_FIRST", role);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_fork_during_the_first_registration_of_the_fork_handler_blocks_no_child() {
    run("generation");
}

#[test]
fn a_fork_during_the_installation_of_the_fault_handler_blocks_no_child() {
    run("view");
}
