//! What the standard library lacks: child processes of other users, and with a chosen process id.
#![allow(unsafe_code, reason = "fork, clone3 and their companions")]

use mapvar_harness::peer::{Life, Peer};
use std::{
    ffi::CString,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Children that must end with this process, also when its watchdog ends it.
static CHILDREN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Kills every child that was started here and has not been waited for yet.
pub(crate) fn end_children() {
    let children = std::mem::take(&mut *CHILDREN.lock().unwrap_or_else(PoisonError::into_inner));
    children.into_iter().for_each(kill);
}

fn kill(pid: i32) {
    // SAFETY: no pointer; the number is that of a child that no thread has waited for, so the
    // kernel has not reused it.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn born(pid: i32) {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
}

/// A child started here, killed and waited for when this is dropped; `None` once it is gone.
struct Cloned(Option<i32>);

impl Life for Cloned {
    fn kill(&mut self) {
        self.0.take().into_iter().for_each(kill_child);
    }

    fn finish(&mut self) -> bool {
        self.0.take().is_none_or(|pid| wait_for(pid) == Some(0))
    }
}

impl Drop for Cloned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a child started here, and waits for it.
fn kill_child(pid: i32) {
    kill(pid);
    wait_for(pid);
}

/// Waits for a child started here; returns its exit code, or `None` if a signal killed it.
fn wait_for(pid: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: writes the status to a local.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if waited == pid || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).retain(|child| *child != pid);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

pub(crate) fn is_root() -> bool {
    effective_user() == 0
}

fn effective_user() -> u32 {
    // SAFETY: no argument.
    unsafe { libc::geteuid() }
}

/// Runs `body` in a child that has this user's rights and no others. Returns the string that `body`
/// returns, or the reason why there is none within `limit`. Call it only while no other thread
/// holds a lock that the child may need.
pub(crate) fn as_user(
    uid: u32,
    limit: Duration,
    body: impl FnOnce() -> String,
) -> Result<String, String> {
    let body = std::panic::AssertUnwindSafe(body);
    let caught = || std::panic::catch_unwind(body).unwrap_or_else(|_| "PANIC".into());
    let mut child = stay_as(uid, limit, || (caught(), ()))?;
    let said = std::mem::take(&mut child.said);
    if said.is_empty() { Err("ended without an answer".into()) } else { Ok(said) }
}

/// A child of another user that stays alive until this is dropped.
#[derive(Debug)]
pub(crate) struct Staying {
    pub(crate) pid: i32,
    /// The string that `body` returned.
    pub(crate) said: String,
    // The child also ends when this process closes its end of this pipe.
    _end: OwnedFd,
}

impl Drop for Staying {
    fn drop(&mut self) {
        kill_child(self.pid);
    }
}

/// Runs `body` in a child of this user; the child stays alive and keeps the second value of `body`.
pub(crate) fn stay_as<K>(
    uid: u32,
    limit: Duration,
    body: impl FnOnce() -> (String, K),
) -> Result<Staying, String> {
    let (mut reader, mut writer) = io::pipe().map_err(|error| error.to_string())?;
    let (their_end, end) = io::pipe().map_err(|error| error.to_string())?;
    // SAFETY: the child has one thread, and it runs only code of this program. The parent's other
    // threads (a watchdog that sleeps) hold no lock that the child needs.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop((reader, end));
        let body = std::panic::AssertUnwindSafe(|| {
            become_user(uid).expect("to be another user");
            body()
        });
        if let Ok((said, _kept)) = std::panic::catch_unwind(body) {
            let _ = writer.write_all(said.as_bytes());
            drop(writer);
            let mut their_end = their_end;
            let _ = their_end.read(&mut [0]);
        }
        // SAFETY: ends the child at once, without the parent's registered exit handlers.
        unsafe { libc::_exit(0) };
    }
    drop((writer, their_end));
    if child < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    born(child);
    let mut staying = Staying { pid: child, said: String::new(), _end: OwnedFd::from(end) };
    if readable(&reader, limit) && reader.read_to_string(&mut staying.said).is_ok() {
        return Ok(staying);
    }
    Err(format!("HUNG for {limit:?}"))
}

fn readable(reader: &impl AsRawFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut wanted = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the call reads and writes one structure, a local.
        let ready = unsafe { libc::poll(&raw mut wanted, 1, left.as_millis() as i32 + 1) };
        if ready > 0 {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}

fn become_user(uid: u32) -> io::Result<()> {
    let done = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    if uid == effective_user() {
        return Ok(());
    }
    // SAFETY: no group is read.
    done(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: no pointer.
    done(unsafe { libc::setresgid(uid, uid, uid) })?;
    // SAFETY: no pointer.
    done(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Starts this program with these arguments, with this process id if one is given.
#[cfg(target_os = "linux")]
pub(crate) fn start_as(arguments: &[&str], pid: Option<i32>) -> io::Result<Peer> {
    let (theirs, input) = io::pipe()?;
    let (output, their_output) = io::pipe()?;
    let pid = clone_program(arguments, &theirs, &their_output, pid)?;
    let (input, output) = (Box::new(input), Box::new(output));
    Ok(Peer::of(input, output, Box::new(Cloned(Some(pid))), pid.cast_unsigned()))
}

/// `struct clone_args` of the kernel, which the crate libc lacks for 32 bits.
#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Starts this program by `clone3`; choosing a process id needs a privilege.
#[cfg(target_os = "linux")]
fn clone_program(
    arguments: &[&str],
    input: &impl AsRawFd,
    output: &impl AsRawFd,
    pid: Option<i32>,
) -> io::Result<i32> {
    let program = c"/proc/self/exe";
    let words = std::iter::once("harness").chain(arguments.iter().copied());
    let words: Vec<CString> =
        words.map(|word| CString::new(word).expect("an argument without a zero")).collect();
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let (input, output) = (input.as_raw_fd(), output.as_raw_fd());
    let wanted = [pid.unwrap_or(0)];
    let mut how = CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if pid.is_some() {
        how.set_tid = wanted.as_ptr().expose_provenance() as u64;
        how.set_tid_size = 1;
    }
    // SAFETY: the structure and the number outlive the call. Without CLONE_VM the child has its own
    // memory; it continues here as one thread, and makes only system calls until `execv`.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of::<CloneArgs>()) };
    if child == 0 {
        // SAFETY: descriptors of the child's own; no pointer.
        unsafe { libc::dup2(input, 0) };
        // SAFETY: the same.
        unsafe { libc::dup2(output, 1) };
        // SAFETY: the strings end with a zero, the list with a null pointer, and both outlive the
        // call.
        unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(127) };
    }
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    born(child as i32);
    Ok(child as i32)
}

/// Returns the kernel's number of the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn thread_number() -> i32 {
    // SAFETY: no argument.
    unsafe { libc::gettid() }
}
