//! Linux: the kernel's robust list, of which only the entry `list_op_pending` is used.
//!
//! A thread registers the address of its list head with the kernel once (the C library does so for
//! each thread). When the thread ends in any way, also by `exec`, the kernel reads the word that
//! the head names as pending, and acts on its owner bits:
//!
//! | owner in the word | the kernel |
//! | --- | --- |
//! | this thread | sets `DIED`, clears the owner, keeps `WAITERS`, wakes one sleeper |
//! | none | wakes one sleeper: the thread was about to do so after its unlock, or had just been woken itself |
//! | another thread | does nothing |
//!
//! So the entry names the word from before the first compare-and-swap until after the unlock and
//! its wake. Until then the memory of the word stays mapped, whatever happens to its view: see
//! `holders.rs`. No pointer lies in shared memory: the head belongs to the thread. The locks on the
//! list itself (robust pthread mutexes) and these locks do not disturb each other, as long as the
//! thread uses no such mutex between `lock` and `unlock`: a thread has only one pending entry.
//!
//! Every sleep is bounded, because three wakes can still be lost. One is the wake of a sleeper that
//! is killed after another thread took the lock that it was woken for. One is that which `mark` does
//! not send. The third is that of a thread that sets `WAITERS` after the owner has looked for it and
//! before it frees the word: the owner frees it by a store, which takes the bit away. Such a thread
//! rarely sleeps at all, since the kernel compares the word first, and the call takes longer than
//! the store. If it does, it naps for `FIRST_NAP` and looks again.

#![allow(unsafe_code, reason = "the list head is memory that the kernel reads")]
#![allow(clippy::inline_always, reason = "as in `crate::Locks`")]

use super::{
    super::{error::cvt, machine},
    holders::{self, Holder as Place},
};
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
    sync::atomic::{AtomicBool, Ordering, compiler_fence},
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

/// The data that this thread needs to take a lock.
#[derive(Clone, Copy)]
struct Me {
    /// The field `list_op_pending` of the head that is registered for this thread.
    pending: *mut *mut c_void,
    /// The distance from an entry of the list to its word.
    offset: isize,
    tid: u32,
    /// The process for which this data is valid.
    generation: u32,
    /// Where this thread repeats the address in `pending`. `None` if `pending` is null.
    place: Option<&'static Place>,
}

/// The data of a thread that is not identified yet. No process has that generation. It differs from
/// 0 too, which `known_generation` returns before the first call of `generation`.
const UNIDENTIFIED: Me =
    Me { pending: ptr::null_mut(), offset: 0, tid: 0, generation: u32::MAX, place: None };

thread_local! {
    static ME: Cell<Me> = const { Cell::new(UNIDENTIFIED) };
    /// A head of this crate, for a thread for which no head is registered.
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
    static LEAVING: Leaving = const { Leaving(Cell::new(UNIDENTIFIED)) };
}

/// The longest sleep of a thread before it checks the word again.
const NAP: Duration = Duration::from_millis(100);
/// The longest first sleep. Each further one is twice as long, up to `NAP`.
const FIRST_NAP: Duration = Duration::from_millis(1);
/// How often a thread checks the word before it sleeps: about as long as a short critical section.
const SPINS: u32 = 100;

/// Fails early, and not at the first lock, if the kernel has no robust lists.
pub(crate) fn locks(spec: &LockSpec) -> Result<Locks> {
    if !spec.reading {
        identify()?;
    }
    Ok(Locks(()))
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

/// A word that this thread has taken. The pointer in it makes it `!Send`.
pub(crate) struct Grip<'a> {
    word: &'a Half,
    pending: *mut *mut c_void,
    place: &'static Place,
}

impl Drop for Grip<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        free(self.word);
        withdraw(self.pending, self.place);
    }
}

#[inline(always)]
pub(crate) fn try_grip(word: &Half) -> Option<Grip<'_>> {
    let me = ME.get();
    if me.generation != machine::known_generation() {
        return None;
    }
    let place = me.place?;
    me.announce(word);
    // SYNC POINT: as in `take`.
    if word.compare_exchange(0, me.tid, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        return Some(Grip { word, pending: me.pending, place });
    }
    withdraw(me.pending, place);
    None
}

#[inline(always)]
pub(crate) fn try_lock(_: &Locks, range: &MappedRange, at: usize) -> bool {
    let grip = range.half(at).and_then(try_grip);
    // Kept until `unlock`.
    let taken = grip.is_some();
    std::mem::forget(grip);
    taken
}

#[inline(always)]
pub(crate) fn unlock(_: &Locks, range: &MappedRange, at: usize) {
    if let Some(word) = range.half(at) {
        free(word);
        ME.get().withdraw();
    }
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
    // SYNC POINT (park). Acquire pairs with the addition of `crate::Locks::wake`. If the addition
    // came earlier, the kernel finds another value and does not sleep; if it comes later, `wake`
    // finds the bit.
    let found = word.fetch_or(WAITERS, Ordering::AcqRel);
    let slept = (found | WAITERS) == (seen | WAITERS);
    if slept {
        sleep(word, seen | WAITERS, at_most);
    }
    Ok(slept)
}

/// Returns whether a thread of this process has announced a lock word in that range of addresses, so
/// that the range must stay mapped. No thread may be using the range.
pub(crate) fn is_held_within(addresses: &Range<usize>) -> bool {
    holders::is_any_within(addresses)
}

// A refusal is boxed, so that the inlined fast path carries a pointer and not the refusal itself.
// Without it, lock and unlock took half as long again.
#[inline]
fn take(word: &Half, timeout: Duration) -> Result<Taken, Box<Refused>> {
    let mut me = ME.get();
    // After fork the child has another thread id, and the kernel has another list head for it, or
    // none.
    if me.generation != machine::known_generation() {
        me = identify().map_err(Refused::Failed)?;
    }
    me.announce(word);
    // SYNC POINT: Acquire pairs with the Release of `unlock` and `unmark`. Relaxed on failure: the
    // value is only compared.
    match word.compare_exchange(0, me.tid, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Ok(Taken::Clean),
        Err(found) => contended(me, word, found, timeout),
    }
}

impl Me {
    /// Makes the kernel check this word if the thread ends.
    #[inline]
    fn announce(self, word: &Half) {
        debug_assert!(self.is_withdrawn(), "a thread holds one lock at a time");
        let word = ptr::from_ref(word).cast_mut().cast::<c_void>();
        if let Some(place) = self.place {
            place.set(word.addr());
        }
        let entry = word.wrapping_byte_offset(self.offset.wrapping_neg());
        // SAFETY: `pending` is a field of this thread's list head, which lives as long as the
        // thread (see `identify`). Only this thread accesses it, and the kernel when the thread
        // has ended. Volatile: the compiler does not know of the kernel's read.
        unsafe { self.pending.write_volatile(entry) };
        // The compiler must not move the write behind the compare-and-swap. The kernel reads on
        // this very thread, so the processor keeps the order.
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends the effect of `announce`.
    #[inline]
    fn withdraw(self) {
        if let Some(place) = self.place {
            withdraw(self.pending, place);
        }
    }

    fn is_withdrawn(self) -> bool {
        // SAFETY: as in `announce`.
        unsafe { self.pending.read_volatile() }.is_null()
    }
}

/// Frees a lock word of this thread.
#[inline(always)]
fn free(word: &Half) {
    // SYNC POINT: Release pairs with the Acquire of the thread that takes the lock next (`take`).
    // A store if no thread waits: a swap would take as long as all else between lock and unlock.
    // While a thread owns the word, others change no more of it than `WAITERS`.
    if word.load(Ordering::Relaxed) & WAITERS == 0 {
        word.store(0, Ordering::Release);
    } else {
        word.swap(0, Ordering::Release);
        wake_sleepers(word, 1);
    }
}

/// Ends the effect of `Me::announce`, of this thread.
#[inline(always)]
fn withdraw(pending: *mut *mut c_void, place: &Place) {
    // The compiler must not move the write before the unlock and its wake.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: as in `announce`. This is the thread whose field it is: `Me` is a thread-local value,
    // and a `Grip` is not `Send`.
    unsafe { pending.write_volatile(ptr::null_mut()) };
    place.clear();
}

/// Asks the kernel for this thread's list head, and registers one if there is none (the C library
/// musl registers one only when the thread first uses a robust mutex).
#[cold]
#[inline(never)]
fn identify() -> Result<Me> {
    let generation = machine::generation();
    let mut head = registered()?;
    if head.is_null() {
        register()?;
        head = registered()?;
    }
    if head.is_null() {
        return Err(unavailable(Errno::NOSYS));
    }
    // SAFETY: the head that the kernel knows for this thread was registered by the C library, or by
    // `register`, and lives as long as the thread. The field is a plain number that does not change
    // after the registration.
    let offset = unsafe { (*head).futex_offset };
    // SAFETY: as above; the field lies within the head.
    let pending = unsafe { &raw mut (*head).pending };
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    watch_forks()?;
    let place = Place::of(generation, tid);
    let me = Me { pending, offset: offset as isize, tid, generation, place: Some(place) };
    ME.set(me);
    if LEAVING.try_with(|leaving| leaving.0.set(me)).is_err() {
        // This thread is ending, and its values are being dropped.
        place.leave(generation, tid);
    }
    Ok(me)
}

/// Gives a thread's place back when the thread ends.
struct Leaving(Cell<Me>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let me = self.0.get();
        // If the thread still owns a lock, its place and `ME` stay as they are.
        if me.place.is_some_and(|place| place.give_back(me.generation, me.tid)) {
            ME.set(UNIDENTIFIED);
        }
    }
}

/// Makes each child of `fork` forget what its thread has announced in the parent. The parent's word
/// is not the child's, and the child may unmap the memory.
fn watch_forks() -> Result<()> {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Two threads may both do this, since a lock could be taken while another thread forks. The
    // second call of the handler then finds nothing to do.
    // SAFETY: as in `machine::watch_forks`. The handler only accesses data of its own thread.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    if failed != 0 {
        return Err(cvt(Errno::NOMEM).during("make locks", ""));
    }
    WATCHED.store(true, Ordering::Relaxed);
    Ok(())
}

extern "C" fn forked() {
    ME.get().withdraw();
    ME.set(UNIDENTIFIED);
}

fn unavailable(errno: Errno) -> Error {
    cvt(errno).during("make locks", "").detail(
        "this kernel does not offer robust lists (get_robust_list), by which locks survive their holder; allow the call in the sandbox",
    )
}

/// Returns the head that is registered for this thread; null if there is none.
fn registered() -> Result<*mut Head> {
    let mut head: *mut Head = ptr::null_mut();
    let mut len: libc::size_t = 0;
    // SAFETY: the kernel writes one pointer and one size through the two pointers, which are valid
    // across the call; 0 means the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    let error = std::io::Error::last_os_error();
    if done == 0 && (head.is_null() || len == size_of::<Head>()) {
        Ok(head)
    } else {
        Err(unavailable(Errno::from_io_error(&error).unwrap_or(Errno::NOSYS)))
    }
}

/// A list head of this crate, registered with the kernel until it is dropped.
struct Own(*mut Head);

fn register() -> Result<()> {
    let head = Box::into_raw(Box::new(Head {
        next: ptr::null_mut(),
        futex_offset: 0,
        pending: ptr::null_mut(),
    }));
    // SAFETY: the head was just allocated and no other code has its address. (A list whose head
    // points to itself is empty.)
    unsafe { (*head).next = head.cast() };
    // SAFETY: the head has the form and size that the kernel asks for. It stays at its address
    // until `Own` is dropped, which first makes the kernel forget it.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) };
    let own = Own(head);
    if done != 0 {
        let error = std::io::Error::last_os_error();
        return Err(unavailable(Errno::from_io_error(&error).unwrap_or(Errno::NOSYS)));
    }
    // While thread-local values are being dropped there is no place to keep the head: then it is
    // leaked.
    let mut own = Some(own);
    let _ = OWN.try_with(|place| {
        if let Ok(mut place) = place.try_borrow_mut() {
            // A head of the parent process, if any, is leaked: dropping it would make the kernel
            // forget the new one.
            std::mem::forget(place.replace(own.take()?));
        }
        Some(())
    });
    std::mem::forget(own);
    Ok(())
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: the head lives until the end of this function, and the field lies within it.
        let pending = unsafe { &raw const (*self.0).pending };
        // SAFETY: as above. `Me::announce` says which other code accesses the field, and why
        // volatile.
        let pending = unsafe { pending.read_volatile() };
        if !pending.is_null() {
            // The thread ends while it holds a lock. The kernel must see the head, so it is leaked.
            return;
        }
        let none: *mut Head = ptr::null_mut();
        // SAFETY: registers with the kernel that this thread has no list. The call writes nothing.
        let done = unsafe { libc::syscall(libc::SYS_set_robust_list, none, size_of::<Head>()) };
        ME.set(UNIDENTIFIED);
        if done == 0 {
            // SAFETY: allocated by `Box::into_raw` in `register`, and freed only here. The kernel
            // has forgotten the head, and `ME` no longer leads to it.
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

/// Takes a lock that was not free at the first attempt, which read `found`.
#[cold]
#[inline(never)]
fn contended(me: Me, word: &Half, found: u32, timeout: Duration) -> Result<Taken, Box<Refused>> {
    let deadline = Instant::now().checked_add(timeout);
    let mut found = found;
    let mut spins = SPINS;
    // Whether this thread has slept, and so may have consumed a wake that could have gone to any of
    // the sleepers. It then keeps `WAITERS` set for the others, whether it takes the lock or not.
    let mut slept = false;
    let mut nap = FIRST_NAP;
    loop {
        let owner = found & OWNER;
        if owner == 0 {
            let mine = me.tid | found & WAITERS | if slept { WAITERS } else { 0 };
            // SYNC POINT: as in `take`. The Acquire also pairs with the kernel's change of the word
            // at a death, which comes after all writes of the dead thread.
            match word.compare_exchange(found, mine, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if found & DIED != 0 => return Ok(Taken::Recovered),
                Ok(_) => return Ok(Taken::Clean),
                Err(now) => found = now,
            }
            continue;
        }
        if owner >= FIRST_MARK {
            if slept {
                // The other sleepers must see the mark too.
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
            let with_waiters = found | WAITERS;
            // Relaxed: the bit guards nothing; the kernel compares the word again before the thread
            // sleeps.
            match word.compare_exchange(found, with_waiters, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    found = with_waiters;
                    nap = FIRST_NAP;
                }
                Err(now) => {
                    found = now;
                    continue;
                }
            }
        }
        if left.is_zero() {
            break;
        }
        sleep(word, found, left.min(nap));
        slept = true;
        nap = NAP.min(nap * 2);
        found = word.load(Ordering::Relaxed);
    }
    me.withdraw();
    Err(Box::new(Refused::TimedOut(holder(found & OWNER))))
}

/// Sleeps while the word has `value`, for `at_most` at the longest.
fn sleep(word: &Half, value: u32, at_most: Duration) {
    let Ok(at_most) = Timespec::try_from(at_most) else { return };
    match futex::wait(word, futex::Flags::empty(), value, Some(&at_most)) {
        // Woken, changed before, timed out, or a signal: the caller checks the word again in any
        // case.
        Ok(()) | Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR) => {}
        // A sandbox without futexes: the caller polls.
        Err(_) => machine::nap(Duration::from_millis(1)),
    }
}

const ALL: u32 = i32::MAX.cast_unsigned();

#[cold]
fn wake_sleepers(word: &Half, count: u32) {
    // The word is shared between processes, so the flags are not `PRIVATE`. The call fails only
    // where no thread can sleep either.
    let _ = futex::wake(word, futex::Flags::empty(), count);
}

/// Returns the owner with this thread id, for a message. `None` if the id is forged, or belongs to
/// another namespace.
fn holder(tid: u32) -> Option<Holder> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    Some(Holder::new(pid).with_program(machine::program(pid)))
}
