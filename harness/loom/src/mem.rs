//! The engine's memory under loom.
//!
//! A region has thousands of words, and loom pays for each. So a model names the words on which its
//! threads race:
//!
//! * *hot* words are loom atomics: loom tries every order of their loads and stores that the
//!   orderings allow;
//! * *cold* words are loom cells: plain values. An access that is not ordered after the last store
//!   by a happens-before relation ends the model with loom's report of a data race;
//! * all others are *fixed*: a store of the present value does nothing, a store of another value
//!   ends the model.
//!
//! A word that is missing from the two lists is thus reported, never passed over.

use crate::{
    setup::Region as Setup,
    words::{On, Place},
};
use loom::{
    cell::Cell,
    sync::{
        Condvar, Mutex as LoomMutex,
        atomic::{AtomicU32, AtomicU64},
    },
};
use mapvar_engine::{
    error::EngineError,
    layout,
    mem::{Load, Mem, Ordering, StoreWords},
    record::wait::BUSY_NAP,
};
use mapvar_os::{Locks, Refused, Taken};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed as Plain},
    },
    time::Duration,
};

/// A kind of access to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Load,
    Store,
    /// A read-modify-write.
    Swap,
    /// A fence. Its word is the one that its thread accessed last.
    Fence,
}

/// An ordering to leave out: the operation becomes relaxed, and a fence does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weak {
    pub op: Op,
    pub on: On,
    pub from: Ordering,
}

impl Weak {
    pub const fn new(op: Op, on: On, from: Ordering) -> Self {
        Self { op, on, from }
    }
}

/// The behavior of one thread, which stands for one process.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    weak: Vec<Weak>,
    /// The step at which it dies, a step being a store or a lock; 0 = it lives.
    dies: usize,
    /// Whether an id of 0 is taken for a valid one.
    zero_is_an_id: bool,
}

impl Ways {
    pub fn weak(mut self, op: Op, on: On, from: Ordering) -> Self {
        self.weak.push(Weak::new(op, on, from));
        self
    }

    pub fn dies(mut self, step: usize) -> Self {
        self.dies = step;
        self
    }

    pub fn zero_is_an_id(mut self) -> Self {
        self.zero_is_an_id = true;
        self
    }
}

/// A plain value that loom checks for races.
#[derive(Debug)]
struct Cold(Cell<u64>);

// SAFETY: all threads of a loom model run on one thread of the system, one at a time. Loom itself
// ends a model in which two of them access the cell without an order between them.
#[allow(unsafe_code, reason = "loom's cell is meant for this, but says so of each use only")]
unsafe impl Sync for Cold {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "as above")]
unsafe impl Send for Cold {}

/// The memory that the threads of one execution share.
#[derive(Debug)]
pub struct Shared {
    setup: Arc<Setup>,
    hot: Vec<AtomicU64>,
    cold: Vec<Cold>,
    locks: Vec<(u64, AtomicU32)>,
    wakes: Vec<(u64, Futex)>,
    /// On which threads sleep that found a variable busy, until its lock is free.
    freed: Futex,
}

/// A wake word, and the kernel's queue of its sleepers.
#[derive(Debug, Default)]
struct Futex {
    word: AtomicU32,
    queue: LoomMutex<()>,
    woken: Condvar,
}

impl Shared {
    pub fn new(setup: &Arc<Setup>) -> Arc<Self> {
        let values = |of: &[usize]| of.iter().map(|at| setup.words[*at]).collect::<Vec<_>>();
        Arc::new(Self {
            hot: values(&setup.hot).into_iter().map(AtomicU64::new).collect(),
            cold: values(&setup.cold).into_iter().map(|word| Cold(Cell::new(word))).collect(),
            locks: setup.locks.iter().map(|at| (*at, AtomicU32::new(0))).collect(),
            wakes: setup.wakes.iter().map(|at| (*at, Futex::default())).collect(),
            freed: Futex::default(),
            setup: Arc::clone(setup),
        })
    }
}

/// The memory as one thread sees it.
#[derive(Debug)]
pub struct LoomMem {
    shared: Arc<Shared>,
    me: u32,
    ways: Ways,
    last: Mutex<On>,
    steps: AtomicUsize,
    dead: AtomicBool,
    held: Mutex<Vec<u64>>,
}

/// As in the product's lock words; greater than any mark.
const DIED: u32 = 0x4000_0000;
/// As in the product's wake words: the word has a sleeper.
const WAITERS: u32 = 0x8000_0000;
/// How often a thread tries for another's lock before it gives up, as after a timeout.
const PATIENCE: usize = 12;

/// The panic payload of a dying thread.
struct Died;

thread_local! {
    /// Number of deaths since the last call of `deaths`.
    static DEATHS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Returns the number of deaths since the last call.
pub fn deaths() -> usize {
    DEATHS.take()
}

impl LoomMem {
    pub fn new(shared: &Arc<Shared>, me: u32, ways: Ways) -> Self {
        Self {
            shared: Arc::clone(shared),
            me,
            ways,
            last: Mutex::new(On::Other),
            steps: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            held: Mutex::default(),
        }
    }

    /// Changes a word that the engine would change only after much other work.
    pub fn poke(&self, at: usize, value: u64) {
        self.store(at, value, Ordering::Relaxed);
    }

    /// Runs `life`; returns `None` if the process died in it. Its locks are then marked as the
    /// kernel marks them.
    pub fn mortal<R>(&self, life: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(life)) {
            Ok(result) => Some(result),
            Err(cause) if (*cause).is::<Died>() => {
                let held = std::mem::take(&mut *self.held());
                for at in held {
                    self.lock_word(at).swap(DIED, Ordering::AcqRel);
                }
                self.tell_freed();
                DEATHS.set(DEATHS.get() + 1);
                None
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    /// Returns whether stores must be skipped: this process is dead and its destructors run, or
    /// loom is taking down a failed model.
    fn over(&self) -> bool {
        self.dead.load(Plain) || std::thread::panicking()
    }

    /// Counts one step that other threads can observe.
    fn step(&self) {
        if self.ways.dies != 0 && self.steps.fetch_add(1, Plain) + 1 == self.ways.dies {
            self.dead.store(true, Plain);
            resume_unwind(Box::new(Died) as Box<dyn Any + Send>);
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_word(&self, at: u64) -> &AtomicU32 {
        let found = self.shared.locks.iter().find(|(place, _)| *place == at);
        &found.unwrap_or_else(|| panic!("FORGOTTEN: the model has no lock at {at:#x}")).1
    }

    /// Returns the wake word at `at`; `None` if the model names none there.
    fn futex(&self, at: u64) -> Option<&Futex> {
        let found = self.shared.wakes.iter().find(|(place, _)| *place == at);
        found.map(|(_, futex)| futex)
    }

    /// Takes a free lock; otherwise returns its owner.
    fn take(&self, at: u64) -> Result<Taken, u32> {
        let taken = self.put_in(at, self.me, On::Lock)?;
        self.held().push(at);
        Ok(taken)
    }

    /// Stores an owner or a mark in a free lock word.
    fn put_in(&self, at: u64, new: u32, on: On) -> Result<Taken, u32> {
        let word = self.lock_word(at);
        let order = self.order(Op::Swap, on, Ordering::Acquire);
        match word.compare_exchange(0, new, order, Ordering::Relaxed) {
            Ok(_) => Ok(Taken::Clean),
            Err(DIED) => {
                word.compare_exchange(DIED, new, order, Ordering::Relaxed).map(|_| Taken::Recovered)
            }
            Err(owner) => Err(owner),
        }
    }

    /// Frees a lock word: by a swap, as the product does on Linux, and for the reason in `store`.
    fn make_free(&self, at: u64, on: On) {
        self.step();
        self.held().retain(|held| *held != at);
        self.lock_word(at).swap(0, self.order(Op::Store, on, Ordering::Release));
        self.tell_freed();
    }

    /// Sleeps until nobody holds the lock word. In the product the thread naps, and looks again.
    pub fn sleep_until_free(&self, at: u64) {
        let mut queue = self.shared.freed.queue.lock().unwrap();
        while self.lock_word(at).load(Ordering::Acquire) & !DIED != 0 {
            queue = self.shared.freed.woken.wait(queue).unwrap();
        }
        drop(queue);
    }

    /// Only where threads sleep at all: each step multiplies the executions.
    fn tell_freed(&self) {
        if !self.shared.wakes.is_empty() {
            let _queue = self.shared.freed.queue.lock().unwrap();
            self.shared.freed.woken.notify_all();
        }
    }

    /// The second half of a wake: the kernel wakes all sleepers.
    fn wake_sleepers(&self, futex: &Futex, order: Ordering) {
        self.step();
        futex.word.fetch_and(!WAITERS, order);
        self.step();
        let _queue = futex.queue.lock().unwrap();
        futex.woken.notify_all();
    }

    /// Returns `order`, or Relaxed if this ordering is left out.
    fn order(&self, op: Op, on: On, order: Ordering) -> Ordering {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = on;
        if self.ways.weak.contains(&Weak::new(op, on, order)) { Ordering::Relaxed } else { order }
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        let on = self.shared.setup.on[at];
        let order = self.order(Op::Load, on, order);
        let value = match self.shared.setup.places[at] {
            Place::Fixed => self.shared.setup.words[at],
            Place::Hot(at) => self.shared.hot[at].load(order),
            Place::Cold(at) => self.shared.cold[at].0.get(),
        };
        if on == On::Id && value == 0 && self.ways.zero_is_an_id { 1 } else { value }
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        if self.over() {
            return;
        }
        let on = self.shared.setup.on[at];
        let order = self.order(Op::Store, on, order);
        match self.shared.setup.places[at] {
            // Loom may order a store before the read-modify-write of another thread that has read
            // the value which the store replaces. C++ forbids that: nothing comes between a
            // read-modify-write and the value that it has read. A swap is such an operation too.
            Place::Hot(at) if on == On::State => {
                self.step();
                self.shared.hot[at].swap(value, order);
            }
            Place::Fixed if matches!(on, On::Ring | On::Turns) => {}
            Place::Fixed => {
                let fixed = self.shared.setup.words[at];
                assert!(
                    value == fixed,
                    "FORGOTTEN: the model stores {value:#x} over {fixed:#x} at {:#x}",
                    at * 8
                );
            }
            Place::Hot(at) => {
                self.step();
                self.shared.hot[at].store(value, order);
            }
            Place::Cold(at) => {
                self.step();
                self.shared.cold[at].0.set(value);
            }
        }
    }

    fn change(
        &self,
        at: usize,
        order: Ordering,
        hot: impl FnOnce(&AtomicU64, Ordering) -> u64,
        cold: impl FnOnce(u64) -> u64,
    ) -> u64 {
        if self.over() {
            return 0;
        }
        let on = self.shared.setup.on[at];
        let order = self.order(Op::Swap, on, order);
        if matches!(on, On::Ring | On::Turns)
            && matches!(self.shared.setup.places[at], Place::Fixed)
        {
            return self.shared.setup.words[at];
        }
        self.step();
        match self.shared.setup.places[at] {
            Place::Fixed => panic!("FORGOTTEN: the model changes {:#x}", at * 8),
            Place::Hot(at) => hot(&self.shared.hot[at], order),
            Place::Cold(at) => {
                let word = &self.shared.cold[at].0;
                word.replace(cold(word.get()))
            }
        }
    }
}

/// A range of a [`LoomMem`].
#[derive(Clone, Copy, Debug)]
pub struct LoomWords<'a> {
    mem: &'a LoomMem,
    first: usize,
    count: usize,
}

impl LoomWords<'_> {
    fn at(self, at: usize) -> usize {
        assert!(at < self.count, "a range of {} words has none at {at}", self.count);
        self.first + at
    }
}

impl Load for LoomWords<'_> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        self.mem.load(self.at(at), order)
    }
}

impl StoreWords for LoomWords<'_> {
    fn store(self, at: usize, value: u64, order: Ordering) {
        self.mem.store(self.at(at), value, order);
    }

    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.mem.change(self.at(at), order, |word, order| word.swap(value, order), |_| value)
    }

    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        let hot = |word: &AtomicU64, order| word.fetch_add(value, order);
        self.mem.change(self.at(at), order, hot, |old| old.wrapping_add(value))
    }

    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        let hot = |word: &AtomicU64, order| word.fetch_and(value, order);
        self.mem.change(self.at(at), order, hot, |old| old & value)
    }

    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        let hot = |word: &AtomicU64, order| word.fetch_or(value, order);
        self.mem.change(self.at(at), order, hot, |old| old | value)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        let hot = |word: &AtomicU64, order| {
            word.compare_exchange(old, new, order, Ordering::SeqCst).unwrap_or_else(|found| found)
        };
        let cold = |found| if found == old { new } else { found };
        let found = self.mem.change(self.at(at), Ordering::SeqCst, hot, cold);
        if found == old { Ok(found) } else { Err(found) }
    }
}

impl Mem for LoomMem {
    type Words<'a> = LoomWords<'a>;
    type WordsMut<'a> = LoomWords<'a>;

    /// One try, then the lock. More tries show nothing new, and each multiplies the executions.
    const ATTEMPTS: usize = 1;

    fn size(&self) -> u64 {
        self.shared.setup.words.len() as u64 * 8
    }

    fn words(&self, at: u64, count: usize) -> Option<LoomWords<'_>> {
        let first = usize::try_from(at).ok().filter(|at| at.is_multiple_of(8))? / 8;
        let within = first.checked_add(count)? <= self.shared.setup.words.len();
        within.then_some(LoomWords { mem: self, first, count })
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<LoomWords<'_>> {
        self.words(at, count)
    }

    fn fence(&self, order: Ordering) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.over() && !self.ways.weak.contains(&Weak::new(Op::Fence, last, order)) {
            loom::sync::atomic::fence(order);
        }
    }

    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.step();
        for _ in 0..PATIENCE {
            match self.take(at) {
                Ok(taken) => return Ok(taken),
                Err(mark) if (Locks::MARK_L..DIED).contains(&mark) => {
                    return Err(Refused::Marked(mark));
                }
                Err(_) => loom::thread::yield_now(),
            }
        }
        Err(Refused::TimedOut(None))
    }

    fn try_lock(&self, at: u64) -> Option<Taken> {
        self.step();
        self.take(at).ok()
    }

    fn unlock(&self, at: u64) {
        if !self.over() {
            self.make_free(at, On::Lock);
        }
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.step();
        self.put_in(at, mark, On::Mark)
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.lock_word(at).load(Ordering::Acquire) == mark
    }

    fn is_held(&self, at: u64) -> bool {
        let order = self.order(Op::Swap, On::Lock, Ordering::AcqRel);
        self.lock_word(at).fetch_add(0, order) & !DIED != 0
    }

    fn unmark(&self, at: u64) {
        if !self.over() {
            self.make_free(at, On::Mark);
        }
    }

    /// Like `mapvar_os::Locks::wake`. Words that a model does not name have no sleepers.
    fn wake(&self, at: u64) {
        let Some(futex) = self.futex(at).filter(|_| !self.over()) else { return };
        self.step();
        let order = self.order(Op::Swap, On::Wake, Ordering::AcqRel);
        if futex.word.fetch_add(1, order) & WAITERS != 0 {
            self.wake_sleepers(futex, order);
        }
    }

    fn force_wake(&self, at: u64) {
        let Some(futex) = self.futex(at).filter(|_| !self.over()) else { return };
        futex.word.fetch_add(1, Ordering::AcqRel);
        self.wake_sleepers(futex, Ordering::AcqRel);
    }

    fn wakes(&self, at: u64) -> Result<u32, EngineError> {
        let futex = self.futex(at).unwrap_or_else(|| panic!("FORGOTTEN: a wake word at {at:#x}"));
        let order = self.order(Op::Load, On::Wake, Ordering::Acquire);
        Ok(futex.word.load(order) & !WAITERS)
    }

    /// Like `mapvar_os::Locks::park` on Linux, but without a timeout: a thread that is not woken
    /// sleeps for ever, which loom reports as a deadlock. Only the nap of a thread that found a
    /// variable busy ends by itself.
    fn park(&self, at: u64, seen: u32, at_most: Duration) -> Result<(), EngineError> {
        if at_most <= BUSY_NAP {
            self.sleep_until_free(at - layout::record::WAKE + layout::record::LOCK);
            return Ok(());
        }
        let futex = self.futex(at).unwrap_or_else(|| panic!("FORGOTTEN: a wake word at {at:#x}"));
        let order = self.order(Op::Swap, On::Wake, Ordering::AcqRel);
        if futex.word.fetch_or(WAITERS, order) | WAITERS == seen | WAITERS {
            // The kernel compares and queues under one lock, which the waking thread takes too.
            let mut queue = futex.queue.lock().unwrap();
            if futex.word.load(Ordering::Relaxed) == seen | WAITERS {
                queue = futex.woken.wait(queue).unwrap();
            }
            drop(queue);
        }
        Ok(())
    }

    /// For a chunk that becomes one of records. The locks of a model's own records are never reset.
    fn reset(&self, at: u64) {
        let known = self.shared.locks.iter().any(|(place, _)| *place == at);
        assert!(!known, "FORGOTTEN: the model resets the lock at {at:#x}");
    }

    fn seat(&self) -> Result<u64, EngineError> {
        Ok(1)
    }

    /// The models have one process.
    fn is_seat_taken(&self, number: usize) -> bool {
        number == 0
    }
}
