//! Values: four slots a record, read without a lock, written under the record's, published by one
//! swap of `state`.

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]

use crate::{
    engine::{Handle, Store, Wrote},
    layout::{Desc, State, record, slot},
    mem::{
        Fault, Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        Store as _,
    },
    raw::{Payload, Raw, Shot},
    trouble::{Trouble, outside},
};

use mapvar_os::Taken;

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<R> {
    /// The value, whole, and its version.
    Value(R, u64),
    /// The variable is removed.
    Absent,
    /// The record is another variable's, or nobody's, by now.
    Stale,
}

/// Words of a slot up to the first of its value.
const PLAIN: usize = slot::DATA + 1;

/// What one attempt at a read found.
enum Attempt<R> {
    Done(Seen<R>),
    Changed,
    /// The slot makes no sense, though nobody was writing it.
    Senseless,
}

impl Raw<'_> {
    /// The first word, for an `Atomic`.
    #[inline]
    pub(crate) fn first_word(&self) -> u64 {
        match self.payload {
            Payload::Word(word) => word,
            Payload::Bytes(_) => 0,
        }
    }
}

impl<M: Mem> Store<M> {
    /// Reads the variable of a handle: `take` copies what it wants out of the slot. It may be
    /// called several times, on what is half-written; what it answered counts once the read was
    /// found to be whole.
    ///
    /// Takes no lock and writes nothing, unless others rewrite the variable all the time.
    #[inline]
    pub fn read<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<M::Words<'a>>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        for _ in 0..M::ATTEMPTS {
            match self.attempt::<0, _>(handle, &mut take) {
                Attempt::Done(seen) => return Ok(seen),
                Attempt::Changed => std::hint::spin_loop(),
                Attempt::Senseless => {
                    return Err(Trouble::Corrupt(
                        "a value's description makes no sense",
                        handle.at,
                    ));
                }
            }
        }
        self.read_locked(handle, take)
    }

    /// The kind and word of a number or `bool`, if one attempt finds it; else [`read`](Self::read)
    /// is to be asked. For the fast path: what it answers is small, and has nothing to drop.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]
    #[inline(always)]
    pub(crate) fn peek(&self, handle: Handle) -> Option<(u8, u64)> {
        match self.attempt::<PLAIN, _>(handle, &mut |shot| (shot.kind, shot.len, shot.word())) {
            Attempt::Done(Seen::Value((kind, 8, word), _)) => Some((kind, word)),
            _ => None,
        }
    }

    /// As [`peek`](Self::peek), of the bytes of any value, as many as fit; answers how many it has.
    #[inline]
    pub fn peek_into(&self, handle: Handle, into: &mut [u8]) -> Option<usize> {
        let mut take = |shot: Shot<M::Words<'_>>| {
            shot.copy_to(into);
            shot.len
        };
        match self.attempt::<0, _>(handle, &mut take) {
            Attempt::Done(Seen::Value(len, _)) => Some(len),
            _ => None,
        }
    }

    /// Writes a value, if the record's lock is free at once and nothing else is in the way; else
    /// [`write`](Self::write) or [`write_present`](Self::write_present) is to be asked. A removed
    /// variable is made one again only if it is to be `revived`.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]
    #[inline(always)]
    pub fn poke(&self, handle: Handle, raw: &Raw<'_>, revived: bool) -> bool {
        if handle.atomic {
            return false;
        }
        let Some(line) = self.mem.words_mut(handle.at, record::LINE) else { return false };
        // SYNC POINT S5.
        match self.mem.try_lock(handle.lock()) {
            Some(Taken::Clean) => {}
            Some(Taken::Recovered) => self.mem.wake(handle.wake()),
            None => return false,
        }
        let wrote = (revived || !self.is_removed(handle, line))
            && matches!(self.write_locked(handle, line, raw), Wrote::Version(_));
        self.mem.unlock(handle.lock());
        wrote
    }

    /// Whether the current slot is a tombstone, under the record's lock.
    #[inline]
    fn is_removed(&self, handle: Handle, line: M::WordsMut<'_>) -> bool {
        let state = State(line.load(record::STATE, Relaxed));
        self.mem
            .words(handle.slot_at(state.current()), PLAIN)
            .is_some_and(|slot| Desc(slot.load(slot::DESC, Relaxed)).kind() == slot::TOMBSTONE)
    }

    /// One attempt at a read. `WORDS` are those of the slot that `take` looks at, 0 for all of it:
    /// with a constant number the compiler sees that they are within.
    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]
    #[inline(always)]
    fn attempt<'a, const WORDS: usize, R>(
        &'a self,
        handle: Handle,
        take: &mut impl FnMut(Shot<M::Words<'a>>) -> R,
    ) -> Attempt<R> {
        let Some(line) = self.mem.words(handle.at, record::LINE) else { return Attempt::Senseless };
        // SYNC POINT S1: the slot's content as it was published.
        let state = State(line.load(record::STATE, Acquire));
        if line.load(record::ID, Acquire) != handle.id {
            return Attempt::Done(Seen::Stale);
        }
        let count = if WORDS == 0 { handle.slot_words() } else { WORDS };
        let Some(slot) = self.mem.words(handle.slot_at(state.current()), count) else {
            return Attempt::Senseless;
        };
        // Each word of the slot once: it is checked, then used.
        let desc = Desc(slot.load(slot::DESC, Relaxed));
        let type_id = (slot.load(slot::TYPE, Relaxed) >> 32) as u32;
        // An Atomic's value is one word, which is not the slot's.
        let room = if handle.atomic { 8 } else { handle.room() as u64 };
        let sensible = desc.len() <= room && desc.flags() == 0;
        let removed = desc.kind() == slot::TOMBSTONE;
        let taken = (sensible && !removed).then(|| {
            let (words, first) =
                if handle.atomic { (line, record::VALUE) } else { (slot, slot::DATA) };
            take(Shot { kind: desc.kind(), type_id, words, first, len: desc.len() as usize })
        });
        // SYNC POINT S2: if any of it was written over, the slot's version tells.
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        // SYNC POINT S3: if the record was remade, its id tells.
        let same = line.load(record::ID, Relaxed) == handle.id;
        if !whole && !self.mem.planted(Fault::NoVersionCheck) {
            return Attempt::Changed;
        }
        if !same && !self.mem.planted(Fault::NoIdCheck) {
            return Attempt::Done(Seen::Stale);
        }
        match taken {
            Some(taken) => Attempt::Done(Seen::Value(taken, state.version())),
            None if removed => Attempt::Done(Seen::Absent),
            None => Attempt::Senseless,
        }
    }

    /// The bounded fallback: with the record's lock nobody writes.
    #[cold]
    fn read_locked<'a, R>(
        &'a self,
        handle: Handle,
        mut take: impl FnMut(Shot<M::Words<'a>>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            // Mapped for reading: patience is all there is.
            let mut round = 0;
            while self.mem.pause(round) {
                if let Attempt::Done(seen) = self.attempt::<0, _>(handle, &mut take) {
                    return Ok(seen);
                }
                round += 1;
            }
            return Err(Trouble::Contended);
        }
        self.lock_record(handle)?;
        let attempt = self.attempt::<0, _>(handle, &mut take);
        self.mem.unlock(handle.lock());
        match attempt {
            Attempt::Done(seen) => Ok(seen),
            Attempt::Changed | Attempt::Senseless => {
                Err(Trouble::Corrupt("a value's version is not the one published", handle.at))
            }
        }
    }

    /// Writes a value, or a tombstone, to the record of a handle.
    #[inline]
    pub fn write(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        if handle.atomic {
            return self.write_atomic(handle, raw);
        }
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        // SYNC POINT S5.
        self.lock_record(handle)?;
        let wrote = self.write_locked(handle, line, raw);
        self.mem.unlock(handle.lock());
        Ok(wrote)
    }

    /// As [`write`](Self::write), to a variable that is there: a removed one stays so.
    #[inline]
    pub(crate) fn write_present(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        if handle.atomic {
            return self.write_atomic(handle, raw);
        }
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        self.lock_record(handle)?;
        let present = line.load(record::ID, Acquire) == handle.id;
        let wrote = if present && self.is_removed(handle, line) {
            Wrote::Absent
        } else {
            self.write_locked(handle, line, raw)
        };
        self.mem.unlock(handle.lock());
        Ok(wrote)
    }

    #[allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]
    #[inline(always)]
    fn write_locked(&self, handle: Handle, line: M::WordsMut<'_>, raw: &Raw<'_>) -> Wrote {
        let state = State(line.load(record::STATE, Relaxed));
        if line.load(record::ID, Acquire) != handle.id
            && !self.mem.planted(Fault::NoIdCheckUnderLock)
        {
            return Wrote::Stale;
        }
        let tombstone = raw.kind == slot::TOMBSTONE;
        if tombstone || raw.len() > handle.room() {
            let removed = self.is_removed(handle, line);
            if tombstone && removed {
                return Wrote::Absent;
            }
            if !tombstone {
                return Wrote::TooSmall { room: handle.room(), removed };
            }
        }
        let number =
            if self.mem.planted(Fault::ReuseCurrent) { state.current() } else { state.free_slot() };
        let Some(words) = self.mem.words_mut(handle.slot_at(number), handle.slot_words()) else {
            return Wrote::Stale;
        };
        let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
        if !self.mem.planted(Fault::NoInvalid) {
            words.store(slot::VERSION, slot::INVALID, Relaxed);
        }
        // SYNC POINT S2: who sees a word of the new value sees that the slot is invalid.
        self.mem.fence(Release);
        Self::fill_slot(words, raw);
        words.store(slot::VERSION, version, Release);
        // SYNC POINT S1: the publication.
        let mut new = state.publish(version, number);
        if tombstone && handle.atomic {
            new = State(new.0 | State::REMOVED);
        }
        let old = State(line.swap(record::STATE, new.0, AcqRel));
        if old.waited_for() {
            // Before the lock is given back: if this process dies here, the next holder is told.
            self.mem.wake(handle.wake());
        }
        Wrote::Version(version)
    }

    /// Stores all of a slot but its version. `words` are the slot's.
    #[inline]
    pub(crate) fn fill_slot(words: M::WordsMut<'_>, raw: &Raw<'_>) {
        words.store(slot::SEAL, 0, Relaxed);
        words.store(slot::DESC, Desc::new(raw.len(), raw.kind).0, Relaxed);
        words.store(slot::TYPE, u64::from(raw.type_id) << 32, Relaxed);
        match raw.payload {
            Payload::Word(word) => words.store(slot::DATA, word, Relaxed),
            Payload::Bytes(bytes) => {
                let mut at = slot::DATA;
                let (chunks, rest) = bytes.as_chunks::<8>();
                for chunk in chunks {
                    words.store(at, u64::from_le_bytes(*chunk), Relaxed);
                    at += 1;
                }
                if !rest.is_empty() {
                    let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
                    words.store(at, word, Relaxed);
                }
            }
        }
    }

    /// Makes a removed `Atomic` one again, of the kind and with the value of `raw`.
    pub(crate) fn revive_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<(), Trouble> {
        let words = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        self.lock_record(handle)?;
        // Somebody may have been quicker.
        if State(words.load(record::STATE, Relaxed)).removed() {
            // Before `REMOVED` goes: until then nobody's operation begins.
            words.store(record::VALUE, raw.first_word(), Release);
            self.write_locked(handle, words, raw);
        }
        self.mem.unlock(handle.lock());
        Ok(())
    }

    /// A value stored to an `Atomic`, or its removal.
    fn write_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        let words = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        if raw.kind == slot::TOMBSTONE {
            self.lock_record(handle)?;
            let wrote = self.write_locked(handle, words, raw);
            self.mem.unlock(handle.lock());
            return Ok(wrote);
        }
        match self.read(handle, |shot| shot.kind)? {
            Seen::Stale => Ok(Wrote::Stale),
            // Removed, and its remover did not come to collect it.
            Seen::Absent => Ok(Wrote::TooSmall { room: 0, removed: true }),
            Seen::Value(kind, version) if kind == raw.kind => {
                let word = raw.first_word();
                let stored =
                    self.atomic(handle, |words| words.swap(record::VALUE, word, SeqCst))?;
                Ok(stored.map_or(Wrote::Stale, |_| Wrote::Version(version)))
            }
            Seen::Value(..) => Err(Trouble::WrongKind(
                "it is an Atomic of another kind, and an Atomic's kind never changes; remove it \
                 first",
            )),
        }
    }

    /// The kind of an `Atomic`; `None` where it is no more.
    pub(crate) fn atomic_kind(&self, handle: Handle) -> Result<Option<u8>, Trouble> {
        Ok(match self.read(handle, |shot| shot.kind)? {
            Seen::Value(kind, _) => Some(kind),
            Seen::Absent | Seen::Stale => None,
        })
    }

    /// A lock-free operation on the word of an `Atomic`; `None` where the variable is no more. Its
    /// record is never another variable's, so one look at the id is enough.
    ///
    /// `operate` changes the word by a read-modify-write that is `SeqCst`, as is the load of
    /// `state` here, and as are both of who waits (WAIT set, then the word loaded): one of the two
    /// sees the other. On x86 that costs nothing beyond the read-modify-write; a store and a fence
    /// would take three times as long.
    #[inline]
    pub(crate) fn atomic<R>(
        &self,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Result<Option<R>, Trouble> {
        let words = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        if words.load(record::ID, Acquire) != handle.id
            || State(words.load(record::STATE, Acquire)).removed()
        {
            return Ok(None);
        }
        let result = operate(words);
        if State(words.load(record::STATE, SeqCst)).waited_for() {
            words.fetch_and(record::STATE, !State::WAIT, AcqRel);
            self.mem.wake(handle.wake());
        }
        Ok(Some(result))
    }

    /// The word of an `Atomic`; `None` where the variable is no more.
    #[inline]
    pub(crate) fn atomic_load(&self, handle: Handle) -> Result<Option<u64>, Trouble> {
        let words = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        let value = words.load(record::VALUE, Acquire);
        let there = words.load(record::ID, Relaxed) == handle.id
            && !State(words.load(record::STATE, Relaxed)).removed();
        Ok(there.then_some(value))
    }
}
