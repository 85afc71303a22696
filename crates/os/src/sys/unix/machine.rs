//! Facts about this machine and process.

#![allow(
    unsafe_code,
    reason = "rustix has no pthread_atfork and sysctl, and getrandom only on Linux"
)]

use super::error::cvt;
use crate::{
    error::{Error, Result},
    memory::{epoch, words::Half},
};
use rustix::{fs::Timespec, io::Errno};
use std::{io, sync::atomic::Ordering, time::Duration};

/// See [`crate::machine::nap`].
pub(super) fn nap(time: Duration) {
    // A time that is too long for the system's clock does not sleep at all, like a sleep that a
    // signal ended.
    if let Ok(time) = Timespec::try_from(time) {
        let _ = rustix::thread::nanosleep(&time);
    }
}

pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}

/// At least the number of forks that lead to this process, plus 1; 0 until the fork handler is
/// installed.
/// Relaxed is enough: it changes only in a child that has one thread.
static GENERATION: Half = Half::new(0);

/// See [`crate::machine::generation`].
#[inline]
pub(super) fn generation() -> u32 {
    match GENERATION.load(Ordering::Relaxed) {
        0 => watch_forks(),
        generation => generation,
    }
}

/// Returns [`generation`] without installing the fork handler, and so 0 before the first call of
/// [`generation`]. For a fast path, which calls [`generation`] when the value has changed.
#[inline]
pub(super) fn known_generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

#[cold]
fn watch_forks() -> u32 {
    // Without a lock, which another thread could fork under: its child would wait for ever. So two
    // threads may both install the handler, and the number then changes twice with each fork.
    // SAFETY: the handler is a function of this library and lives as long as the registration (the
    // C library drops the handlers of a library that is unloaded). It is safe to run in a child
    // after fork, since it only adds to static atomics. The call fails only without memory. Then a
    // child is taken for its parent, and a child must not use its parent's handles anyway.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    // If the number is not 0, another thread was faster, or this is a child: a store of 1 would take
    // it for its parent.
    let _ = GENERATION.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    epoch::begin_next();
}

/// `PTHREAD_CANCEL_DISABLE`
pub(super) const UNCANCELLED: i32 = if cfg!(target_vendor = "apple") { 0 } else { 1 };

/// See [`crate::machine::Uncancelled`].
#[cfg(not(target_os = "android"))]
#[inline]
pub(super) fn set_cancellation(state: i32) -> i32 {
    // Not in the crate libc.
    unsafe extern "C" {
        fn pthread_setcancelstate(new: libc::c_int, old: *mut libc::c_int) -> libc::c_int;
    }
    let mut old = state;
    // SAFETY: changes a number of the calling thread, and writes the former one to a local.
    unsafe { pthread_setcancelstate(state, &raw mut old) };
    old
}

/// Android cancels no threads.
#[cfg(target_os = "android")]
pub(super) fn set_cancellation(state: i32) -> i32 {
    state
}

/// See [`crate::machine::random`].
#[cfg(target_os = "linux")]
pub(super) fn random() -> Result<[u64; 2]> {
    let mut bits = [0_u64; 2];
    loop {
        // SAFETY: the pointer leads to as many writable bytes as the length says, which live across
        // the call, and every pattern of bits is a valid `u64`.
        let got = unsafe { libc::getrandom(bits.as_mut_ptr().cast(), size_of_val(&bits), 0) };
        // A request as small as this one returns all its bytes or fails.
        if got.cast_unsigned() == size_of_val(&bits) {
            return Ok(bits);
        }
        let error = last_error();
        if error.kind() != crate::error::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// See [`crate::machine::random`].
#[cfg(not(target_os = "linux"))]
pub(super) fn random() -> Result<[u64; 2]> {
    let mut bits = [0_u64; 2];
    // SAFETY: the pointer leads to as many writable bytes as the length says, which live across the
    // call, and every pattern of bits is a valid `u64`.
    let done = unsafe { libc::getentropy(bits.as_mut_ptr().cast(), size_of_val(&bits)) };
    if done == 0 { Ok(bits) } else { Err(last_error()) }
}

fn last_error() -> Error {
    cvt(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// See [`crate::machine::boot_id`].
pub(super) fn boot_id() -> Result<[u64; 2]> {
    let id = boot_id_text()?;
    let digits = id.chars().filter_map(|c| c.to_digit(16));
    let whole = digits.fold(0_u128, |whole, digit| whole << 4 | u128::from(digit));
    if whole == 0 {
        return Err(cvt(Errno::IO).detail("the boot id of the system is empty"));
    }
    Ok([(whole >> 64) as u64, whole as u64])
}

#[cfg(target_os = "linux")]
fn boot_id_text() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    std::fs::read_to_string(PATH)
        .map_err(|error| without_proc(PATH, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// Returns the error of a file of `/proc` that cannot be read.
#[cfg(target_os = "linux")]
fn without_proc(path: &str, errno: Errno) -> Error {
    use super::error::refuse;
    use crate::error::ErrorKind;

    match errno {
        // Not `NotFound`, which callers take for a missing map.
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM => {
            refuse(ErrorKind::Unsupported, format!("{path} cannot be read; mount /proc"))
                .because(io::Error::from(errno))
        }
        errno => cvt(errno),
    }
}

#[cfg(target_vendor = "apple")]
fn boot_id_text() -> Result<String> {
    let mut text = [0_u8; 64];
    let mut len = text.len();
    // SAFETY: the name ends with a NUL. The system writes at most `len` bytes to `text`, which has
    // that many, and their number to `len`; both live across the call. The null pointer and length
    // 0 set nothing.
    let done = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    if done == 0 {
        Ok(String::from_utf8_lossy(text.get(..len).unwrap_or_default()).into_owned())
    } else {
        Err(last_error())
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn boot_id_text() -> Result<String> {
    Err(cvt(Errno::NOSYS).detail(
        "this system does not distinguish one start from the next; use Linux, macOS or \
        Windows",
    ))
}

/// See [`crate::machine::pid_namespace`].
#[cfg(target_os = "linux")]
pub(super) fn pid_namespace() -> Result<u64> {
    const PATH: &str = "/proc/self/ns/pid";
    match rustix::fs::stat(PATH) {
        Ok(stat) => Ok(stat.st_ino),
        Err(errno) => Err(without_proc(PATH, errno)),
    }
}

/// See [`crate::machine::pid_namespace`].
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the signature that every system has")]
pub(super) fn pid_namespace() -> Result<u64> {
    Ok(0)
}

/// See [`crate::machine::program`].
#[cfg(target_os = "linux")]
pub(super) fn program(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn program(_: u32) -> Option<String> {
    None
}

/// See [`crate::machine::may_run`].
pub(super) fn may_run(pid: u32) -> bool {
    let id = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(id) = id else { return false };
    if rustix::process::test_kill_process(id) == Err(Errno::SRCH) {
        return false;
    }
    !has_ended(pid)
}

/// Whether the process has ended, all its threads included, and waits for its parent.
#[cfg(target_os = "linux")]
fn has_ended(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The program's name, in parentheses, may contain anything.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let ended = matches!(fields.next(), Some("Z" | "X"));
    ended && matches!(fields.nth(16), Some("0" | "1"))
}

#[cfg(not(target_os = "linux"))]
fn has_ended(_: u32) -> bool {
    false
}
