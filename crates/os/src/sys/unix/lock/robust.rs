//! Linux: the kernel's robust list, by its one entry `list_op_pending`.
//!
//! A thread tells the kernel once where its list head lies (the C library does so for each thread).
//! When the thread ends in any way, also by `exec`, the kernel looks at the word that stands in the
//! head as pending and acts on its owner's bits:
//!
//! | owner in the word | the kernel |
//! | --- | --- |
//! | this thread | sets `DIED`, clears the owner, keeps `WAITERS`, wakes one who sleeps |
//! | nobody | wakes one who sleeps: the thread was about to do so after its unlock, or had just been woken itself |
//! | another | does nothing |
//!
//! So the word stands there from before the first compare-and-swap until after the unlock and its
//! wake. No pointer lies in shared memory: the head is the thread's own. Locks of the list's proper
//! (robust pthread mutexes) and these do not disturb each other, as long as no such mutex is used
//! between `lock` and `unlock`: the pending entry is one for the thread.
//!
//! Every sleep is bounded, because two wakes can still be lost: that of a sleeper that is killed
//! after somebody else took the lock it was woken for, and that of `mark`.

#![allow(unsafe_code, reason = "the list head is memory that the kernel reads")]
#![allow(clippy::inline_always, reason = "as in `crate::Locks`")]

use super::super::{error::cvt, machine};
use crate::{
    error::{Error, ErrorKind, Holder, Result},
    memory::{mapped::MappedRange, words::Half},
    spec::{DIED, FIRST_MARK, LockSpec, OWNER, Refused, Taken, WAITERS},
};
use rustix::{
    io::Errno,
    thread::futex::{self, Timespec},
};
use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ops::Range,
    ptr,
    sync::atomic::{Ordering, compiler_fence},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Locks(());

/// `struct robust_list_head` of the kernel.
#[repr(C)]
struct Head {
    next: *mut c_void,
    futex_offset: libc::c_long,
    pending: *mut c_void,
}

/// What this thread needs to know of itself to take a lock.
#[derive(Clone, Copy)]
struct Me {
    /// The field `list_op_pending` of the head that the kernel knows for this thread.
    pending: *mut *mut c_void,
    /// From an entry of the list to its word.
    offset: isize,
    tid: u32,
    /// The process for which this holds.
    generation: u32,
}

/// A thread that was not introduced. No process is of that generation, nor is 0, where nobody has
/// asked for it yet.
const NOBODY: Me = Me { pending: ptr::null_mut(), offset: 0, tid: 0, generation: u32::MAX };

thread_local! {
    static ME: Cell<Me> = const { Cell::new(NOBODY) };
    /// A head of ours, for a thread of which the kernel knows none.
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// How long a thread sleeps at most before it looks again.
const NAP: Duration = Duration::from_millis(100);
/// How often a thread looks before it sleeps: about as long as a short critical section.
const SPINS: u32 = 100;

/// Fails early, and not at the first lock, where the kernel has no robust lists.
pub(crate) fn locks(_: &LockSpec) -> Result<Locks> {
    introduce().map(|_| Locks(()))
}

#[inline]
pub(crate) fn lock(
    _: &Locks,
    range: &MappedRange,
    at: usize,
    timeout: Duration,
) -> Result<Taken, Refused> {
    let Some(word) = range.half(at) else { return Err(misplaced(at)) };
    take(word, timeout).map_err(|refused| *refused)
}

#[inline(always)]
pub(crate) fn try_lock(_: &Locks, range: &MappedRange, at: usize) -> bool {
    let Some(word) = range.half(at) else { return false };
    let me = ME.get();
    if me.generation != machine::known_generation() {
        return false;
    }
    me.announce(word);
    // SYNC POINT: as in `take`.
    let taken = word.compare_exchange(0, me.tid, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if !taken {
        me.withdraw();
    }
    taken
}

#[inline(always)]
pub(crate) fn unlock(_: &Locks, range: &MappedRange, at: usize) {
    let Some(word) = range.half(at) else { return };
    // SYNC POINT: Release pairs with the Acquire of whoever takes the lock next.
    if word.swap(0, Ordering::Release) & WAITERS != 0 {
        wake_sleepers(word, 1);
    }
    ME.get().withdraw();
}

pub(crate) fn wake(_: &Locks, range: &MappedRange, at: usize) {
    if let Some(word) = range.half(at) {
        wake_sleepers(word, ALL);
    }
}

pub(crate) fn park(
    _: &Locks,
    range: &MappedRange,
    at: usize,
    seen: u32,
    at_most: Duration,
) -> Result<bool> {
    let Some(word) = range.half(at) else {
        return Err(Error::new(ErrorKind::ReadOnly, "wait for a change", "").detail(format!(
            "byte {at} is no wake word of this view, or the view is for reading"
        )));
    };
    // SYNC POINT (park). Acquire pairs with the addition of `crate::Locks::wake`. What it has added
    // by now the kernel finds, and does not sleep; what it adds later finds the bit.
    let found = word.fetch_or(WAITERS, Ordering::AcqRel);
    let slept = (found | WAITERS) == (seen | WAITERS);
    if slept {
        sleep(word, seen | WAITERS, at_most);
    }
    Ok(slept)
}

/// Whether the lock word that this thread holds lies in that range of addresses.
pub(crate) fn is_held_within(addresses: Range<usize>) -> bool {
    let me = ME.get();
    if me.pending.is_null() {
        return false;
    }
    // SAFETY: as in `Me::announce`.
    let entry = unsafe { me.pending.read_volatile() };
    !entry.is_null() && addresses.contains(&entry.wrapping_byte_offset(me.offset).addr())
}

// A refusal is boxed: what is inlined with the fast path then carries a pointer and not the
// refusal itself. Lock and unlock took half as long again without.
#[inline]
fn take(word: &Half, timeout: Duration) -> Result<Taken, Box<Refused>> {
    let mut me = ME.get();
    // After fork the child has another thread id, and its kernel another list head or none.
    if me.generation != machine::known_generation() {
        me = introduce().map_err(Refused::Failed)?;
    }
    me.announce(word);
    // SYNC POINT: Acquire pairs with the Release of `unlock` and `unmark`. Relaxed on failure:
    // the value is only compared.
    match word.compare_exchange(0, me.tid, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Ok(Taken::Clean),
        Err(found) => contended(me, word, found, timeout),
    }
}

impl Me {
    /// Has the kernel look at this word should the thread end.
    #[inline]
    fn announce(self, word: &Half) {
        debug_assert!(self.is_withdrawn(), "a thread holds one lock at a time");
        let word = ptr::from_ref(word).cast_mut().cast::<c_void>();
        let entry = word.wrapping_byte_offset(self.offset.wrapping_neg());
        // SAFETY: `pending` is a field of this thread's list head, which lives as long as the
        // thread (see `introduce`), and only this thread and the kernel, when the thread has
        // ended, look at it. Volatile: the kernel's look is no access that the compiler knows of.
        unsafe { self.pending.write_volatile(entry) };
        // Not to be moved behind the compare-and-swap. The kernel looks from this very thread, so
        // the processor keeps the order.
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends what `announce` began.
    #[inline]
    fn withdraw(self) {
        if self.pending.is_null() {
            return;
        }
        // Not to be moved before the unlock and its wake.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as in `announce`.
        unsafe { self.pending.write_volatile(ptr::null_mut()) };
    }

    fn is_withdrawn(self) -> bool {
        // SAFETY: as in `announce`.
        unsafe { self.pending.read_volatile() }.is_null()
    }
}

/// Asks the kernel for this thread's list head, and gives it one where it has none (the C library
/// musl registers one only when a robust mutex is first used).
#[cold]
#[inline(never)]
fn introduce() -> Result<Me> {
    let generation = machine::generation();
    let mut head = known()?;
    if head.is_null() {
        register()?;
        head = known()?;
    }
    if head.is_null() {
        return Err(without(Errno::NOSYS));
    }
    // SAFETY: the head that the kernel knows for this thread was registered by the C library, or
    // by `register`, to live as long as the thread; the field is a plain number that does not
    // change after that.
    let offset = unsafe { (*head).futex_offset };
    // SAFETY: as above; the place is within the head.
    let pending = unsafe { &raw mut (*head).pending };
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    let me = Me { pending, offset: offset as isize, tid, generation };
    ME.set(me);
    Ok(me)
}

fn without(errno: Errno) -> Error {
    cvt(errno).during("make locks", "").detail(
        "this kernel does not offer robust lists (get_robust_list), by which locks survive their holder; allow the call in the sandbox",
    )
}

/// The head that the kernel knows for this thread.
fn known() -> Result<*mut Head> {
    let mut head: *mut Head = ptr::null_mut();
    let mut len: libc::size_t = 0;
    // SAFETY: the kernel writes one pointer and one size through the two pointers, which are valid
    // across the call; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    let error = std::io::Error::last_os_error();
    if done == 0 && (head.is_null() || len == size_of::<Head>()) {
        Ok(head)
    } else {
        Err(without(Errno::from_io_error(&error).unwrap_or(Errno::NOSYS)))
    }
}

/// A list head of ours, known to the kernel until it is dropped.
struct Own(*mut Head);

fn register() -> Result<()> {
    let head = Box::into_raw(Box::new(Head {
        next: ptr::null_mut(),
        futex_offset: 0,
        pending: ptr::null_mut(),
    }));
    // SAFETY: the head was just made and nobody else knows it. A list is empty that leads to
    // itself.
    unsafe { (*head).next = head.cast() };
    // SAFETY: the head is of the form and size that the kernel asks for, and stays where it is
    // until `Own` is dropped, which has the kernel forget it first.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) };
    let own = Own(head);
    if done != 0 {
        let error = std::io::Error::last_os_error();
        return Err(without(Errno::from_io_error(&error).unwrap_or(Errno::NOSYS)));
    }
    // While thread-local values are being dropped there is no place to keep it: it is leaked then.
    let mut own = Some(own);
    let _ = OWN.try_with(|place| {
        if let Ok(mut place) = place.try_borrow_mut() {
            // One of the parent's process, if any, stays: dropping it would make the kernel forget
            // the new one.
            std::mem::forget(place.replace(own.take()?));
        }
        Some(())
    });
    std::mem::forget(own);
    Ok(())
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: the head lives until the end of this function, and the place is within it.
        let pending = unsafe { &raw const (*self.0).pending };
        // SAFETY: as above; see `Me::announce` for who else looks at it, and why volatile.
        let pending = unsafe { pending.read_volatile() };
        if !pending.is_null() {
            // The thread ends while it holds a lock. The kernel is to see it: leaked.
            return;
        }
        let none: *mut Head = ptr::null_mut();
        // SAFETY: tells the kernel that this thread has no list. It writes nothing.
        let done = unsafe { libc::syscall(libc::SYS_set_robust_list, none, size_of::<Head>()) };
        ME.set(NOBODY);
        if done == 0 {
            // SAFETY: made by `Box::into_raw` in `register`, and freed only here; the kernel has
            // forgotten it, and `ME` no longer leads to it.
            drop(unsafe { Box::from_raw(self.0) });
        }
    }
}

#[cold]
fn misplaced(at: usize) -> Refused {
    Refused::Failed(Error::new(ErrorKind::InvalidArgument, "lock word", format!("at byte {at}")).detail(
        "it is not within the view, not a multiple of 4, or the view is for reading; map the view with Access::ReadWrite",
    ))
}

/// The lock was not free at the first look, where `found` stood.
#[cold]
#[inline(never)]
fn contended(me: Me, word: &Half, found: u32, timeout: Duration) -> Result<Taken, Box<Refused>> {
    let deadline = Instant::now().checked_add(timeout);
    let mut found = found;
    let mut spins = SPINS;
    // Whether this thread has slept, and so may have used up a wake that was meant for any one of
    // the sleepers. It then keeps `WAITERS` set for the others, whatever becomes of it.
    let mut slept = false;
    loop {
        let owner = found & OWNER;
        if owner == 0 {
            let mine = me.tid | found & WAITERS | if slept { WAITERS } else { 0 };
            // SYNC POINT: as in `lock`; and with the kernel's change of the word at a death, which
            // comes after all that the dead thread wrote.
            match word.compare_exchange(found, mine, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if found & DIED != 0 => return Ok(Taken::Recovered),
                Ok(_) => return Ok(Taken::Clean),
                Err(now) => found = now,
            }
            continue;
        }
        if owner >= FIRST_MARK {
            if slept {
                // They are to see the mark too.
                wake_sleepers(word, ALL);
            }
            me.withdraw();
            return Err(Box::new(Refused::Marked(owner)));
        }
        if spins > 0 {
            spins -= 1;
            std::hint::spin_loop();
            found = word.load(Ordering::Relaxed);
            continue;
        }
        let left =
            deadline.map_or(NAP, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() && !slept {
            break;
        }
        if found & WAITERS == 0 {
            let told = found | WAITERS;
            // Relaxed: the bit guards nothing; the kernel compares the word again before the
            // thread sleeps.
            match word.compare_exchange(found, told, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => found = told,
                Err(now) => {
                    found = now;
                    continue;
                }
            }
        }
        if left.is_zero() {
            break;
        }
        sleep(word, found, left.min(NAP));
        slept = true;
        found = word.load(Ordering::Relaxed);
    }
    me.withdraw();
    Err(Box::new(Refused::TimedOut(holder(found & OWNER))))
}

/// Sleeps while `value` stands in the word, at most so long.
fn sleep(word: &Half, value: u32, at_most: Duration) {
    let Ok(at_most) = Timespec::try_from(at_most) else { return };
    match futex::wait(word, futex::Flags::empty(), value, Some(&at_most)) {
        // Woken, changed before, timed out, a signal: the caller looks again in any case.
        Ok(()) | Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR) => {}
        // A sandbox without futexes: looked at now and then.
        Err(_) => machine::nap(Duration::from_millis(1)),
    }
}

const ALL: u32 = i32::MAX.cast_unsigned();

#[cold]
fn wake_sleepers(word: &Half, count: u32) {
    // Shared between processes: not `PRIVATE`. Fails only where nobody can sleep either.
    let _ = futex::wake(word, futex::Flags::empty(), count);
}

/// Who has this thread id, for a message. Nobody, where it is forged, or of another namespace.
fn holder(tid: u32) -> Option<Holder> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    Some(Holder::new(pid).with_program(machine::program(pid)))
}
