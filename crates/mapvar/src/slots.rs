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
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        for _ in 0..M::ATTEMPTS {
            match self.attempt(handle, words, &mut take) {
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
        self.read_locked(handle, words, take)
    }

    /// The kind and word of a number or `bool`, if one attempt finds it; else [`read`](Self::read)
    /// is to be asked. For the fast path: what it answers is small, and has nothing to drop.
    #[inline]
    pub(crate) fn peek(&self, handle: Handle) -> Option<(u8, u64)> {
        let words = self.mem.words(handle.at, handle.words())?;
        match self.attempt(handle, words, &mut |shot| (shot.kind, shot.len, shot.word())) {
            Attempt::Done(Seen::Value((kind, 8, word), _)) => Some((kind, word)),
            _ => None,
        }
    }

    /// As [`peek`](Self::peek), of the bytes of any value, as many as fit; answers how many it has.
    #[inline]
    pub(crate) fn peek_into(&self, handle: Handle, into: &mut [u8]) -> Option<usize> {
        let words = self.mem.words(handle.at, handle.words())?;
        let mut take = |shot: Shot<M::Words<'_>>| {
            shot.copy_to(into);
            shot.len
        };
        match self.attempt(handle, words, &mut take) {
            Attempt::Done(Seen::Value(len, _)) => Some(len),
            _ => None,
        }
    }

    /// Writes a value, if the record's lock is free at once and nothing else is in the way; else
    /// [`write`](Self::write) or [`write_present`](Self::write_present) is to be asked. A removed
    /// variable is made one again only if it is to be `revived`.
    #[inline]
    pub(crate) fn poke(&self, handle: Handle, raw: &Raw<'_>, revived: bool) -> bool {
        if handle.atomic {
            return false;
        }
        let Some(words) = self.mem.words_mut(handle.at, handle.words()) else { return false };
        // SYNC POINT S5.
        match self.mem.try_lock(handle.lock()) {
            Some(Taken::Clean) => {}
            Some(Taken::Recovered) => self.mem.wake(handle.wake()),
            None => return false,
        }
        let wrote = (revived || !Self::is_removed(handle, words))
            && matches!(self.write_locked(handle, words, raw), Wrote::Version(_));
        self.mem.unlock(handle.lock());
        wrote
    }

    /// Whether the current slot is a tombstone, under the record's lock.
    #[inline]
    fn is_removed(handle: Handle, words: M::WordsMut<'_>) -> bool {
        let state = State(words.load(record::STATE, Relaxed));
        let current = Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed));
        current.kind() == slot::TOMBSTONE
    }

    #[inline]
    fn attempt<'a, R>(
        &'a self,
        handle: Handle,
        words: M::Words<'a>,
        take: &mut impl FnMut(Shot<M::Words<'a>>) -> R,
    ) -> Attempt<R> {
        // SYNC POINT S1: the slot's content as it was published.
        let state = State(words.load(record::STATE, Acquire));
        if words.load(record::ID, Acquire) != handle.id {
            return Attempt::Done(Seen::Stale);
        }
        let first = handle.slot(state.current());
        // Each word of the slot once: it is checked, then used.
        let desc = Desc(words.load(first + slot::DESC, Relaxed));
        let type_id = (words.load(first + slot::TYPE, Relaxed) >> 32) as u32;
        let sensible = desc.len() <= handle.room() as u64 && desc.flags() == 0;
        let removed = desc.kind() == slot::TOMBSTONE;
        let taken = (sensible && !removed).then(|| {
            take(Shot {
                kind: desc.kind(),
                type_id,
                words,
                first: if handle.atomic { record::VALUE } else { first + slot::DATA },
                len: desc.len() as usize,
            })
        });
        // SYNC POINT S2: if any of it was written over, the slot's version tells.
        self.mem.fence(Acquire);
        let whole = words.load(first + slot::VERSION, Relaxed) == state.version();
        // SYNC POINT S3: if the record was remade, its id tells.
        let same = words.load(record::ID, Relaxed) == handle.id;
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
        words: M::Words<'a>,
        mut take: impl FnMut(Shot<M::Words<'a>>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            // Mapped for reading: patience is all there is.
            let mut round = 0;
            while self.mem.pause(round) {
                if let Attempt::Done(seen) = self.attempt(handle, words, &mut take) {
                    return Ok(seen);
                }
                round += 1;
            }
            return Err(Trouble::Contended);
        }
        self.lock_record(handle)?;
        let attempt = self.attempt(handle, words, &mut take);
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
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(Trouble::ReadOnly)?;
        // SYNC POINT S5.
        self.lock_record(handle)?;
        let wrote = self.write_locked(handle, words, raw);
        self.mem.unlock(handle.lock());
        Ok(wrote)
    }

    /// As [`write`](Self::write), to a variable that is there: a removed one stays so.
    #[inline]
    pub(crate) fn write_present(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        if handle.atomic {
            return self.write_atomic(handle, raw);
        }
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(Trouble::ReadOnly)?;
        self.lock_record(handle)?;
        let present = words.load(record::ID, Acquire) == handle.id;
        let wrote = if present && Self::is_removed(handle, words) {
            Wrote::Absent
        } else {
            self.write_locked(handle, words, raw)
        };
        self.mem.unlock(handle.lock());
        Ok(wrote)
    }

    #[inline]
    fn write_locked(&self, handle: Handle, words: M::WordsMut<'_>, raw: &Raw<'_>) -> Wrote {
        let state = State(words.load(record::STATE, Relaxed));
        if words.load(record::ID, Acquire) != handle.id
            && !self.mem.planted(Fault::NoIdCheckUnderLock)
        {
            return Wrote::Stale;
        }
        let tombstone = raw.kind == slot::TOMBSTONE;
        if tombstone || raw.len() > handle.room() {
            let current = Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed));
            let removed = current.kind() == slot::TOMBSTONE;
            if tombstone && removed {
                return Wrote::Absent;
            }
            if !tombstone {
                return Wrote::TooSmall { room: handle.room(), removed };
            }
        }
        let number =
            if self.mem.planted(Fault::ReuseCurrent) { state.current() } else { state.free_slot() };
        let first = handle.slot(number);
        let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
        if !self.mem.planted(Fault::NoInvalid) {
            words.store(first + slot::VERSION, slot::INVALID, Relaxed);
        }
        // SYNC POINT S2: who sees a word of the new value sees that the slot is invalid.
        self.mem.fence(Release);
        Self::fill_slot(words, handle, number, raw);
        words.store(first + slot::VERSION, version, Release);
        // SYNC POINT S1: the publication.
        let mut new = state.publish(version, number);
        if tombstone && handle.atomic {
            new = State(new.0 | State::REMOVED);
        }
        let old = State(words.swap(record::STATE, new.0, AcqRel));
        if old.waited_for() {
            // Before the lock is given back: if this process dies here, the next holder is told.
            self.mem.wake(handle.wake());
        }
        Wrote::Version(version)
    }

    /// Stores all of a slot but its version.
    #[inline]
    pub(crate) fn fill_slot(words: M::WordsMut<'_>, handle: Handle, number: usize, raw: &Raw<'_>) {
        let first = handle.slot(number);
        words.store(first + slot::SEAL, 0, Relaxed);
        words.store(first + slot::DESC, Desc::new(raw.len(), raw.kind).0, Relaxed);
        words.store(first + slot::TYPE, u64::from(raw.type_id) << 32, Relaxed);
        match raw.payload {
            Payload::Word(word) => words.store(first + slot::DATA, word, Relaxed),
            Payload::Bytes(bytes) => {
                let mut at = first + slot::DATA;
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
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(Trouble::ReadOnly)?;
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
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(Trouble::ReadOnly)?;
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
