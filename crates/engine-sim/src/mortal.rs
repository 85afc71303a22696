//! A region whose processes die when a test says so. At a chosen store, lock or unlock the thread
//! unwinds, and its locks are left as the kernel leaves them.

use crate::heap::{Heap, HeapWords};
use mapvar_engine::mem::{Load, Mem, Ordering, StoreWords, seat_bits};
use mapvar_engine::{error::EngineError, layout::seat};
use mapvar_os::{Locks, Refused, Taken};
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

/// The state that all processes share: the words, and the kernel's knowledge.
#[derive(Debug)]
pub struct Shared {
    heap: Heap,
    kernel: Mutex<Kernel>,
}

#[derive(Debug, Default)]
struct Kernel {
    /// Current size of the region in bytes.
    size: u64,
    /// Lock words that are not 0.
    locks: HashMap<u64, LockState>,
    /// How often each wake word was woken.
    wakes: HashMap<u64, u32>,
    /// Seats of living processes.
    seats: HashSet<usize>,
    /// Processes so far.
    born: u64,
    /// Old values of stored words, newest last.
    undo: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockState {
    By(usize),
    Died,
    Marked(u32),
}

/// A state to which a region can be reset.
#[derive(Clone, Debug)]
pub struct Point {
    undo: usize,
    size: u64,
    locks: HashMap<u64, LockState>,
}

impl Shared {
    /// Creates a region that may grow to `bytes` bytes, with `size` bytes at first.
    pub fn new(bytes: usize, size: u64) -> Arc<Self> {
        let kernel = Mutex::new(Kernel { size, ..Kernel::default() });
        Arc::new(Self { heap: Heap::new(bytes), kernel })
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a process in seat `seat`, which lives until a test lets it die.
    pub fn process(self: &Arc<Self>, seat: usize) -> Mortal {
        let mut kernel = self.kernel();
        kernel.seats.insert(seat);
        kernel.born += 1;
        let token = (seat as u64) << 56 | kernel.born << 8 | 1;
        let mapped = Mutex::new(kernel.size);
        Mortal {
            shared: Arc::clone(self),
            seat,
            token,
            mapped,
            left: Mutex::new(None),
            loads_are_steps: AtomicBool::new(false),
            meanwhile: Mutex::new(None),
        }
    }

    /// Returns the current state of the region and of the kernel.
    pub fn point(&self) -> Point {
        let kernel = self.kernel();
        Point { undo: kernel.undo.len(), size: kernel.size, locks: kernel.locks.clone() }
    }

    /// Resets everything to `point`; afterwards no process is there.
    pub fn back_to(&self, point: &Point) {
        let mut kernel = self.kernel();
        while kernel.undo.len() > point.undo {
            if let Some((at, word)) = kernel.undo.pop()
                && let Some(words) = self.heap.words_mut(at, 1)
            {
                words.store(0, word, Ordering::Relaxed);
            }
        }
        kernel.size = point.size;
        kernel.locks.clone_from(&point.locks);
        kernel.wakes.clear();
        kernel.seats.clear();
    }

    /// Returns how often a wake word was woken.
    pub fn wakes(&self, at: u64) -> u32 {
        self.kernel().wakes.get(&at).copied().unwrap_or(0)
    }

    /// Returns the number of lock words that bear a mark or have a living owner.
    pub fn taken_locks(&self) -> usize {
        self.kernel().locks.values().filter(|held| **held != LockState::Died).count()
    }

    fn die(&self, seat: usize) {
        let mut kernel = self.kernel();
        kernel.seats.remove(&seat);
        for held in kernel.locks.values_mut() {
            if *held == LockState::By(seat) {
                *held = LockState::Died;
            }
        }
    }
}

/// A process, as a region sees it.
#[derive(Debug)]
pub struct Mortal {
    shared: Arc<Shared>,
    seat: usize,
    token: u64,
    /// Bytes that it has mapped.
    mapped: Mutex<u64>,
    /// Steps until it dies: stores that change something, locks, wakes and unlocks. `None` = it
    /// lives on.
    left: Mutex<Option<u64>>,
    /// Whether loads are steps too.
    loads_are_steps: AtomicBool,
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// Work of other processes, done before a lock or a step of this one.
struct Meanwhile {
    /// Done before this lock is taken; `None` = before any step.
    lock: Option<u64>,
    /// How many such moments pass before the work is done.
    times: u64,
    work: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meanwhile").field("lock", &self.lock).finish_non_exhaustive()
    }
}

/// The panic payload of a dying thread.
struct Death;

thread_local! {
    /// Set while a dying thread unwinds: stores by its destructors do not reach the region.
    static DYING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; returns `None` if its process died.
pub fn to_its_end<R>(work: impl FnOnce() -> R) -> Option<R> {
    let done = catch_unwind(AssertUnwindSafe(work));
    DYING.set(false);
    match done {
        Ok(done) => Some(done),
        Err(payload) if payload.is::<Death>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

impl Mortal {
    /// Lets the process die at step `steps`, counted from 0.
    pub fn dies_at(&self, steps: u64) {
        *self.left() = Some(steps);
    }

    /// Lets other processes do `work` before this one takes `lock`, after `times` earlier times.
    pub fn before_lock(&self, lock: u64, times: u64, work: impl FnOnce() + Send + 'static) {
        *self.meanwhile() = Some(Meanwhile { lock: Some(lock), times, work: Box::new(work) });
    }

    /// Lets other processes do `work` before step `times`, counted from 0. With `loads_are_steps`,
    /// loads are steps too.
    pub fn before_step(
        &self,
        times: u64,
        loads_are_steps: bool,
        work: impl FnOnce() + Send + 'static,
    ) {
        *self.meanwhile() = Some(Meanwhile { lock: None, times, work: Box::new(work) });
        self.loads_are_steps.store(loads_are_steps, Ordering::Relaxed);
    }

    /// Returns whether the work of other processes is done, or none was registered.
    pub fn others_are_done(&self) -> bool {
        self.meanwhile().is_none()
    }

    fn meanwhile(&self) -> MutexGuard<'_, Option<Meanwhile>> {
        self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_others_work(&self, at: Option<u64>) {
        let mut waiting = self.meanwhile();
        let now = match &mut *waiting {
            Some(meanwhile) if meanwhile.lock == at => {
                meanwhile.times = meanwhile.times.wrapping_sub(1);
                meanwhile.times == u64::MAX
            }
            _ => false,
        };
        let meanwhile = if now { waiting.take() } else { None };
        drop(waiting);
        if let Some(Meanwhile { work, .. }) = meanwhile {
            work();
        }
    }

    fn left(&self) -> MutexGuard<'_, Option<u64>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a step; returns false if the process is already dead.
    fn step(&self) -> bool {
        if DYING.get() {
            return false;
        }
        self.let_others_work(None);
        let mut left = self.left();
        match *left {
            Some(0) => {
                drop(left);
                self.shared.die(self.seat);
                DYING.set(true);
                // `resume_unwind` skips the panic hook: a death is no failure, and there are
                // thousands.
                resume_unwind(Box::new(Death));
            }
            Some(more) => *left = Some(more - 1),
            None => {}
        }
        true
    }

    fn mapped(&self) -> u64 {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, at: u64, count: usize) -> Option<HeapWords<'_>> {
        let end = at.checked_add((count as u64).checked_mul(8)?)?;
        (end <= self.mapped() || self.reach(end)).then(|| self.shared.heap.words_mut(at, count))?
    }
}

/// A range of words, accessed by one process.
#[derive(Clone, Copy, Debug)]
pub struct MortalWords<'a> {
    process: &'a Mortal,
    words: HeapWords<'a>,
    at: u64,
}

impl MortalWords<'_> {
    /// A store that changes nothing is no step: a death before it leaves the same as one after.
    fn change(self, at: usize, change: impl Fn(u64) -> u64, order: Ordering) -> u64 {
        let found = self.words.load(at, Ordering::Relaxed);
        if found == change(found) || !self.process.step() {
            return found;
        }
        // Reloaded: other processes may have worked before this step.
        let old = self.words.load(at, Ordering::Relaxed);
        let order = if order == Ordering::Relaxed { order } else { Ordering::Release };
        self.process.shared.kernel().undo.push((self.at + at as u64 * 8, old));
        self.words.store(at, change(old), order);
        old
    }
}

impl Load for MortalWords<'_> {
    fn load(self, at: usize, order: Ordering) -> u64 {
        if self.process.loads_are_steps.load(Ordering::Relaxed) && !DYING.get() {
            self.process.let_others_work(None);
        }
        self.words.load(at, order)
    }
}

impl StoreWords for MortalWords<'_> {
    fn store(self, at: usize, value: u64, order: Ordering) {
        self.change(at, |_| value, order);
    }

    /// Copies in two steps; more steps would show nothing new.
    fn copy_from(self, from: &[u8]) {
        let halves = from.split_at(from.len() / 16 * 8);
        for (first, half) in [(0, halves.0), (halves.0.len() / 8, halves.1)] {
            if half.is_empty() || !self.process.step() {
                continue;
            }
            let mut kernel = self.process.shared.kernel();
            for (number, bytes) in half.chunks(8).enumerate() {
                let at = first + number;
                let word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
                kernel.undo.push((self.at + at as u64 * 8, self.words.load(at, Ordering::Relaxed)));
                self.words.store(at, word, Ordering::Relaxed);
            }
        }
    }

    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.change(at, |_| value, order)
    }

    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.change(at, |old| old.wrapping_add(value), order)
    }

    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.change(at, |old| old & value, order)
    }

    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        self.change(at, |old| old | value, order)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        let swap = |found| if found == old { new } else { found };
        let found = self.change(at, swap, Ordering::SeqCst);
        if found == old { Ok(found) } else { Err(found) }
    }
}

impl Mem for Mortal {
    type Words<'a> = MortalWords<'a>;
    type WordsMut<'a> = MortalWords<'a>;

    fn size(&self) -> u64 {
        self.mapped()
    }

    fn words(&self, at: u64, count: usize) -> Option<MortalWords<'_>> {
        self.range(at, count).map(|words| MortalWords { process: self, words, at })
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<MortalWords<'_>> {
        self.words(at, count)
    }

    fn reach(&self, bytes: u64) -> bool {
        let there = bytes <= self.shared.kernel().size;
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        if there {
            *mapped = bytes.max(*mapped);
        }
        there
    }

    fn limit(&self) -> u64 {
        self.shared.heap.size()
    }

    fn grow(&self, bytes: u64) -> Result<(), EngineError> {
        if bytes > self.limit() {
            return Err(EngineError::Full { needed: bytes, free: 0 });
        }
        if self.step() {
            let mut kernel = self.shared.kernel();
            kernel.size = bytes.max(kernel.size);
        }
        self.reach(bytes);
        Ok(())
    }

    fn seat(&self) -> Result<u64, EngineError> {
        let token = self.token;
        if let Some(words) = self.words_mut(seat::at(self.seat), seat::WORDS)
            && words.load(seat::TOKEN, Ordering::Relaxed) != token
        {
            words.store(seat::PIN, 0, Ordering::SeqCst);
            words.store(seat::TOKEN, 0, Ordering::SeqCst);
            seat_bits::lose(self, self.seat)?;
            words.store(seat::TOKEN, token, Ordering::SeqCst);
        }
        Ok(token)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        // The asking process takes its own seat first.
        let _ = self.seat();
        self.shared.kernel().seats.contains(&number)
    }

    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }

    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.step();
        self.let_others_work(Some(at));
        let mut kernel = self.shared.kernel();
        match kernel.locks.get(&at).copied() {
            Some(LockState::Marked(mark)) => Err(Refused::Marked(mark)),
            // One thread runs at a time: no other thread could release the lock.
            Some(LockState::By(_)) => Err(Refused::TimedOut(None)),
            found => {
                kernel.locks.insert(at, LockState::By(self.seat));
                Ok(if found.is_some() { Taken::Recovered } else { Taken::Clean })
            }
        }
    }

    fn unlock(&self, at: u64) {
        self.reset(at);
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.step();
        let mut kernel = self.shared.kernel();
        match kernel.locks.get(&at).copied() {
            Some(LockState::Marked(mark)) => Err(mark),
            Some(LockState::By(_)) => Err(1),
            found => {
                kernel.locks.insert(at, LockState::Marked(mark));
                Ok(if found.is_some() { Taken::Recovered } else { Taken::Clean })
            }
        }
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.shared.kernel().locks.get(&at) == Some(&LockState::Marked(mark))
    }

    fn is_held(&self, at: u64) -> bool {
        self.step();
        let kernel = self.shared.kernel();
        matches!(kernel.locks.get(&at), Some(LockState::By(_) | LockState::Marked(_)))
    }

    fn unmark(&self, at: u64) {
        debug_assert!(self.is_marked(at, Locks::MARK_L) || self.is_marked(at, Locks::MARK_T));
        self.reset(at);
    }

    fn wake(&self, at: u64) {
        if self.step() {
            *self.shared.kernel().wakes.entry(at).or_insert(0) += 1;
        }
    }

    fn reset(&self, at: u64) {
        if self.step() {
            self.shared.kernel().locks.remove(&at);
        }
    }
}
