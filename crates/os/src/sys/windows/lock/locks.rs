//! Lock words whose owner is a slot of the region's table. The thread that owns a slot owns its
//! token.
//!
//! A *token* is the named mutex `<scope>\mapvar.<id>.t<slot>`. Before its first lock in a region, a
//! thread searches for a token that is free, and keeps it until the thread ends. It raises the
//! slot's generation, so that the lock words of the slot's last owner name a dead owner. The kernel
//! frees the token when the thread ends in any way.
//!
//! | word of a slot in the table | meaning | who changes it |
//! | --- | --- | --- |
//! | 0 | generation: how many owners the slot has had | the owner of the token, before its first lock |
//! | 1 | process id of the owner, for messages | the same |
//! | 2 | thread id of the owner, for messages | the same |
//! | 3 | start of the owner's process, for messages | the same |
//! | 4 | the word on which the owner sleeps, by its byte in the region; 0 = on none | the owner |
//! | 5..=7 | of other modules (docs/FORMAT.md) | this module does not |
//!
//! The owner in a lock word is `generation << 10 | slot`, in which the generation is reduced to
//! `1..=0xf_fffe`: never 0, and below the marks. So a lock word of a dead thread would name a
//! living thread, if that is the 1,048,574th owner of its slot since. Then a waiter gets a
//! `TimedOut` until the slot has its next owner.

use super::{
    super::{machine, names, wait},
    event::{self, Events},
    token::{self, OwnerCheck},
};
use crate::{
    error::{Error, ErrorKind, Holder, Result},
    memory::{
        mapped::MappedRange,
        words::{Half, Word},
    },
    spec::{DIED, FIRST_MARK, LockSpec, OWNER, Refused, Taken, WAITERS},
};
use std::{
    marker::PhantomData,
    os::windows::io::AsHandle,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

/// The number of slots that a lock word can name.
const MOST_SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;
/// The number of generations that a lock word distinguishes.
const GENERATIONS: u64 = 0xf_fffe;
const _: () = assert!((GENERATIONS << SLOT_BITS | (MOST_SLOTS as u64 - 1)) < FIRST_MARK as u64);

/// The number of words of a slot, and the index of the word on which its owner sleeps.
const WORDS: usize = 8;
const SLEEPS_ON: usize = 4;

/// How long a waiter only polls the word.
const SPIN_TIME: Duration = Duration::from_micros(100);

/// The state of [`crate::Locks`] for one region.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Distinguishes this value from all others that this process ever has.
    number: u64,
    /// The name of the tokens, without the slot. It is an `Arc`, so that a thread can detect that
    /// this value is gone.
    tokens: Arc<str>,
    /// The name of the sleepers' events, without the slot.
    events: Box<str>,
    signalled: Events,
    table: usize,
    slots: usize,
}

/// A word that this thread has taken.
pub(crate) struct Grip<'a> {
    word: &'a Half,
    /// Makes it `!Send`.
    of_thread: PhantomData<*mut ()>,
}

impl Drop for Grip<'_> {
    #[inline]
    fn drop(&mut self) {
        release(self.word);
    }
}

impl Locks {
    pub(crate) fn new(spec: &LockSpec) -> Result<Self> {
        static NUMBERS: Word = Word::new(1);
        let LockSpec { scope, id, table, slots, .. } = spec;
        let refuse = |detail: String| {
            Err(Error::new(ErrorKind::InvalidArgument, "take locks in", format!("region {id:?}"))
                .detail(detail))
        };
        if !(1..=MOST_SLOTS).contains(slots) {
            return refuse(format!("{slots} slots; give 1 to {MOST_SLOTS}"));
        }
        if slots.checked_mul(WORDS * 8).and_then(|len| len.checked_add(*table)).is_none() {
            return refuse(format!("its table would lie at {table:#x}, beyond any address"));
        }
        if id.is_empty() || id.len() > 120 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("its id is not 1 to 120 letters and digits".into());
        }
        Ok(Self {
            // Relaxed: only the number counts; it publishes nothing.
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            tokens: names::scoped(*scope, &format!("mapvar.{id}.t")).into(),
            events: names::scoped(*scope, &format!("mapvar.{id}.w")).into(),
            signalled: Events::default(),
            table: *table,
            slots: *slots,
        })
    }

    pub(crate) fn lock(
        &self,
        range: &MappedRange,
        at: usize,
        timeout: Duration,
    ) -> Result<Taken, Refused> {
        let Some(word) = range.half(at) else { return Err(Refused::Failed(misplaced(at))) };
        let mine = match token::cached(self.number) {
            Some(mine) => mine,
            None => self.claim(range).map_err(Refused::Failed)?,
        };
        // SYNC POINT (lock). Acquire pairs with the Release of `unlock` and `unmark`: this thread
        // sees the writes of the last owner. Release pairs with the Acquire load of `wait`: a
        // waiter that sees this owner sees its generation in the table, which was stored before.
        match word.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(Taken::Clean),
            Err(_) => self.wait(range, word, mine, timeout),
        }
    }

    #[inline]
    pub(crate) fn try_grip<'a>(&self, word: &'a Half) -> Option<Grip<'a>> {
        let mine = token::cached(self.number)?;
        // SYNC POINT: as in `lock`.
        word.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Grip { word, of_thread: PhantomData })
    }

    pub(crate) fn unlock(range: &MappedRange, at: usize) {
        if let Some(word) = range.half(at) {
            release(word);
        }
    }

    /// See [`crate::Locks::park`].
    pub(crate) fn park(
        &self,
        range: &MappedRange,
        at: usize,
        seen: u32,
        at_most: Duration,
    ) -> Result<bool> {
        let Some(word) = range.half(at) else { return Err(misplaced(at)) };
        let mine = match token::cached(self.number) {
            Some(mine) => mine,
            None => self.claim(range)?,
        };
        let slot = (mine & (MOST_SLOTS as u32 - 1)) as usize;
        let event = token::event(self.number, || event::make(&self.events, slot))?;
        self.sleep_on(range, slot, at as u64)?;
        // SYNC POINT (park). Release publishes the slot's word to `wake`, whose addition is an
        // Acquire. A load would not do so if another thread has set the bit already.
        let found = word.fetch_or(WAITERS, Ordering::AcqRel);
        let slept = (found | WAITERS) == (seen | WAITERS);
        let waited =
            if slept { wait::for_object(event.as_handle(), at_most).map(|_| ()) } else { Ok(()) };
        self.sleep_on(range, slot, 0)?;
        waited.map(|()| slept)
    }

    /// Signals the threads that sleep on the word at byte `at`.
    pub(crate) fn wake(&self, range: &MappedRange, at: usize) {
        for slot in 0..self.slots {
            // SYNC POINT: `crate::Locks::wake` has read the bit that `park` set after it stored
            // this word.
            if self.slot_word(range, slot, SLEEPS_ON).is_ok_and(|on| on == at as u64) {
                self.signalled.signal(&self.events, slot);
            }
        }
    }

    fn sleep_on(&self, range: &MappedRange, slot: usize, at: u64) -> Result<()> {
        let place = self.table + slot * WORDS * 8;
        let words = range.words_mut(place, WORDS).ok_or_else(|| misplaced(place))?;
        words.store(SLEEPS_ON, at, Ordering::Release);
        Ok(())
    }

    #[cold]
    fn wait(
        &self,
        range: &MappedRange,
        word: &Half,
        mine: u32,
        timeout: Duration,
    ) -> Result<Taken, Refused> {
        let begin = Instant::now();
        let deadline = begin.checked_add(timeout);
        let mut look = OwnerCheck::default();
        let (mut spins, mut polls) = (0_u32, 0_u64);
        loop {
            // SYNC POINT (wait). Acquire pairs with the Release of the owner's `lock`.
            let found = word.load(Ordering::Acquire);
            let owner = found & OWNER;
            if owner >= FIRST_MARK {
                return Err(Refused::Marked(owner));
            }
            let free = owner == 0;
            // An owner keeps a lock for less than a microsecond, unless its thread is preempted. A
            // wait for its token takes a tick of the system's clock, 1 to 16 ms.
            if !free && begin.elapsed() < SPIN_TIME {
                spins += 1;
                if spins < 64 {
                    std::hint::spin_loop();
                } else {
                    thread::yield_now();
                }
                continue;
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            // 1 ms, growing to 5: a plain unlock shows only when the word is read again.
            let patience = Duration::from_millis((1 + polls / 4).min(5));
            let gone = !free && self.gone(range, owner, &mut look, patience.min(left))?;
            if free || gone {
                // The exchange succeeds only if the word is unchanged. A dead owner never comes
                // back, so the word cannot have changed and become the same again.
                // SYNC POINT: as in `lock`.
                match word.compare_exchange(found, mine, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) if gone || found & DIED != 0 => return Ok(Taken::Recovered),
                    Ok(_) => return Ok(Taken::Clean),
                    Err(_) => continue,
                }
            }
            if left.is_zero() {
                return Err(Refused::TimedOut(self.holder(range, owner)));
            }
            polls += 1;
        }
    }

    /// Returns whether the owner that a lock word names is dead. Waits up to `patience` for its
    /// death.
    fn gone(
        &self,
        range: &MappedRange,
        owner: u32,
        look: &mut OwnerCheck,
        patience: Duration,
    ) -> Result<bool, Refused> {
        let slot = (owner & (MOST_SLOTS as u32 - 1)) as usize;
        // No living thread can have locked by a slot that does not exist, or by a generation that
        // the slot no longer has, or does not have yet.
        if slot >= self.slots {
            return Ok(true);
        }
        let generation = self.slot_word(range, slot, 0).map_err(Refused::Failed)?;
        if owner_of(slot, generation) != owner {
            return Ok(true);
        }
        look.owner_is_gone(&self.tokens, slot, patience).map_err(Refused::Failed)
    }

    /// Acquires a slot for this thread, once in this region. Returns the slot's owner number in
    /// lock words.
    #[cold]
    fn claim(&self, range: &MappedRange) -> Result<u32> {
        // Checked before a token is acquired, so that there is nothing to release.
        self.slot_word(range, self.slots - 1, WORDS - 1)?;
        token::claim(self.number, &self.tokens, self.slots, |slot| {
            let at = self.table + slot * WORDS * 8;
            let words = range.words_mut(at, WORDS).ok_or_else(|| misplaced(at))?;
            let generation = words.read().load(0, Ordering::Relaxed).wrapping_add(1);
            // Relaxed: the messages may be wrong for a moment, and the Release of the first `lock`
            // publishes the generation.
            words.store(1, machine::current_process().into(), Ordering::Relaxed);
            words.store(2, machine::current_thread().into(), Ordering::Relaxed);
            words.store(3, machine::started_here(), Ordering::Relaxed);
            words.store(SLEEPS_ON, 0, Ordering::Relaxed);
            words.store(0, generation, Ordering::Release);
            Ok(owner_of(slot, generation))
        })
    }

    fn slot_word(&self, range: &MappedRange, slot: usize, word: usize) -> Result<u64> {
        let at = self.table + slot * WORDS * 8;
        let words = range.words_mut(at, WORDS).ok_or_else(|| misplaced(at))?;
        Ok(words.read().load(word, Ordering::Relaxed))
    }

    /// Returns the owner, as its slot describes it: a hint, which a peer may have forged.
    fn holder(&self, range: &MappedRange, owner: u32) -> Option<Holder> {
        let slot = (owner & (MOST_SLOTS as u32 - 1)) as usize;
        let word = |word| self.slot_word(range, slot, word).ok();
        if slot >= self.slots || owner_of(slot, word(0)?) != owner {
            return None;
        }
        let pid = u32::try_from(word(1)?).ok().filter(|pid| *pid != 0)?;
        Some(Holder::new(pid).with_program(machine::program(pid, Some(word(3)?))))
    }
}

#[inline]
fn release(word: &Half) {
    // SYNC POINT (unlock). Release pairs with the Acquire of `lock` and `wait`. No other thread
    // changes the word of a living owner, so a store is enough: `Locks::is_held` adds 0.
    word.store(0, Ordering::Release);
}

/// Returns the number that names the owner of `slot` in `generation` in lock words.
fn owner_of(slot: usize, generation: u64) -> u32 {
    ((generation % GENERATIONS + 1) as u32) << SLOT_BITS | slot as u32
}

#[cold]
fn misplaced(at: usize) -> Error {
    Error::new(ErrorKind::InvalidArgument, "take lock", "").detail(format!(
        "byte {at} is not a lock word of this view, or the view is for reading; give the region's \
         writable view"
    ))
}
