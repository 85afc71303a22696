//! A region in plain words of this process, at the mercy of an attacker or of bad luck.
//!
//! Any load may return a forged value, any call of the platform may fail, and the process may die
//! at any store. A reset to the kept state takes a microsecond, which suits fuzzers.
//!
//! For one thread at a time.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "an index that is out of bounds, and a loop without an end, are to be seen"
)]

use mapvar_engine::mem::{Load, Mem, Ordering, StoreWords};
use mapvar_engine::{error::EngineError, layout::seat};
use mapvar_os::{Error, ErrorKind, Locks, Refused, Taken};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    vec::Vec,
};

/// Words covered by one flag, which says that they differ from the kept image.
const BLOCK: usize = 64;
/// Loads that one operation may make, whatever values they return. The engine counts its longest
/// waits in tries: a transaction tries to mark its records 10,000 times, with 200 spins each.
pub const MOST_LOADS: u64 = 20_000_000;
/// The token of this process's seat, number 0.
const TOKEN: u64 = 1;

/// A snapshot of a region: its words, and the lock words that are not 0.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// All of the region's words.
    pub words: Vec<u64>,
    /// Lock words that are not 0, by offset.
    pub held: Vec<(u64, LockState)>,
}

/// The content of a lock word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Owned by a living thread.
    Alive,
    /// Left by a dead thread.
    Died,
    /// A mark.
    Marked(u32),
}

/// A call of the platform that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Growth of the region.
    Grow,
    /// A barrier of the device.
    Barrier,
    /// Waiting for a lock.
    Lock,
    /// One attempt to take a lock.
    TryLock,
    /// Setting a mark on a lock.
    Mark,
    /// Taking the process's seat.
    Seat,
}

/// The source of an attacker's forged values.
#[derive(Clone, Debug)]
pub struct Lies {
    source: Source,
    /// One load in so many is forged.
    one_in: u64,
    /// Number of lies left.
    left: u64,
    /// Honest loads before the first lie, if that number is given.
    first: Option<u64>,
    /// A word that returns another value at each load.
    restless: Option<u64>,
}

#[derive(Clone, Debug)]
enum Source {
    Random(u64),
    Script(Vec<u8>, usize),
}

impl Lies {
    /// Forges one load in `one_in` at random, `most` times.
    pub fn random(seed: u64, one_in: u64, most: u64) -> Self {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { source: Source::Random(seed), one_in, left: most, first: None, restless: None }
    }

    /// Forges loads as these bytes say; is honest once they are used up.
    pub fn script(bytes: &[u8]) -> Self {
        Self {
            source: Source::Script(bytes.to_vec(), 0),
            one_in: 64,
            left: u64::MAX,
            first: None,
            restless: None,
        }
    }

    /// Makes the first `first` loads honest.
    #[must_use]
    pub fn after(self, first: u64) -> Self {
        Self { first: Some(first), ..self }
    }

    /// Makes the word at offset `at` count up with every load of it.
    #[must_use]
    pub fn restless(self, at: u64) -> Self {
        Self { restless: Some(at), ..self }
    }

    /// Returns the next random word, or `None` at the end of the script.
    fn next(&mut self) -> Option<u64> {
        match &mut self.source {
            Source::Random(x) => {
                *x ^= *x >> 12;
                *x ^= *x << 25;
                *x ^= *x >> 27;
                Some(x.wrapping_mul(0x2545_f491_4f6c_dd1d))
            }
            Source::Script(bytes, at) => {
                let taken = bytes.get(*at..*at + 8)?;
                *at += 8;
                Some(taken.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
            }
        }
    }

    /// Returns the number of honest loads before the next lie; `None` = all.
    fn gap(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let random = self.next()?;
        Some(if self.one_in <= 1 { 0 } else { (random >> 16) % (2 * self.one_in - 1) })
    }
}

/// A region whose loads are honest, or forged by an attacker. A cheap handle.
#[derive(Clone, Debug)]
pub struct Adversary(Arc<Ground>);

#[derive(Debug)]
struct Ground {
    words: Vec<AtomicU64>,
    size: AtomicU64,
    /// Loads until the next event: a lie, or the limit.
    countdown: AtomicU64,
    /// The countdown's start value, and the loads before that start.
    began: AtomicU64,
    loads: AtomicU64,
    most: AtomicU64,
    /// Offset of the word that counts up; `u64::MAX` = none.
    restless: AtomicU64,
    counted: AtomicU64,
    /// Stores that still take effect; after them the process is dead.
    stores: AtomicU64,
    /// Flags of the blocks that were written since the image was kept.
    touched: Vec<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kept: Image,
    touched: Vec<usize>,
    lies: Option<Lies>,
    held: Vec<(u64, LockState)>,
    /// The lock that this process's thread owns: it may own one.
    own: Option<u64>,
    /// Calls of the platform so far, and the number of the first one that fails; 0 = none.
    calls: u64,
    fails_at: u64,
    /// How many calls fail from there on.
    fails: u64,
    failed: Vec<Call>,
    /// The lock that bears a mark, and the attempts to take it before it is free.
    marked: Option<(u64, usize)>,
    /// Whether loads are forged now.
    lying: bool,
    /// The lock words at the moment of death, if the process died.
    death: Option<Vec<(u64, LockState)>>,
}

impl Adversary {
    /// Creates a region of `bytes` zero bytes that can grow by `spare`.
    pub fn new(bytes: u64, spare: u64) -> Self {
        Self::of(&Image { words: vec![0; (bytes / 8) as usize], held: Vec::new() }, spare)
    }

    /// Creates a region from an image; it can grow by `spare` bytes.
    pub fn of(image: &Image, spare: u64) -> Self {
        let most = image.words.len() + (spare / 8) as usize;
        let words = image.words.iter().copied().chain(std::iter::repeat(0));
        let state = State {
            kept: image.clone(),
            touched: Vec::new(),
            lies: None,
            held: image.held.clone(),
            own: None,
            calls: 0,
            fails_at: 0,
            fails: 0,
            failed: Vec::new(),
            marked: None,
            lying: false,
            death: None,
        };
        let ground = Self(Arc::new(Ground {
            words: words.take(most).map(AtomicU64::new).collect(),
            size: AtomicU64::new(image.words.len() as u64 * 8),
            countdown: AtomicU64::new(0),
            began: AtomicU64::new(0),
            loads: AtomicU64::new(0),
            most: AtomicU64::new(MOST_LOADS),
            restless: AtomicU64::new(u64::MAX),
            counted: AtomicU64::new(0),
            stores: AtomicU64::new(u64::MAX),
            touched: (0..most.div_ceil(BLOCK)).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(state),
        }));
        ground.be_honest();
        ground
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a snapshot of the region.
    pub fn image(&self) -> Image {
        let words = (self.0.size.load(Relaxed) / 8) as usize;
        Image {
            words: self.0.words.iter().take(words).map(|word| word.load(Relaxed)).collect(),
            held: self.state().held.clone(),
        }
    }

    /// Makes the current state the one that [`reset`](Self::reset) restores.
    pub fn keep(&self) {
        let image = self.image();
        self.forget_touched(&mut self.state());
        self.state().kept = image;
    }

    fn forget_touched(&self, state: &mut State) {
        for block in state.touched.drain(..) {
            self.0.touched[block].store(0, Relaxed);
        }
    }

    /// Restores the kept state. Afterwards loads are honest, no call fails, and all counts are 0.
    pub fn reset(&self) {
        let mut state = self.state();
        for block in &state.touched {
            let from = block * BLOCK;
            for at in from..(from + BLOCK).min(self.0.words.len()) {
                self.0.words[at].store(state.kept.words.get(at).copied().unwrap_or(0), Relaxed);
            }
        }
        self.forget_touched(&mut state);
        let State { kept, held, .. } = &mut *state;
        held.clone_from(&kept.held);
        state.own = None;
        state.calls = 0;
        state.fails_at = 0;
        state.failed.clear();
        state.marked = None;
        state.death = None;
        self.0.size.store(state.kept.words.len() as u64 * 8, Relaxed);
        self.0.stores.store(u64::MAX, Relaxed);
        drop(state);
        self.be_honest();
    }

    /// Makes all loads honest, and counts loads from 0.
    pub fn be_honest(&self) {
        self.begin(None, MOST_LOADS);
    }

    /// Forges loads from now on, and counts them from 0. After `MOST_LOADS` loads it panics.
    pub fn lie(&self, lies: Lies) {
        self.begin(Some(lies), MOST_LOADS);
    }

    /// Begins a run with these lies, or an honest one; after `most` loads it panics.
    pub fn begin(&self, mut lies: Option<Lies>, most: u64) {
        let ground = &*self.0;
        ground.loads.store(0, Relaxed);
        ground.most.store(most, Relaxed);
        ground.counted.store(0, Relaxed);
        let restless = lies.as_ref().and_then(|lies| lies.restless);
        ground.restless.store(restless.unwrap_or(u64::MAX), Relaxed);
        self.count_down(lies.as_mut().and_then(Lies::gap));
        let mut state = self.state();
        state.lying = lies.is_some();
        state.lies = lies;
    }

    fn count_down(&self, gap: Option<u64>) {
        let ground = &*self.0;
        let left = ground.most.load(Relaxed).saturating_sub(ground.loads.load(Relaxed));
        let next = gap.map_or(left, |gap| gap.min(left));
        ground.countdown.store(next, Relaxed);
        ground.began.store(next, Relaxed);
    }

    /// Returns the number of loads since the current run began.
    pub fn loads(&self) -> u64 {
        let ground = &*self.0;
        ground.loads.load(Relaxed) + ground.began.load(Relaxed) - ground.countdown.load(Relaxed)
    }

    /// Makes `count` calls of the platform fail, from call number `at` on. Calls are counted anew,
    /// from 1.
    pub fn fail(&self, at: u64, count: u64) {
        let mut state = self.state();
        (state.calls, state.fails_at, state.fails) = (0, at, count);
        state.failed.clear();
    }

    /// Returns the number of calls of the platform since [`fail`](Self::fail).
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Returns the calls that failed.
    pub fn failed(&self) -> Vec<Call> {
        self.state().failed.clone()
    }

    /// Lets the process die at store number `stores`, counted from 0: this store and all later ones
    /// have no effect.
    pub fn dies_at(&self, stores: u64) {
        self.0.stores.store(stores, Relaxed);
    }

    /// Returns the region as a death left it, with its locks as the kernel leaves them; `None` if
    /// the process lives.
    pub fn death(&self) -> Option<Image> {
        let held = self.state().death.clone()?;
        let held = held.into_iter().map(|(at, held)| match held {
            LockState::Alive => (at, LockState::Died),
            other => (at, other),
        });
        Some(Image { held: held.collect(), ..self.image() })
    }

    /// Returns the lock words that are not 0.
    pub fn held(&self) -> Vec<(u64, LockState)> {
        self.state().held.clone()
    }

    /// Sets a lock word; `None` frees it.
    pub fn put_lock(&self, at: u64, held: Option<LockState>) {
        let mut state = self.state();
        state.held.retain(|(other, _)| *other != at);
        state.held.extend(held.map(|held| (at, held)));
    }

    /// Lets a lock bear the structure lock's mark for the next `attempts` attempts to take it.
    pub fn mark_for(&self, at: u64, attempts: usize) {
        self.state().marked = Some((at, attempts));
    }

    /// Returns the word at offset `at`, unforged.
    pub fn peek(&self, at: u64) -> u64 {
        let word = usize::try_from(at / 8).ok().and_then(|at| self.0.words.get(at));
        word.map_or(0, |word| word.load(Relaxed))
    }

    /// Changes the word at offset `at`, as another process might.
    pub fn poke(&self, at: u64, value: u64) {
        let at = (at / 8) as usize;
        if let Some(word) = self.0.words.get(at) {
            self.touch(at);
            word.store(value, Relaxed);
        }
    }

    /// Sets the length of the section.
    pub fn set_size(&self, bytes: u64) {
        self.0.size.store(bytes.min(self.limit()) / 8 * 8, Relaxed);
    }

    fn touch(&self, at: usize) {
        let block = at / BLOCK;
        if self.0.touched[block].load(Relaxed) == 0 {
            self.0.touched[block].store(1, Relaxed);
            self.state().touched.push(block);
        }
    }

    /// Returns whether the next store takes effect, and counts it.
    fn lives(&self) -> bool {
        let left = self.0.stores.load(Relaxed);
        if left == u64::MAX {
            return true;
        }
        if left == 0 {
            let mut state = self.state();
            if state.death.is_none() {
                state.death = Some(state.held.clone());
            }
            return false;
        }
        self.0.stores.store(left - 1, Relaxed);
        true
    }

    /// Counts a load or a call; returns the attacker's random bits if this one is to be forged.
    #[inline]
    fn tick(&self) -> Option<(u64, u64)> {
        let left = self.0.countdown.load(Relaxed);
        if left > 0 {
            self.0.countdown.store(left - 1, Relaxed);
            return None;
        }
        self.event()
    }

    #[cold]
    fn event(&self) -> Option<(u64, u64)> {
        let ground = &*self.0;
        let loads = ground.loads.load(Relaxed) + ground.began.load(Relaxed) + 1;
        ground.loads.store(loads, Relaxed);
        assert!(loads <= ground.most.load(Relaxed), "an operation without an end: {loads} loads");
        let mut state = self.state();
        let Some(lies) = &mut state.lies else {
            self.count_down(None);
            return None;
        };
        let answer = lies.next().and_then(|choice| Some((choice, lies.next()?)));
        let gap = lies.gap();
        self.count_down(gap);
        answer
    }

    /// Returns the value of a load that would honestly return `honest`.
    #[inline]
    fn answer(&self, at: u64, honest: u64) -> u64 {
        if at == self.0.restless.load(Relaxed) {
            let counted = self.0.counted.load(Relaxed) + 1;
            self.0.counted.store(counted, Relaxed);
            let _ = self.tick();
            return honest.wrapping_add(counted);
        }
        match self.tick() {
            None => honest,
            Some((choice, any)) => self.lie_of(choice, any, honest),
        }
    }

    #[cold]
    fn lie_of(&self, choice: u64, any: u64, honest: u64) -> u64 {
        match choice >> 32 & 15 {
            0 => any,
            1 => 0,
            2 => u64::MAX,
            3 => any & 0xff,
            4 => any & 0xffff,
            5 => honest ^ 1 << (any & 63),
            6 => honest.wrapping_add(1),
            7 => honest.wrapping_sub(1),
            // An offset in the region, with or without some low bits.
            8 => self.somewhere(any),
            9 => self.somewhere(any) | any >> 58,
            10 => self.somewhere(any) | (any >> 56) << 56,
            // Another value in one of its bytes.
            11 => honest ^ ((any & 0xff) << ((any >> 8 & 7) * 8)),
            // The value of another word.
            _ => self.peek(any % (self.limit() / 8) * 8),
        }
    }

    fn somewhere(&self, any: u64) -> u64 {
        any % (self.size() / 64).max(1) * 64
    }

    /// Whether this call of the platform fails.
    fn fails(&self, call: Call) -> bool {
        let mut state = self.state();
        state.calls += 1;
        let fails = state.fails_at != 0
            && state.calls >= state.fails_at
            && state.calls - state.fails_at < state.fails;
        if fails {
            state.failed.push(call);
        }
        fails
    }

    fn lock_of(&self, at: u64) -> Option<LockState> {
        let state = self.state();
        state.held.iter().find(|(other, _)| *other == at).map(|(_, held)| *held)
    }

    fn take(&self, at: u64) {
        self.state().own = Some(at);
        self.store_lock(at, Some(LockState::Alive));
    }

    /// Panics if this thread owns a lock. The kernel frees one lock of a dying thread.
    fn holds_none(&self) {
        let own = self.state().own;
        assert!(own.is_none(), "a thread takes a lock while it holds the one at {own:x?}");
    }

    fn store_lock(&self, at: u64, held: Option<LockState>) {
        if self.lives() {
            self.put_lock(at, held);
        }
    }
}

fn no_space() -> EngineError {
    EngineError::Explained(
        Error::new(ErrorKind::NoSpace, "grow", "").detail("no room, says the harness"),
    )
}

/// A range of an [`Adversary`].
#[derive(Clone, Copy, Debug)]
pub struct AdversaryWords<'a> {
    mem: &'a Adversary,
    words: &'a [AtomicU64],
    first: usize,
}

impl AdversaryWords<'_> {
    #[inline]
    fn change(self, at: usize, change: impl FnOnce(u64) -> u64) -> u64 {
        let old = self.words[at].load(Relaxed);
        if self.mem.lives() {
            self.mem.touch(self.first + at);
            self.words[at].store(change(old), Relaxed);
        }
        self.mem.answer(self.at(at), old)
    }

    #[inline]
    fn at(self, at: usize) -> u64 {
        (self.first + at) as u64 * 8
    }
}

impl Load for AdversaryWords<'_> {
    #[inline]
    fn load(self, at: usize, _: Ordering) -> u64 {
        self.mem.answer(self.at(at), self.words[at].load(Relaxed))
    }
}

impl StoreWords for AdversaryWords<'_> {
    #[inline]
    fn store(self, at: usize, value: u64, _: Ordering) {
        if self.mem.lives() {
            self.mem.touch(self.first + at);
            self.words[at].store(value, Relaxed);
        } else {
            // The bounds are checked after a death too.
            let _ = &self.words[at];
        }
    }

    fn swap(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.change(at, |_| value)
    }

    fn fetch_add(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.change(at, |old| old.wrapping_add(value))
    }

    fn fetch_and(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.change(at, |old| old & value)
    }

    fn fetch_or(self, at: usize, value: u64, _: Ordering) -> u64 {
        self.change(at, |old| old | value)
    }

    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        let found = self.words[at].load(Relaxed);
        if let Some((choice, any)) = self.mem.tick() {
            return Err(self.mem.lie_of(choice, any, found));
        }
        if found != old {
            return Err(found);
        }
        self.store(at, new, Relaxed);
        Ok(found)
    }
}

impl Mem for Adversary {
    type Words<'a> = AdversaryWords<'a>;
    type WordsMut<'a> = AdversaryWords<'a>;

    fn size(&self) -> u64 {
        self.0.size.load(Relaxed)
    }

    #[inline]
    fn words(&self, at: u64, count: usize) -> Option<AdversaryWords<'_>> {
        let end = at.checked_add((count as u64).checked_mul(8)?)?;
        if end > self.size() || !at.is_multiple_of(8) {
            return None;
        }
        let first = (at / 8) as usize;
        Some(AdversaryWords { mem: self, words: self.0.words.get(first..first + count)?, first })
    }

    #[inline]
    fn words_mut(&self, at: u64, count: usize) -> Option<AdversaryWords<'_>> {
        self.words(at, count)
    }

    fn reach(&self, bytes: u64) -> bool {
        if bytes <= self.size() {
            return true;
        }
        let reaches = bytes <= self.limit() && self.state().lying;
        if reaches {
            self.0.size.store(bytes, Relaxed);
        }
        reaches
    }

    fn limit(&self) -> u64 {
        self.0.words.len() as u64 * 8
    }

    fn grow(&self, bytes: u64) -> Result<(), EngineError> {
        if self.fails(Call::Grow) {
            return Err(no_space());
        }
        if bytes > self.limit() {
            return Err(EngineError::Full { needed: bytes, free: 0 });
        }
        if self.lives() {
            self.0.size.fetch_max(bytes, Relaxed);
        }
        Ok(())
    }

    fn seat(&self) -> Result<u64, EngineError> {
        if self.fails(Call::Seat) {
            return Err(EngineError::Explained(
                Error::new(ErrorKind::Full, "take a seat", "").detail("none, says the harness"),
            ));
        }
        if let Some(words) = self.words_mut(seat::at(0), seat::WORDS)
            && self.peek(seat::at(0) + seat::TOKEN as u64 * 8) != TOKEN
        {
            words.store(seat::PIN, 0, Relaxed);
            words.store(seat::TOKEN, TOKEN, Relaxed);
        }
        Ok(TOKEN)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        self.tick().map_or(number == 0, |(choice, _)| choice >> 40 & 1 == 0)
    }

    fn fence(&self, _: Ordering) {}

    /// Never waits: the caller is the only thread, so no other thread could release the lock.
    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.holds_none();
        if self.fails(Call::Lock) {
            return Err(Refused::TimedOut(None));
        }
        if let Some((marked, attempts)) = &mut self.state().marked
            && *marked == at
            && *attempts > 0
        {
            *attempts -= 1;
            return Err(Refused::Marked(Locks::MARK_L));
        }
        let found = self.lock_of(at);
        if let Some((choice, _)) = self.tick() {
            return match choice >> 40 & 7 {
                0 => Err(Refused::Marked(Locks::MARK_L)),
                1 => Err(Refused::Marked(Locks::MARK_T)),
                2 => Err(Refused::Marked(7)),
                3 => Err(Refused::TimedOut(None)),
                _ => {
                    self.take(at);
                    Ok(Taken::Recovered)
                }
            };
        }
        match found {
            Some(LockState::Marked(mark)) => Err(Refused::Marked(mark)),
            Some(LockState::Alive) => Err(Refused::TimedOut(None)),
            None | Some(LockState::Died) => {
                self.take(at);
                Ok(if found.is_some() { Taken::Recovered } else { Taken::Clean })
            }
        }
    }

    fn try_lock(&self, at: u64) -> Option<Taken> {
        self.holds_none();
        if self.fails(Call::TryLock) || self.tick().is_some() || self.lock_of(at).is_some() {
            return None;
        }
        self.take(at);
        Some(Taken::Clean)
    }

    fn pause(&self, round: u32) -> bool {
        let _ = self.tick();
        round < 64
    }

    fn unlock(&self, at: u64) {
        self.state().own = None;
        self.store_lock(at, None);
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        if self.fails(Call::Mark) {
            return Err(1);
        }
        let found = self.lock_of(at);
        if let Some((choice, any)) = self.tick() {
            return Err(match choice >> 40 & 3 {
                0 => Locks::MARK_L,
                1 => Locks::MARK_T,
                _ => any as u32,
            });
        }
        match found {
            Some(LockState::Marked(mark)) => Err(mark),
            Some(LockState::Alive) => Err(1),
            None | Some(LockState::Died) => {
                self.store_lock(at, Some(LockState::Marked(mark)));
                Ok(if found.is_some() { Taken::Recovered } else { Taken::Clean })
            }
        }
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        let honest = self.lock_of(at) == Some(LockState::Marked(mark));
        honest != self.tick().is_some()
    }

    fn is_held(&self, at: u64) -> bool {
        let honest = matches!(self.lock_of(at), Some(LockState::Marked(_) | LockState::Alive));
        honest != self.tick().is_some()
    }

    fn unmark(&self, at: u64) {
        self.store_lock(at, None);
    }

    fn wake(&self, _: u64) {
        let _ = self.lives();
    }

    fn reset(&self, at: u64) {
        self.store_lock(at, None);
    }

    fn barrier(&self, _: &[(u64, u64)]) -> Result<(), EngineError> {
        if self.fails(Call::Barrier) {
            return Err(EngineError::Explained(
                Error::new(ErrorKind::Io, "flush", "")
                    .detail("the disk fails, says the harness")
                    .of_device(),
            ));
        }
        Ok(())
    }
}
