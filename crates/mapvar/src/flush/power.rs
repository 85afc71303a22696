//! A memory with a disk behind it, for power cuts: of each word of 8 bytes the disk has any value
//! that the word had since the last completed barrier began, whatever it has of the others. Also
//! for deaths: then the memory stays as it is.

#![allow(
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a memory of the tests, where an index that is out of bounds is a fault"
)]

use crate::{
    layout::{CHUNK, seat},
    mem::{Fault, Load, Mem, Ordering, Store},
    trouble::Trouble,
};
use mapvar_os::{Error, ErrorKind, Locks, Refused, Taken};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

/// Numbers that a seed gives.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    pub(super) fn steps(&mut self, bound: u64) -> i64 {
        self.below(bound).cast_signed()
    }
}

type Visitor = Box<dyn FnOnce() + Send>;

pub(super) struct Machine {
    words: Vec<AtomicU64>,
    halves: Vec<AtomicU32>,
    /// Bytes of the file; and how many it may have after a cut.
    len: AtomicU64,
    lens: Mutex<Vec<u64>>,
    /// What the disk may have of words that were stored since the last barrier.
    possible: Mutex<HashMap<usize, Vec<u64>>>,
    /// Steps until it is cut off; below 0 = never.
    steps: AtomicI64,
    /// Cut off at the next barrier.
    at_barrier: AtomicBool,
    /// Steps until somebody else does something.
    visit: AtomicI64,
    visitor: Mutex<Option<Visitor>>,
    /// Cut off: nothing is stored any more.
    off: AtomicBool,
    pub(super) disk_fails: AtomicBool,
    pub(super) barriers: AtomicU64,
    pub(super) loads: AtomicU64,
    fault: Option<Fault>,
}

const DIED: u32 = 0x4000_0000;
const HELD: u32 = 1;

/// What a cut is, where it passes through the engine.
struct Cut;

#[derive(Clone)]
pub(super) struct Power(pub(super) Arc<Machine>);

impl Power {
    /// A file of so many bytes, which can grow a little.
    pub(super) fn new(bytes: usize, fault: Option<Fault>) -> Self {
        let len = bytes as u64;
        let bytes = bytes + 12 * CHUNK as usize;
        Self(Arc::new(Machine {
            len: AtomicU64::new(len),
            lens: Mutex::new(vec![len]),
            words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect(),
            halves: (0..bytes / 4).map(|_| AtomicU32::new(0)).collect(),
            possible: Mutex::default(),
            steps: AtomicI64::new(-1),
            at_barrier: AtomicBool::new(false),
            visit: AtomicI64::new(-1),
            visitor: Mutex::new(None),
            off: AtomicBool::new(false),
            disk_fails: AtomicBool::new(false),
            barriers: AtomicU64::new(0),
            loads: AtomicU64::new(0),
            fault,
        }))
    }

    /// Steps that no work has.
    pub(super) const AT_BARRIER: i64 = i64::MAX;

    /// Runs `work`, which is cut off before step `steps`; `None` if it was.
    pub(super) fn cut_off<R>(&self, steps: i64, work: impl FnOnce() -> R) -> Option<R> {
        self.0.at_barrier.store(steps == Self::AT_BARRIER, Relaxed);
        self.0.steps.store(steps, Relaxed);
        let done = catch_unwind(AssertUnwindSafe(work));
        self.0.steps.store(-1, Relaxed);
        self.0.at_barrier.store(false, Relaxed);
        self.0.visit.store(-1, Relaxed);
        *self.0.visitor.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        match done {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Cut>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    /// `visitor` runs at a step when neither L nor T is held.
    pub(super) fn visited(&self, steps: i64, visitor: Visitor) {
        *self.0.visitor.lock().unwrap() = Some(visitor);
        self.0.visit.store(steps, Relaxed);
    }

    /// The process is gone; its locks say so.
    pub(super) fn die(&self) {
        self.0.off.store(false, Relaxed);
        for half in &self.0.halves {
            if half.load(Relaxed) == HELD {
                half.store(DIED, Relaxed);
            }
        }
    }

    /// The machine starts again, with what the disk has.
    pub(super) fn restart(&self, random: &mut Random) {
        self.0.off.store(false, Relaxed);
        let mut possible: Vec<_> = self.0.possible.lock().unwrap().drain().collect();
        possible.sort_unstable_by_key(|(at, _)| *at);
        // Often a sector as a whole, with what it had first or last: torn ones alone would hardly
        // ever give a superblock that is whole.
        let whole = random.below(4);
        let (mut sector, mut how) = (usize::MAX, 0);
        for (at, values) in possible {
            if at / 64 != sector {
                sector = at / 64;
                how = if whole == 0 { 2 } else { random.below(3) };
            }
            let value = match how {
                0 => values[0],
                1 => *values.last().unwrap(),
                _ => values[random.below(values.len() as u64) as usize],
            };
            self.0.words[at].store(value, Relaxed);
        }
        let lens = std::mem::take(&mut *self.0.lens.lock().unwrap());
        let len = lens[random.below(lens.len() as u64) as usize];
        *self.0.lens.lock().unwrap() = vec![len];
        self.0.len.store(len, Relaxed);
        for word in &self.0.words[len as usize / 8..] {
            word.store(0, Relaxed);
        }
        // The locks are words of the region too; whoever recovers must not believe them.
        for half in &self.0.halves {
            if half.load(Relaxed) == DIED || random.below(500) == 0 {
                half.store(HELD, Relaxed);
            }
        }
    }
}

impl Machine {
    fn step(&self) {
        let left = self.visit.load(Relaxed);
        if left >= 0 {
            let free = |at: u64| self.halves[at as usize / 4].load(Relaxed) == 0;
            let free = free(crate::layout::live::LOCK_L) && free(crate::layout::live::LOCK_T);
            if left > 0 {
                self.visit.store(left - 1, Relaxed);
            } else if free {
                self.visit();
            }
        }
        let left = self.steps.load(Relaxed);
        if left == 0 {
            self.off.store(true, Relaxed);
            self.steps.store(-1, Relaxed);
            resume_unwind(Box::new(Cut));
        }
        if left > 0 {
            self.steps.store(left - 1, Relaxed);
        }
    }

    fn visit(&self) {
        self.visit.store(-1, Relaxed);
        let visitor = self.visitor.lock().unwrap().take();
        if let Some(visitor) = visitor {
            visitor();
        }
    }

    fn is_off(&self) -> bool {
        self.off.load(Relaxed)
    }

    fn change(&self, at: usize, new: impl FnOnce(u64) -> u64) -> u64 {
        if !self.is_off() {
            self.step();
        }
        let old = self.words[at].load(Relaxed);
        if !self.is_off() {
            let new = new(old);
            if new != old {
                let mut possible = self.possible.lock().unwrap();
                possible.entry(at).or_insert_with(|| vec![old]).push(new);
            }
            self.words[at].store(new, Relaxed);
        }
        old
    }

    fn half(&self, at: u64) -> &AtomicU32 {
        &self.halves[at as usize / 4]
    }
}

#[derive(Clone, Copy)]
pub(super) struct PowerWords<'a> {
    machine: &'a Machine,
    first: usize,
    count: usize,
}

impl PowerWords<'_> {
    fn at(self, at: usize) -> usize {
        assert!(at < self.count, "word {at} of {}", self.count);
        self.first + at
    }
}

impl Load for PowerWords<'_> {
    fn load(self, at: usize, _: Ordering) -> u64 {
        self.machine.loads.fetch_add(1, Relaxed);
        self.machine.words[self.at(at)].load(Relaxed)
    }
}

impl Store for PowerWords<'_> {
    fn store(self, at: usize, value: u64, _: Ordering) {
        self.machine.change(self.at(at), |_| value);
    }

    fn swap(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.machine.change(self.at(at), |_| value)
    }

    fn fetch_add(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.machine.change(self.at(at), |old| old.wrapping_add(value))
    }

    fn fetch_and(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.machine.change(self.at(at), |old| old & value)
    }

    fn fetch_or(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.machine.change(self.at(at), |old| old | value)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        let found =
            self.machine.change(self.at(at), |found| if found == old { new } else { found });
        if found == old { Ok(found) } else { Err(found) }
    }
}

impl Mem for Power {
    type Words<'a> = PowerWords<'a>;
    type WordsMut<'a> = PowerWords<'a>;

    fn size(&self) -> u64 {
        self.0.len.load(Relaxed)
    }

    fn limit(&self) -> u64 {
        self.0.words.len() as u64 * 8
    }

    fn grow(&self, bytes: u64) -> Result<(), Trouble> {
        self.0.step();
        if bytes > self.limit() {
            return Err(Trouble::Full { needed: bytes, free: 0 });
        }
        self.0.lens.lock().unwrap().push(bytes);
        self.0.len.store(bytes, Relaxed);
        Ok(())
    }

    fn words(&self, at: u64, count: usize) -> Option<PowerWords<'_>> {
        let first = usize::try_from(at).ok().filter(|at| at.is_multiple_of(8))? / 8;
        let within = first.checked_add(count)? <= (self.size() / 8) as usize;
        within.then_some(PowerWords { machine: &self.0, first, count })
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<PowerWords<'_>> {
        self.words(at, count)
    }

    fn fence(&self, _: Ordering) {}

    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.0.step();
        let half = self.0.half(at);
        match half.load(Relaxed) {
            found if found == Locks::MARK_L || found == Locks::MARK_T => {
                Err(Refused::Marked(found))
            }
            0 => {
                half.store(HELD, Relaxed);
                Ok(Taken::Clean)
            }
            DIED => {
                half.store(HELD, Relaxed);
                Ok(Taken::Recovered)
            }
            _ => Err(Refused::TimedOut(None)),
        }
    }

    fn unlock(&self, at: u64) {
        if !self.0.is_off() {
            self.0.step();
        }
        self.reset(at);
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.0.step();
        let half = self.0.half(at);
        let found = half.load(Relaxed);
        if found != 0 && found != DIED {
            return Err(found);
        }
        half.store(mark, Relaxed);
        Ok(if found == DIED { Taken::Recovered } else { Taken::Clean })
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.0.half(at).load(Relaxed) == mark
    }

    fn unmark(&self, at: u64) {
        self.reset(at);
    }

    fn wake(&self, _: u64) {}

    fn reset(&self, at: u64) {
        if !self.0.is_off() {
            self.0.half(at).store(0, Relaxed);
        }
    }

    fn seat(&self) -> Result<u64, Trouble> {
        self.words_mut(seat::at(0), seat::WORDS).unwrap().store(seat::TOKEN, 1, Ordering::SeqCst);
        Ok(1)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        number == 0
    }

    fn barrier(&self, ranges: &[(u64, u64)]) -> Result<(), Trouble> {
        // Behind the region's last chunk nothing has a meaning.
        assert!(matches!(ranges, [(0, to)] if *to <= self.size()), "all of the file");
        if self.0.disk_fails.load(Relaxed) {
            return Err(Trouble::Told(Error::new(ErrorKind::Io, "flush", "")));
        }
        // What is stored from here on may be in it or not.
        let before = std::mem::take(&mut *self.0.possible.lock().unwrap());
        let back = |before: HashMap<usize, Vec<u64>>| {
            let mut possible = self.0.possible.lock().unwrap();
            for (at, mut values) in before {
                values.extend(possible.remove(&at).unwrap_or_default());
                possible.insert(at, values);
            }
        };
        let cut = catch_unwind(AssertUnwindSafe(|| {
            if self.0.visit.load(Relaxed) >= 0 {
                self.0.visit();
            }
            if self.0.at_barrier.load(Relaxed) {
                self.0.steps.store(0, Relaxed);
            }
            self.0.step();
        }));
        if let Err(cut) = cut {
            back(before);
            resume_unwind(cut);
        }
        *self.0.lens.lock().unwrap() = vec![self.size()];
        self.0.barriers.fetch_add(1, Relaxed);
        Ok(())
    }

    fn planted(&self, fault: Fault) -> bool {
        self.0.fault == Some(fault) || mapvar_os::seeded::planted(fault.name())
    }
}
