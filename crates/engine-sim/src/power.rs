//! A memory with a disk behind it, for power cuts and deaths.
//!
//! A unit is a word, a cache line, a sector or a page. After a power cut the disk has, of each
//! unit, any version since the last completed barrier began, independently of the other units. The
//! same holds for the file's length. After a death the memory stays as it is, and the dead
//! process's locks say that their owner died.

#![allow(missing_debug_implementations, reason = "thousands of words")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "a memory of the tests, where an index that is out of bounds is a fault"
)]

use mapvar_engine::mem::{Load, Mem, Ordering, StoreWords, seat_bits};
use mapvar_engine::{
    error::EngineError,
    layout::{CHUNK, live, record, seat},
};
use mapvar_os::{Error, ErrorKind, Locks, Refused, Taken};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

/// A seeded generator of numbers.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// Returns a number of steps below `bound`, for [`Power::cut_off`].
    pub fn steps(&mut self, bound: u64) -> i64 {
        self.below(bound).cast_signed()
    }
}

/// The reason why a process yields to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The steps granted to it are used up.
    Step,
    /// It waits for another process: for a lock, or in a pause.
    Wait,
    /// It waits for the disk.
    Barrier,
}

/// Lets other processes run; returns false if there is no other process to wait for.
type GiveWay = Box<dyn Fn(&Machine, Turn) -> bool + Send + Sync>;

/// The maximum number of processes of a machine.
pub const PROCESSES: usize = 8;

/// One process of the machine.
struct Process {
    /// Steps until it is cut off, plus one; 0 = never.
    steps: AtomicI64,
    /// Steps from the next barrier until it is cut off, 0 = during that barrier; below 0 = never.
    after_barrier: AtomicI64,
    /// Cut off: it stores nothing any more.
    off: AtomicBool,
    /// How often its seat began anew; each time has another token.
    births: AtomicU64,
    /// Whether it lives and has its seat.
    seated: AtomicBool,
}

impl Process {
    fn new() -> Self {
        Self {
            steps: AtomicI64::new(0),
            after_barrier: AtomicI64::new(-1),
            off: AtomicBool::new(false),
            births: AtomicU64::new(0),
            seated: AtomicBool::new(false),
        }
    }
}

impl Process {
    fn begin_anew(&self) {
        self.off.store(false, Relaxed);
        self.births.fetch_add(1, Relaxed);
        self.seated.store(false, Relaxed);
    }
}

/// The state that work may change, saved to be restored.
pub struct Saved {
    words: Vec<u64>,
    halves: Vec<u32>,
    touched: Vec<u64>,
    lens: Vec<u64>,
    stored: Vec<(u32, u64)>,
}

/// The machine that the processes share.
pub struct Machine {
    words: Vec<AtomicU64>,
    /// The 32-bit words, by offset / 4. They are kept apart, since a word has one access size.
    halves: Vec<AtomicU32>,
    /// Offsets of 32-bit words that may differ from 0.
    touched: Mutex<Vec<u64>>,
    /// Length of the file in bytes, and the lengths that it may have after a power cut.
    len: AtomicU64,
    lens: Mutex<Vec<u64>>,
    /// Stores since the last barrier began, in order: the word and its old value.
    stored: Mutex<Vec<(u32, u64)>>,
    /// By unit: how many of those stores hit it, and how many the disk has; zeros between cuts.
    kept: Mutex<Vec<(u32, u32)>>,
    processes: [Process; PROCESSES],
    /// Loads and stores until other processes run; below 0 = never.
    turn_in: AtomicI64,
    give_way: OnceLock<GiveWay>,
    /// Whether barriers fail.
    pub disk_fails: AtomicBool,
    /// Barriers so far.
    pub barriers: AtomicU64,
    /// Loads so far, roughly.
    pub loads: AtomicU64,
}

const DIED: u32 = 0x4000_0000;
/// How often a process retries a lock: longer than all work of the others takes.
const ROUNDS: u32 = 100_000;

/// The panic payload of a cut, on its way through the engine.
struct Cut;

/// One process of a machine.
#[derive(Clone)]
pub struct Power {
    machine: Arc<Machine>,
    process: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Power {
    /// Creates process 0 of a machine with a file of `bytes` bytes, which can grow a little.
    pub fn new(bytes: usize) -> Self {
        let len = bytes as u64;
        let bytes = bytes + 12 * CHUNK as usize;
        let machine = Machine {
            len: AtomicU64::new(len),
            lens: Mutex::new(vec![len]),
            words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect(),
            halves: (0..bytes / 4).map(|_| AtomicU32::new(0)).collect(),
            touched: Mutex::default(),
            stored: Mutex::default(),
            kept: Mutex::new(vec![(0, 0); bytes / 8 * 2]),
            processes: std::array::from_fn(|_| Process::new()),
            turn_in: AtomicI64::new(-1),
            give_way: OnceLock::new(),
            disk_fails: AtomicBool::new(false),
            barriers: AtomicU64::new(0),
            loads: AtomicU64::new(0),
        };
        Self { machine: Arc::new(machine), process: 0 }
    }

    /// Returns another process of the same machine.
    #[must_use]
    pub fn process(&self, number: usize) -> Self {
        Self { machine: self.machine.clone(), process: number }
    }

    /// Returns the machine that all processes share.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// More steps than any work has.
    const MANY: i64 = 1 << 40;

    /// Returns a step count for [`cut_off`](Self::cut_off): `steps` after the next barrier; 0 =
    /// during it.
    pub fn after_barrier(steps: u64) -> i64 {
        Self::MANY + steps.cast_signed()
    }

    /// Returns the number of steps of `work`, and undoes all its changes.
    pub fn rehearse<R>(&self, work: impl FnOnce() -> R) -> i64 {
        let saved = self.machine.save();
        let left = self.cut_off(Self::MANY - 1, || {
            let _ = work();
            self.me().steps.load(Relaxed)
        });
        self.machine.put_back(saved);
        left.map_or(0, |left| Self::MANY - left)
    }

    /// Runs `work` and cuts it off before step `steps`. If `steps` is below 0, only
    /// [`Machine::cut`] can cut it off. Returns `None` if it was cut off.
    pub fn cut_off<R>(&self, steps: i64, work: impl FnOnce() -> R) -> Option<R> {
        let process = self.me();
        if self.is_off() {
            return None;
        }
        process.after_barrier.store((steps - Self::MANY).max(-1), Relaxed);
        process.steps.store(steps + 1, Relaxed);
        let done = catch_unwind(AssertUnwindSafe(work));
        process.steps.store(0, Relaxed);
        process.after_barrier.store(-1, Relaxed);
        match done {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Cut>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    /// Ends the process, marks its locks as left by the dead, and starts a new process in its seat.
    pub fn die(&self) {
        self.me().begin_anew();
        for at in locked(&self.machine.touched).iter() {
            let half = self.machine.half(*at);
            if half.load(Relaxed) == self.held() {
                half.store(DIED, Relaxed);
            }
        }
    }

    /// Restarts the machine after a power cut, with the content of the disk.
    pub fn restart(&self, random: &mut Random) {
        for process in &self.machine.processes {
            process.begin_anew();
        }
        self.machine.lose(random);
    }

    fn me(&self) -> &Process {
        &self.machine.processes[self.process]
    }

    fn held(&self) -> u32 {
        1 + self.process as u32
    }

    fn is_off(&self) -> bool {
        self.me().off.load(Relaxed)
    }

    /// Counts one step of this process; other processes may act before it.
    fn step(&self) {
        self.machine.count_turn();
        self.end_if_off();
        let left = self.me().steps.load(Relaxed);
        if left == 1 {
            self.me().off.store(true, Relaxed);
            self.end_if_off();
        }
        if left > 1 {
            self.me().steps.store(left - 1, Relaxed);
        }
    }

    fn end_if_off(&self) {
        if self.is_off() {
            resume_unwind(Box::new(Cut));
        }
    }

    fn wait(&self) -> bool {
        let went_on = self.machine.give_way(Turn::Wait);
        self.end_if_off();
        went_on
    }

    fn change(&self, at: usize, new: impl FnOnce(u64) -> u64) -> u64 {
        if self.is_off() {
            return self.machine.words[at].load(Relaxed);
        }
        self.step();
        let word = &self.machine.words[at];
        let old = word.load(Relaxed);
        let new = new(old);
        if new != old {
            locked(&self.machine.stored).push((at as u32, old));
            word.store(new, Relaxed);
        }
        old
    }

    fn put_half(&self, at: u64, value: u32) {
        if self.machine.half(at).swap(value, Relaxed) == 0 {
            locked(&self.machine.touched).push(at);
        }
    }
}

impl Machine {
    /// Registers `give_way`, which lets other processes act. Only the first call takes effect.
    pub fn shared(&self, give_way: impl Fn(&Self, Turn) -> bool + Send + Sync + 'static) {
        let _ = self.give_way.set(Box::new(give_way));
    }

    /// Lets other processes run after `steps` loads and stores; below 0, never.
    pub fn turn_in(&self, steps: i64) {
        self.turn_in.store(steps, Relaxed);
    }

    /// Stops process `number`: it is cut off at its next step.
    pub fn cut(&self, number: usize) {
        self.processes[number].off.store(true, Relaxed);
    }

    /// Saves all of the memory, and the possible contents of the disk.
    pub fn save(&self) -> Saved {
        let len = self.len.load(Relaxed) as usize;
        Saved {
            words: self.words[..len / 8].iter().map(|word| word.load(Relaxed)).collect(),
            halves: self.halves[..len / 4].iter().map(|half| half.load(Relaxed)).collect(),
            touched: locked(&self.touched).clone(),
            lens: locked(&self.lens).clone(),
            stored: locked(&self.stored).clone(),
        }
    }

    /// Restores a saved state.
    pub fn put_back(&self, saved: Saved) {
        let longest = self.len.swap(saved.words.len() as u64 * 8, Relaxed);
        for (at, word) in self.words[..(longest / 8) as usize].iter().enumerate() {
            word.store(saved.words.get(at).copied().unwrap_or(0), Relaxed);
        }
        for (at, half) in self.halves[..(longest / 4) as usize].iter().enumerate() {
            half.store(saved.halves.get(at).copied().unwrap_or(0), Relaxed);
        }
        *locked(&self.touched) = saved.touched;
        *locked(&self.lens) = saved.lens;
        *locked(&self.stored) = saved.stored;
    }

    /// Returns whether the structure lock (L) and the commit lock (T) are free.
    pub fn is_free(&self) -> bool {
        [live::LOCK_L, live::LOCK_T].iter().all(|at| self.half(*at).load(Relaxed) == 0)
    }

    /// Returns the number of stores since the last barrier began.
    pub fn pending(&self) -> usize {
        locked(&self.stored).len()
    }

    fn half(&self, at: u64) -> &AtomicU32 {
        &self.halves[at as usize / 4]
    }

    #[inline]
    fn count_turn(&self) {
        let left = self.turn_in.load(Relaxed);
        if left >= 0 {
            self.turn_in.store(left - 1, Relaxed);
            if left == 0 {
                self.give_way(Turn::Step);
            }
        }
    }

    #[cold]
    fn give_way(&self, turn: Turn) -> bool {
        self.give_way.get().is_some_and(|give_way| give_way(self, turn))
    }

    /// Replaces the memory by one possible content of the disk.
    fn lose(&self, random: &mut Random) {
        // Each unit goes back to an older version, by undoing the last of its stores. In a torn
        // sector each word does so independently.
        let (shift, torn) = match random.below(8) {
            0 | 1 => (0, 0),
            2 => (3, 0),
            3 => (9, 0),
            4 => (6, 1 + random.below(3)),
            _ => (6, 0),
        };
        let style = random.below(6);
        let one_in = [4, 16, 64, 256][random.below(4) as usize];
        let salt = random.below(1 << 32);
        let all = self.words.len();
        let unit = |at: u32| {
            let sector = u64::from(at >> 6);
            if torn > 0 && Random(salt ^ sector << 32).below(4) < torn {
                return at as usize;
            }
            all + (at >> shift) as usize
        };
        let mut stored = std::mem::take(&mut *locked(&self.stored));
        let mut counts = locked(&self.kept);
        let mut units = Vec::new();
        for (at, _) in &stored {
            let count = &mut counts[unit(*at)];
            if count.0 == 0 {
                units.push(unit(*at));
            }
            count.0 += 1;
        }
        for unit in &units {
            let (count, kept) = &mut counts[*unit];
            let any = random.below(u64::from(*count) + 1) as u32;
            let few = random.below(one_in) == 0;
            *kept = match style {
                // Nearly every unit is at its first version, or at its last: the effect of a single
                // exception shows.
                0 if !few => 0,
                1 if !few => *count,
                2 | 3 => [0, *count, any][random.below(3) as usize],
                4 => [0, *count][random.below(2) as usize],
                _ => any,
            };
        }
        while let Some((at, old)) = stored.pop() {
            let (left, kept) = &mut counts[unit(at)];
            if *left > *kept {
                self.words[at as usize].store(old, Relaxed);
            }
            *left -= 1;
        }
        for unit in units {
            counts[unit] = (0, 0);
        }
        drop(counts);
        let mut lens = locked(&self.lens);
        let len = lens[random.below(lens.len() as u64) as usize];
        *lens = vec![len];
        let longest = self.len.swap(len, Relaxed);
        for word in &self.words[(len / 8) as usize..(longest / 8) as usize] {
            word.store(0, Relaxed);
        }
        drop(lens);
        self.forge_locks(random);
    }

    /// Forges lock words: they are words of the region too, and a recovery must not trust them.
    fn forge_locks(&self, random: &mut Random) {
        let mut touched = locked(&self.touched);
        for at in touched.iter() {
            let half = self.half(*at);
            if half.load(Relaxed) == DIED || random.below(50) == 0 {
                half.store(1, Relaxed);
            }
        }
        for _ in 0..60 {
            let line = random.below(self.words.len() as u64 / 8) * 64;
            let at = line + record::LOCK;
            if self.half(at).swap(1, Relaxed) == 0 {
                touched.push(at);
            }
        }
    }
}

/// A range of a [`Power`].
#[derive(Clone, Copy)]
pub struct PowerWords<'a> {
    power: &'a Power,
    first: usize,
    count: usize,
}

impl PowerWords<'_> {
    #[inline]
    fn at(self, at: usize) -> usize {
        assert!(at < self.count, "word {at} of {}", self.count);
        self.first + at
    }
}

impl Load for PowerWords<'_> {
    #[inline]
    fn load(self, at: usize, _: Ordering) -> u64 {
        let machine = self.power.machine();
        machine.loads.store(machine.loads.load(Relaxed) + 1, Relaxed);
        if machine.turn_in.load(Relaxed) >= 0 && !self.power.is_off() {
            machine.count_turn();
            self.power.end_if_off();
        }
        machine.words[self.at(at)].load(Relaxed)
    }
}

impl StoreWords for PowerWords<'_> {
    fn store(self, at: usize, value: u64, _: Ordering) {
        self.power.change(self.at(at), |_| value);
    }

    fn swap(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.power.change(self.at(at), |_| value)
    }

    fn fetch_add(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.power.change(self.at(at), |old| old.wrapping_add(value))
    }

    fn fetch_and(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.power.change(self.at(at), |old| old & value)
    }

    fn fetch_or(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.power.change(self.at(at), |old| old | value)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        let found = self.power.change(self.at(at), |found| if found == old { new } else { found });
        if found == old { Ok(found) } else { Err(found) }
    }
}

impl Mem for Power {
    type Words<'a> = PowerWords<'a>;
    type WordsMut<'a> = PowerWords<'a>;

    fn size(&self) -> u64 {
        self.machine.len.load(Relaxed)
    }

    fn limit(&self) -> u64 {
        self.machine.words.len() as u64 * 8
    }

    fn grow(&self, bytes: u64) -> Result<(), EngineError> {
        self.step();
        if bytes > self.limit() {
            return Err(EngineError::Full { needed: bytes, free: 0 });
        }
        if bytes > self.size() {
            locked(&self.machine.lens).push(bytes);
            self.machine.len.store(bytes, Relaxed);
        }
        Ok(())
    }

    #[inline]
    fn words(&self, at: u64, count: usize) -> Option<PowerWords<'_>> {
        let first = usize::try_from(at).ok().filter(|at| at.is_multiple_of(8))? / 8;
        let within = first.checked_add(count)? <= (self.size() / 8) as usize;
        within.then_some(PowerWords { power: self, first, count })
    }

    #[inline]
    fn words_mut(&self, at: u64, count: usize) -> Option<PowerWords<'_>> {
        self.words(at, count)
    }

    fn fence(&self, _: Ordering) {}

    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.step();
        for _ in 0..ROUNDS {
            match self.machine.half(at).load(Relaxed) {
                found if found == Locks::MARK_L || found == Locks::MARK_T => {
                    return Err(Refused::Marked(found));
                }
                found @ (0 | DIED) => {
                    self.put_half(at, self.held());
                    return Ok(if found == DIED { Taken::Recovered } else { Taken::Clean });
                }
                _ if self.wait() => {}
                _ => break,
            }
        }
        Err(Refused::TimedOut(None))
    }

    fn pause(&self, round: u32) -> bool {
        round < ROUNDS && self.wait()
    }

    fn unlock(&self, at: u64) {
        if !self.is_off() {
            self.step();
        }
        self.reset(at);
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.step();
        let found = self.machine.half(at).load(Relaxed);
        if found != 0 && found != DIED {
            return Err(found);
        }
        self.put_half(at, mark);
        Ok(if found == DIED { Taken::Recovered } else { Taken::Clean })
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.machine.half(at).load(Relaxed) == mark
    }

    fn is_held(&self, at: u64) -> bool {
        ![0, DIED].contains(&self.machine.half(at).load(Relaxed))
    }

    fn unmark(&self, at: u64) {
        self.reset(at);
    }

    fn wake(&self, _: u64) {}

    fn reset(&self, at: u64) {
        if !self.is_off() && self.machine.half(at).load(Relaxed) != 0 {
            self.machine.half(at).store(0, Relaxed);
            let mut touched = locked(&self.machine.touched);
            if let Some(found) = touched.iter().rposition(|it| *it == at) {
                touched.swap_remove(found);
            }
        }
    }

    fn seat(&self) -> Result<u64, EngineError> {
        self.me().seated.store(true, Relaxed);
        let births = self.me().births.load(Relaxed);
        let token = (self.process as u64) << 56 | births << 1 | 1;
        let at = seat::at(self.process);
        let words = self.words_mut(at, seat::WORDS).ok_or(EngineError::ReadOnly)?;
        if words.load(seat::TOKEN, Ordering::SeqCst) != token {
            words.store(seat::PIN, 0, Ordering::SeqCst);
            words.store(seat::TOKEN, 0, Ordering::SeqCst);
            seat_bits::lose(self, self.process)?;
            words.store(seat::TOKEN, token, Ordering::SeqCst);
        }
        Ok(token)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        self.machine.processes.get(number).is_some_and(|it| it.seated.load(Relaxed))
    }

    fn barrier(&self, ranges: &[(u64, u64)]) -> Result<(), EngineError> {
        // Bytes behind the region's last chunk have no meaning.
        assert!(matches!(ranges, [(0, to)] if *to <= self.size()), "all of the file");
        if self.machine.disk_fails.load(Relaxed) {
            let error = Error::new(ErrorKind::Io, "flush", "").of_device();
            return Err(EngineError::Explained(error));
        }
        // The barrier need not cover what is stored from here on.
        let stored = self.machine.pending();
        let lens = locked(&self.machine.lens).len() - 1;
        self.machine.give_way(Turn::Barrier);
        let after = self.me().after_barrier.load(Relaxed);
        if after >= 0 {
            self.me().steps.store(after + 1, Relaxed);
        }
        self.step();
        locked(&self.machine.stored).drain(..stored);
        locked(&self.machine.lens).drain(..lens);
        self.machine.barriers.fetch_add(1, Relaxed);
        Ok(())
    }
}
