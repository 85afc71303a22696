//! `SIGBUS` in a mapping of ours: an error, and not the end of the process.
//!
//! What is replaced: where the file has become shorter, everything from its end to the end of the
//! mapping, reserved addresses included, for that is gone for all who map it; should the file grow
//! again, the view stays lost. Otherwise (no room for a page, a read error) the
//! one page, since the others are still shared: a lock word that peers wait for must not be taken
//! away from under its holder. Should the process have too many mappings for a single page, then
//! the rest of the mapping, or else all of it.
//!
//! In the handler run system calls and atomics only: `fstat`, `mmap`, `membarrier`, `sigaction`.

#![allow(unsafe_code, reason = "signals, and memory put in the place of lost memory")]

use crate::memory::registry::{self, Cause, Piece, Registered, find};
use rustix::mm::{self, MapFlags, ProtFlags};
use std::{
    ffi::c_int,
    mem::MaybeUninit,
    num::NonZeroUsize,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// Registers a mapping of `len` bytes at `address`, for the handler to know it, and installs the
/// handler before the first.
pub(super) fn register(
    file: BorrowedFd<'_>,
    offset: u64,
    address: NonZeroUsize,
    len: usize,
    page: usize,
    protection: ProtFlags,
) -> Registered {
    registry::guard_once(guard);
    let file = file.as_raw_fd().cast_unsigned() as usize;
    let address = address.get();
    let protection = protection.bits();
    Registered::new(&Piece { address, len, page, protection, file, offset, kept: false })
}

/// What was installed for SIGBUS before us; null for the default. Never freed: the handler may be
/// reading it.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler; whether it stands.
fn guard() -> bool {
    all_threads::prepare();
    let Some(before) = action(None) else { return false };
    // Before ours stands: it may be needed at once.
    keep(before);
    let Some(replaced) = action(Some(&ours(before.sa_flags))) else { return false };
    if replaced.sa_sigaction != before.sa_sigaction {
        // Somebody was quicker.
        keep(replaced);
    }
    true
}

fn keep(action: libc::sigaction) {
    // SYNC POINT: Release pairs with the Acquire of `pass_on`.
    BEFORE.store(Box::into_raw(Box::new(action)), Ordering::Release);
}

fn ours(flags_before: c_int) -> libc::sigaction {
    // SAFETY: the struct is made of integers and of pointers that may be null, for which all zeros
    // is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // On the signal stack where the thread has one (who overflows his stack into a guard page that
    // answers SIGBUS, as on macOS, has no other), and with system calls restarted if they were.
    // Blocked while it runs, with no SA_NODEFER: what it touches cannot fault.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags_before & libc::SA_RESTART;
    // The mask stays empty: as it does not wait for anything, no signal can do harm.
    action
}

/// Asks for the action of SIGBUS, and sets it to another. `None` where the system refuses.
fn action(new: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let new = new.map_or(ptr::null(), ptr::from_ref);
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `new` is null or a valid action, whose handler is one that was there before or is
    // `handler`, which lives as long as the program (a library that has been unloaded must not have
    // mapped a view: docs/PLATFORM.md); `old` is room for one.
    let done = unsafe { libc::sigaction(libc::SIGBUS, new, old.as_mut_ptr()) };
    // SAFETY: all zeros is a value (see `ours`), and the system has written one over it.
    (done == 0).then(|| unsafe { old.assume_init() })
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls a handler with SA_SIGINFO with a pointer to what it knows of the
    // signal, valid until the handler returns.
    let told = unsafe { &*info };
    if !is_fault(told.si_code) {
        if pass_on(signal, info, context) {
            keep_standing();
        }
        return;
    }
    // SAFETY: for a SIGBUS that an access caused the system has set the address.
    let address = unsafe { told.si_addr() }.addr();
    if !replace(address) {
        pass_on(signal, info, context);
    }
}

/// Whether an access of this very thread caused it, which is done again when the handler returns.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_fault(code: c_int) -> bool {
    // No page, no memory for it, or a failed read; or memory that the hardware says is bad. Not a
    // misaligned access, which other memory would not cure, nor news of bad memory elsewhere.
    code == libc::BUS_ADRERR || code == libc::BUS_MCEERR_AR
}

/// The systems differ in which code they give; macOS says "alignment" for all. Positive = not sent
/// by a process.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_fault(code: c_int) -> bool {
    code > 0
}

/// Puts zeros where `address` is, if it is ours to do so.
fn replace(address: usize) -> bool {
    let Some((entry, piece)) = find(address) else { return false };
    let at = (address - piece.address) / piece.page * piece.page;
    let file_ends = end_of_file(&piece);
    let truncated = file_ends.is_some_and(|end| end <= piece.offset.saturating_add(at as u64));
    let cause = if truncated { Cause::Truncated } else { Cause::Io };
    // First of all: see `Entry::mark`.
    if !entry.mark(&piece, cause, address) {
        return false;
    }
    // Another thread may have stored to one of these pages and not yet have asked whether the view
    // is lost, its answer being on the way already.
    all_threads::catch_up();
    let mut from = at;
    let mut to = at + piece.page;
    if truncated {
        // From the first whole page behind the file's end, which is not behind `at`.
        let end = file_ends.unwrap_or(0).saturating_sub(piece.offset) as usize;
        from = end.next_multiple_of(piece.page).min(at);
        to = piece.len;
    }
    // A large reservation may be more than a system that counts every promise of memory gives, and
    // a process may have too many mappings for one page more.
    [(from, to), (at, at + piece.page), (from, piece.len), (0, piece.len)]
        .into_iter()
        .any(|(from, to)| zeros(&piece, from, to))
}

/// Where the file ends, unless it cannot be told.
fn end_of_file(piece: &Piece) -> Option<u64> {
    let fd = (piece.file as u32).cast_signed();
    // SAFETY: the section's descriptor, which is open for as long as the mapping is registered: a
    // view owns its section. (One that foreign code has closed is no more than a wrong answer.)
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let stat = rustix::fs::fstat(file).ok()?;
    u64::try_from(stat.st_size).ok()
}

fn zeros(piece: &Piece, from: usize, to: usize) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // No promise of memory is asked for: what is lost may be larger than the machine.
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    let protection = ProtFlags::from_bits_retain(piece.protection);
    let at = ptr::with_exposed_provenance_mut(piece.address + from);
    // SAFETY: the range lies within one mapping that this crate has made and not unmapped: it is
    // registered, and stays so, because the thread that faulted is using it. What is replaced is
    // shared memory of which nothing is promised (docs/UNSAFE.md), by memory as readable and
    // writable; the references into it stay valid.
    unsafe { mm::mmap_anonymous(at, to - from, protection, flags) }.is_ok()
}

/// Gives a signal that is none of ours to who had it before us, as the system would have. Answers
/// whether there was a handler to be called.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) -> bool {
    // SYNC POINT: Acquire pairs with the Release of `keep`.
    let before = BEFORE.load(Ordering::Acquire);
    // SAFETY: it is null, or was set by `keep` and is never freed.
    let before = unsafe { before.as_ref() };
    // SAFETY: as in `handler`.
    let faulted = unsafe { &*info }.si_code > 0;
    match before.map_or(libc::SIG_DFL, |before| before.sa_sigaction) {
        // A fault ends the process also where the signal is ignored.
        libc::SIG_IGN if !faulted => {}
        libc::SIG_DFL | libc::SIG_IGN => by_default(signal, faulted),
        function => {
            if let Some(before) = before {
                call(before, function, signal, info, context);
            }
            return true;
        }
    }
    false
}

/// The default, which ends the process.
fn by_default(signal: c_int, faulted: bool) {
    // SAFETY: as in `ours`; with `SIG_DFL`.
    let mut default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    default.sa_sigaction = libc::SIG_DFL;
    action(Some(&default));
    if !faulted {
        // SAFETY: sends a signal to this thread, which gets it when the handler returns. A fault
        // comes again by itself, and its core shows where.
        unsafe { libc::raise(signal) };
    }
}

/// Calls a handler as the system would have, but for the stack.
fn call(
    before: &libc::sigaction,
    function: usize,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        // SAFETY: as in `ours`; with `SIG_DFL`.
        let mut default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        default.sa_sigaction = libc::SIG_DFL;
        // The system's state and not `BEFORE`, which would have to be allocated: the one fault
        // that is left to come then ends the process as it ought to.
        action(Some(&default));
    }
    let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: adds what the handler wants blocked; both sets are valid, all zeros being one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const before.sa_mask, mask.as_mut_ptr()) };
    // SAFETY: as above: zeros, or what the call has written.
    let mask = unsafe { mask.assume_init() };
    if before.sa_flags & libc::SA_NODEFER != 0 {
        unblock(signal);
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        type Full = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: who installed it said that it is a function of these arguments.
        let full: Full = unsafe { std::mem::transmute(function) };
        // SAFETY: a handler called with what the system has told, within a handler of that signal.
        unsafe { full(signal, info, context) };
    } else {
        type Plain = unsafe extern "C" fn(c_int);
        // SAFETY: who installed it said that it is a function of the number alone.
        let plain: Plain = unsafe { std::mem::transmute(function) };
        // SAFETY: as above.
        unsafe { plain(signal) };
    }
    // SAFETY: sets what stood before; the set is valid.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
}

fn unblock(signal: c_int) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: makes the set empty.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: adds a signal to a set that was made empty above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: takes the signal of a valid set from the mask of this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) };
}

/// A signal that was only sent may have made a handler go back to the default and take ours with
/// it (Rust's own does, which looks for stack overflows): ours is put up again, so that the next
/// one that is sent does what it would have done without us, and our faults are still errors.
fn keep_standing() {
    let Some(now) = action(None) else { return };
    if now.sa_sigaction != libc::SIG_DFL {
        return;
    }
    BEFORE.store(ptr::null_mut(), Ordering::Release);
    action(Some(&ours(now.sa_flags)));
}

/// A barrier in every thread of the process that runs just now, paid for by who faults and not by
/// who stores.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod all_threads {
    const EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_EXPEDITED: libc::c_int = 1 << 4;

    fn membarrier(command: libc::c_int) {
        // SAFETY: takes two numbers and touches no memory. A kernel without it (before 4.14), or a
        // sandbox, answers an error: then only the fences of the callers are left.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0) };
    }

    pub(super) fn prepare() {
        membarrier(REGISTER_EXPEDITED);
    }

    pub(super) fn catch_up() {
        membarrier(EXPEDITED);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod all_threads {
    pub(super) fn prepare() {}

    pub(super) fn catch_up() {}
}

#[cfg(test)]
mod tests {
    use crate::memory::bulk;

    /// Between two pages that may not be touched.
    #[test]
    fn copies_reach_nothing_beyond_their_ends() {
        const PAGE: usize = 1 << 16;
        if !bulk::FAST {
            return;
        }
        let room = || {
            // SAFETY: asks for new memory of the test's own.
            let at = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    3 * PAGE,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANON,
                    -1,
                    0,
                )
            };
            assert_ne!(at, libc::MAP_FAILED);
            let middle = at.cast::<u8>().wrapping_add(PAGE);
            // SAFETY: a part of the above.
            let done =
                unsafe { libc::mprotect(middle.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(done, 0);
            middle
        };
        let (source, target) = (room(), room());
        for len in bulk::SHORTEST..600 {
            for (from, to) in [(0, PAGE - len), (PAGE - len, 0), (PAGE - len, PAGE - len)] {
                // SAFETY: both ranges lie within the middles; if not, the test dies.
                unsafe { bulk::copy(source.wrapping_add(from), target.wrapping_add(to), len) };
            }
        }
    }
}
