//! The handler of `SIGBUS`: a fault in a mapping of this crate is an error and does not end the
//! process.
//!
//! The handler replaces the lost memory with zeros:
//!
//! - If the file has become shorter, it replaces everything from the file's end to the end of the
//!   mapping, reserved addresses included. Those pages are lost for all processes that map them. If
//!   the file grows again, the view stays lost.
//! - Otherwise (no space for a page, a read error) it replaces only the one page, since the other
//!   pages are still shared. A lock word that peers wait for must not be taken away from its owner.
//! - If the process has too many mappings for a single page, it replaces the rest of the mapping,
//!   or else all of it. If the process has even one mapping too many for that, the handler gives up
//!   a spare one.
//!
//! The handler runs only system calls and atomics: `fstat`, `mmap`, `munmap`, `membarrier`,
//! `sched_yield`, `sigaction`, `pthread_sigmask`, `raise`.

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

/// Registers a mapping of `len` bytes at `address`, so that the handler recognizes it. Installs the
/// handler before the first mapping is registered.
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

/// The action for SIGBUS that was installed before the handler of this crate; null for the default.
/// It is never freed, since the handler may be reading it.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler. Returns whether it is installed. Several threads may do so at once.
fn guard() -> bool {
    all_threads::prepare();
    spare::prepare();
    let Some(before) = action(None) else { return false };
    // Stored before the handler is installed, which may need it at once.
    keep(before);
    let Some(replaced) = action(Some(&ours(before.sa_flags))) else { return false };
    if replaced.sa_sigaction != before.sa_sigaction {
        // Another thread or library has installed a handler in the meantime.
        keep(replaced);
    }
    true
}

fn keep(action: libc::sigaction) {
    if action.sa_sigaction == handler as *const () as usize {
        // Another thread was faster, and has kept the handler before it.
        return;
    }
    // SYNC POINT: Release pairs with the Acquire of `pass_on`.
    BEFORE.store(Box::into_raw(Box::new(action)), Ordering::Release);
}

fn ours(flags_before: c_int) -> libc::sigaction {
    // SAFETY: the struct consists of integers and of pointers that may be null, so all zeros is a
    // valid value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // SA_ONSTACK: the handler runs on the signal stack, if the thread has one. A thread that
    // overflows its stack into a guard page that raises SIGBUS, as on macOS, has no other stack to
    // run on. SA_RESTART is kept as it was. Without SA_NODEFER the signal is blocked while the
    // handler runs: the memory that the handler accesses cannot fault.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags_before & libc::SA_RESTART;
    // The mask stays empty: the handler waits for nothing, so no other signal can do harm.
    action
}

/// Reads the action for SIGBUS, and replaces it if `new` is given. `None` if the system refuses.
fn action(new: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let new = new.map_or(ptr::null(), ptr::from_ref);
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `new` is null or a valid action. Its handler was installed before, or is the default,
    // or is `handler`, which lives as long as the program (a library that is unloaded must not have
    // mapped a view: docs/PLATFORM.md). `old` has space for one action.
    let done = unsafe { libc::sigaction(libc::SIGBUS, new, old.as_mut_ptr()) };
    // SAFETY: all zeros is a valid value (see `ours`), and the system has written a valid value
    // over it.
    (done == 0).then(|| unsafe { old.assume_init() })
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = errno();
    // SAFETY: as in `errno`.
    let before = unsafe { errno.read() };
    handle(signal, info, context);
    // The code that faulted may be about to read the error of an earlier call.
    // SAFETY: as in `errno`; this thread alone writes there.
    unsafe { errno.write(before) };
}

/// Returns the address of this thread's `errno`, which is valid as long as the thread lives.
fn errno() -> *mut c_int {
    #[cfg(any(target_os = "illumos", target_os = "solaris"))]
    use libc::___errno as location;
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as location;
    #[cfg(target_os = "linux")]
    use libc::__errno_location as location;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    use libc::__error as location;
    // SAFETY: the call takes no argument, and is safe in a handler.
    unsafe { location() }
}

fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls a handler with SA_SIGINFO with a pointer to the details of the
    // signal, which is valid until the handler returns.
    let details = unsafe { &*info };
    if !is_fault(details.si_code) {
        if pass_on(signal, info, context) {
            reinstall();
        }
        return;
    }
    // SAFETY: for a SIGBUS that an access caused, the system has set the address.
    let address = unsafe { details.si_addr() }.addr();
    if !replace(address) {
        pass_on(signal, info, context);
    }
}

/// Returns whether an access of this thread caused the signal. The access is repeated when the
/// handler returns.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_fault(code: c_int) -> bool {
    // BUS_ADRERR: no page, no memory for it, or a failed read. BUS_MCEERR_AR: the hardware reports
    // bad memory. Other codes are misaligned accesses, which other memory would not cure, and
    // reports of bad memory elsewhere.
    code == libc::BUS_ADRERR || code == libc::BUS_MCEERR_AR
}

/// The systems differ in their codes; macOS reports "alignment" for all of them. A positive code
/// means that the signal was not sent by a process.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_fault(code: c_int) -> bool {
    code > 0
}

/// Replaces the memory at `address` with zeros, if it belongs to a registered mapping.
fn replace(address: usize) -> bool {
    let Some((entry, piece)) = find(address) else { return false };
    let at = (address - piece.address) / piece.page * piece.page;
    let file_ends = end_of_file(&piece);
    let truncated = file_ends.is_some_and(|end| end <= piece.offset.saturating_add(at as u64));
    let cause = if truncated { Cause::Truncated } else { Cause::Io };
    // The mark comes first: see `Entry::mark`.
    if !entry.mark(&piece, cause, address) {
        return false;
    }
    // Another thread may still have a store to one of these pages in flight, although it has
    // already loaded that the view is not lost. The barrier completes both before the pages are
    // replaced.
    all_threads::catch_up();
    let mut from = at;
    let mut to = at + piece.page;
    if truncated {
        // Begins at the first whole page behind the file's end, and never behind `at`.
        let end = file_ends.unwrap_or(0).saturating_sub(piece.offset) as usize;
        from = end.next_multiple_of(piece.page).min(at);
        to = piece.len;
    }
    // The first range may fail: a system that counts all promised memory may refuse a large
    // reservation. Then the one page is tried. That fails if the process has too many mappings to
    // split off a page; then the rest is tried, and at last the whole mapping.
    let mut ranges = [(from, to), (at, at + piece.page), (from, piece.len), (0, piece.len)];
    let attempt = |ranges: [_; 4]| ranges.into_iter().any(|(from, to)| zeros(&piece, from, to));
    spare::prepare();
    if attempt(ranges) {
        return true;
    }
    // The whole mapping comes first now: a part would need one more mapping, and leave none for the
    // next fault.
    ranges.reverse();
    spare::without(|| attempt(ranges))
}

/// Returns where the file ends, or `None` if the system does not report it.
fn end_of_file(piece: &Piece) -> Option<u64> {
    let fd = (piece.file as u32).cast_signed();
    // SAFETY: the descriptor belongs to the section and is open for as long as the mapping is
    // registered, since a view owns its section. (If foreign code has closed it, the result is only
    // a wrong size.)
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let stat = rustix::fs::fstat(file).ok()?;
    u64::try_from(stat.st_size).ok()
}

fn zeros(piece: &Piece, from: usize, to: usize) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // NORESERVE: the lost memory may be larger than the memory of the machine.
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    let protection = ProtFlags::from_bits_retain(piece.protection);
    let at = ptr::with_exposed_provenance_mut(piece.address + from);
    // SAFETY: the range lies within one mapping that this crate has made and not unmapped. It is
    // registered, and stays so, because the thread that faulted is using it. The replaced memory is
    // shared memory, of whose contents nothing is promised (docs/UNSAFE.md). The new memory is as
    // readable and as writable, at the same addresses, so the references into it stay valid.
    unsafe { mm::mmap_anonymous(at, to - from, protection, flags) }.is_ok()
}

/// Passes a signal that is not for this crate to the handler that was installed before, as the
/// system would have. Returns whether there was a handler to call.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) -> bool {
    // SYNC POINT: Acquire pairs with the Release of `keep`.
    let before = BEFORE.load(Ordering::Acquire);
    // SAFETY: the pointer is null, or was set by `keep`, whose allocation is never freed.
    let before = unsafe { before.as_ref() };
    // SAFETY: as in `handler`.
    let faulted = unsafe { &*info }.si_code > 0;
    match before.map_or(libc::SIG_DFL, |before| before.sa_sigaction) {
        // A fault ends the process even if the signal is ignored.
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

/// Takes the default action, which ends the process.
fn by_default(signal: c_int, faulted: bool) {
    // SAFETY: as in `ours`; with `SIG_DFL`.
    let mut default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    default.sa_sigaction = libc::SIG_DFL;
    action(Some(&default));
    if !faulted {
        // SAFETY: sends a signal to this thread, which receives it when the handler returns. (A
        // fault repeats by itself, and its core dump then shows the access.)
        unsafe { libc::raise(signal) };
    }
}

/// Calls a handler as the system would have, except for the choice of the stack.
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
        // Changes the system's state and not `BEFORE`, which would need an allocation. The next
        // fault then ends the process, as the handler asked for.
        action(Some(&default));
    }
    let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: blocks the signals that the handler wants blocked; both sets are valid, since all
    // zeros is a valid set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const before.sa_mask, mask.as_mut_ptr()) };
    // SAFETY: as above: zeros, or the set that the call has written.
    let mask = unsafe { mask.assume_init() };
    if before.sa_flags & libc::SA_NODEFER != 0 {
        unblock(signal);
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        type Full = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: the code that installed the handler declared with SA_SIGINFO that it takes these
        // arguments.
        let full: Full = unsafe { std::mem::transmute(function) };
        // SAFETY: calls a handler with the arguments of the system, within a handler of the same
        // signal.
        unsafe { full(signal, info, context) };
    } else {
        type Plain = unsafe extern "C" fn(c_int);
        // SAFETY: the code that installed the handler declared, without SA_SIGINFO, that it takes
        // the number alone.
        let plain: Plain = unsafe { std::mem::transmute(function) };
        // SAFETY: as above.
        unsafe { plain(signal) };
    }
    // SAFETY: restores the previous mask; the set is valid.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
}

fn unblock(signal: c_int) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: makes the set empty.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: adds a signal to a set that was made empty above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: removes the signals of a valid set from the mask of this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) };
}

/// Installs the handler again, if another handler has replaced it with the default.
///
/// On a signal that a process sent, an earlier handler may restore the default action, and so
/// remove the handler of this crate. (Rust's own handler, which detects stack overflows, does so.)
/// With the handler back, faults are still errors, and the next sent signal has the effect that it
/// would have had without this crate.
fn reinstall() {
    let Some(now) = action(None) else { return };
    if now.sa_sigaction != libc::SIG_DFL {
        return;
    }
    BEFORE.store(ptr::null_mut(), Ordering::Release);
    action(Some(&ours(now.sa_flags)));
}

/// A barrier in every running thread of the process. The thread that faults pays for it, and not
/// the threads that store.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod all_threads {
    const EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_EXPEDITED: libc::c_int = 1 << 4;

    fn membarrier(command: libc::c_int) {
        // SAFETY: passes two numbers and accesses no memory. A kernel without the call (before
        // 4.14), or a sandbox, returns an error: then only the fences of the callers remain.
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

/// A mapping that the process does not need.
///
/// Linux maps nothing, not even over an existing mapping, for a process that has more mappings than
/// are allowed. It never has more than one too many, but a page that is split off can leave that
/// one. Then the spare one is given up, a whole mapping is replaced, which makes no further one, and
/// the spare one is made again.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod spare {
    use rustix::{
        mm::{self, MapFlags, ProtFlags},
        param::page_size,
        thread::sched_yield,
    };
    use std::{
        ffi::c_void,
        ptr,
        sync::atomic::{AtomicPtr, Ordering},
    };

    /// The address of the mapping, of one page. Null if there is none.
    static SPARE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    /// Makes the mapping if there is none.
    pub(super) fn prepare() {
        if !SPARE.load(Ordering::Relaxed).is_null() {
            return;
        }
        // SHARED: Linux joins private mappings that are neighbours, and the end of a joined one
        // frees none.
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: asks for new memory, at an address that the system chooses.
        let new =
            unsafe { mm::mmap_anonymous(ptr::null_mut(), page_size(), ProtFlags::empty(), flags) };
        let Ok(new) = new else { return };
        let (none, order) = (ptr::null_mut(), Ordering::Relaxed);
        if SPARE.compare_exchange(none, new, order, order).is_err() {
            free(new);
        }
    }

    /// Makes an attempt while the spare mapping is given up. Where another thread has just given it
    /// up, the attempt is repeated until that thread has replaced its memory.
    pub(super) fn without(attempt: impl Fn() -> bool) -> bool {
        const ATTEMPTS: u32 = 1_000;
        for _ in 0..ATTEMPTS {
            let spare = SPARE.swap(ptr::null_mut(), Ordering::Relaxed);
            if !spare.is_null() {
                free(spare);
            }
            let done = attempt();
            prepare();
            if done {
                return true;
            }
            sched_yield();
        }
        false
    }

    /// Unmaps a spare mapping. If that fails, it stays, and is never used.
    fn free(at: *mut c_void) {
        // SAFETY: the page is of `prepare`, and the only pointer to it was taken out of `SPARE` or
        // never put there. No code accesses it.
        let _ = unsafe { mm::munmap(at, page_size()) };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod spare {
    pub(super) fn prepare() {}

    pub(super) fn without(_: impl Fn() -> bool) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::bulk;

    /// Copies between two pages that may not be accessed.
    #[test]
    fn copies_reach_nothing_beyond_their_ends() {
        const PAGE: usize = 1 << 16;
        if !bulk::FAST {
            return;
        }
        let guarded_page = || {
            // SAFETY: asks for new memory, which only this test uses.
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
            // SAFETY: the range is a part of the mapping above.
            let done =
                unsafe { libc::mprotect(middle.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(done, 0);
            middle
        };
        let (source, target) = (guarded_page(), guarded_page());
        for len in bulk::SHORTEST..600 {
            for (from, to) in [(0, PAGE - len), (PAGE - len, 0), (PAGE - len, PAGE - len)] {
                // SAFETY: both ranges lie within the middle pages; if not, the test dies.
                unsafe { bulk::copy(source.wrapping_add(from), target.wrapping_add(to), len) };
            }
        }
    }
}
