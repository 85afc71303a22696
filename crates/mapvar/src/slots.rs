//! Values: four slots a record, read without a lock, written under the record's, published by one
//! swap of `state`.

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]
#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    engine::{Expect, Handle, Store, Wrote},
    layout::{self, Desc, State, chunk, record, slot},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        Store as _,
    },
    raw::{Payload, Raw, Shot},
    trouble::{Trouble, outside},
};
use mapvar_os::Taken;

/// The extent, by the offset of its data, that a slot referred to before it was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it leaks until the next sweep unless it is released"]
pub(crate) struct Replaced(pub(crate) u64);

impl Replaced {
    pub(crate) const NOTHING: Self = Self(0);
}

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

/// What one look at a slot found.
enum Look<R> {
    /// What `take` made of it, on a slot that was whole all the time; and its version.
    Whole(R, u64),
    Changed,
    Stale,
    /// The record or the slot lies beyond the region.
    Outside,
}

impl<R> Look<(Option<R>, Desc)> {
    fn seen(self, handle: Handle) -> Result<Seen<R>, Trouble> {
        match self {
            Self::Whole((Some(taken), _), version) => Ok(Seen::Value(taken, version)),
            Self::Whole((None, desc), _) if desc.kind() == slot::TOMBSTONE => Ok(Seen::Absent),
            Self::Whole((None, _), _) => {
                Err(Trouble::Corrupt("a value's description makes no sense", handle.at))
            }
            Self::Changed => {
                Err(Trouble::Corrupt("a value's version is not the one published", handle.at))
            }
            Self::Stale => Ok(Seen::Stale),
            Self::Outside => Err(outside(handle.at)),
        }
    }
}

impl Raw<'_> {
    /// The first word, for an `Atomic`.
    #[inline]
    pub(crate) fn first_word(&self) -> u64 {
        match self.payload {
            Payload::Word(word) => word,
            Payload::Bytes(_) | Payload::Extent { .. } => 0,
        }
    }
}

impl<M: Mem> Store<M> {
    /// Reads the variable of a handle: `take` copies what it wants out of the slot. It may be
    /// called several times, on what is half-written; what it answered counts once the read was
    /// found to be whole.
    ///
    /// Takes no lock and writes nothing, unless others rewrite the variable all the time, or the
    /// process that it was to end with is gone: then it is removed.
    pub fn read<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        // It may lie where the region has grown to.
        if self.mem.words(handle.at, handle.words()).is_none() {
            return Err(outside(handle.at));
        }
        match self.look_again(handle, &mut take, true)? {
            Some(seen) => Ok(seen),
            None => self.read_patiently(handle, take),
        }
    }

    /// As [`read`](Self::read), without the lock, whatever others do: `None` where each attempt met
    /// somebody who writes. For who holds a lock already, and may not take a second one.
    #[inline]
    pub(crate) fn read_at_once<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Option<Seen<R>>, Trouble> {
        self.look_again(handle, &mut take, false)
    }

    /// A few looks. What has ended with its process is to be `buried`: by who holds no lock.
    #[inline]
    fn look_again<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
        bury: bool,
    ) -> Result<Option<Seen<R>>, Trouble> {
        for _ in 0..M::ATTEMPTS {
            match self.look_at_value(handle, &mut take) {
                Look::Changed => std::hint::spin_loop(),
                look => match self.judge(handle, look, bury)? {
                    None => std::hint::spin_loop(),
                    seen => return Ok(seen),
                },
            }
        }
        Ok(None)
    }

    /// What a look has found, and for an ephemeral value whether its process lives; `None`: it is to
    /// be looked at again.
    #[inline]
    fn judge<R>(
        &self,
        handle: Handle,
        look: Look<(Option<R>, Desc)>,
        bury: bool,
    ) -> Result<Option<Seen<R>>, Trouble> {
        match look {
            Look::Whole((Some(taken), desc), version) if desc.is_ephemeral() => {
                self.judge_ephemeral(handle, taken, version, bury)
            }
            look => look.seen(handle).map(Some),
        }
    }

    #[cold]
    #[inline(never)]
    fn judge_ephemeral<R>(
        &self,
        handle: Handle,
        taken: R,
        version: u64,
        bury: bool,
    ) -> Result<Option<Seen<R>>, Trouble> {
        let Some((owner, _)) = self.owner(handle)?.filter(|(_, of)| *of == version) else {
            return Ok(None);
        };
        if self.lives(owner)? {
            return Ok(Some(Seen::Value(taken, version)));
        }
        if bury {
            self.bury(handle, version);
        }
        Ok(Some(Seen::Absent))
    }

    /// The token of whose process the variable ends with, and its version; `None` where it is no
    /// such, or is being written.
    pub(crate) fn owner(&self, handle: Handle) -> Result<Option<(u64, u64)>, Trouble> {
        let words = self.mem.words(handle.at, handle.words()).ok_or_else(|| outside(handle.at))?;
        // SYNC POINT S1.
        let state = State(words.load(record::STATE, Acquire));
        let (number, at) = (handle.slot(state.current()), handle.slot_at(state.current()));
        let desc = Desc(words.load(number + slot::DESC, Relaxed));
        let owner = self.owner_at(at, desc);
        // SYNC POINT S2.
        self.mem.fence(Acquire);
        let same = words.load(number + slot::VERSION, Relaxed) == state.version()
            && words.load(record::ID, Relaxed) == handle.id;
        let ephemeral = desc.is_ephemeral() && !handle.atomic;
        Ok((same && ephemeral).then_some((owner, state.version())))
    }

    /// The token in the slot at `at` of an ephemeral value, else 0, which is nobody's.
    pub(crate) fn owner_at(&self, at: u64, desc: Desc) -> u64 {
        if !desc.is_ephemeral() {
            return 0;
        }
        // Of a length that makes no sense another word, or none: of nobody either.
        let at = at.saturating_add(slot::DATA_AT + desc.words_before_owner() * 8);
        self.mem.words(at, 1).map_or(0, |word| word.load(0, Relaxed))
    }

    /// The bounded fallback: with the record's lock nobody writes.
    #[cold]
    fn read_patiently<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(Shot<'a, M>) -> R,
    ) -> Result<Seen<R>, Trouble> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            // Mapped for reading: patience is all there is.
            let mut round = 0;
            while self.mem.pause(round) {
                match self.look_at_value(handle, &mut take) {
                    Look::Changed => round += 1,
                    look => match self.judge(handle, look, false)? {
                        None => round += 1,
                        Some(seen) => return Ok(seen),
                    },
                }
            }
            return Err(Trouble::Contended);
        }
        // Before the lock, which others wait for.
        let _turn = self.pinning();
        self.lock_record(handle)?;
        match self.pin(handle) {
            Ok(None) => {
                let look = self.look_at_value(handle, &mut take);
                // Nobody can write it, and what is gone is passed over.
                let seen = self.judge(handle, look, false);
                self.mem.unlock(handle.lock());
                seen?.ok_or(Trouble::Contended)
            }
            Ok(Some(pinned)) => {
                // What is pinned does not change: nobody need wait while it is copied.
                self.mem.unlock(handle.lock());
                self.take_pinned(&pinned, take)
            }
            Err(trouble) => {
                self.mem.unlock(handle.lock());
                Err(trouble)
            }
        }
    }

    /// As [`peek`](Self::peek), of the bytes of any value, as many as fit; answers how many it has.
    #[inline(always)]
    pub fn peek_into(&self, handle: Handle, into: &mut [u8]) -> Option<usize> {
        if handle.atomic {
            return None;
        }
        // What lies in an extent, and what makes no sense, is the slow path's.
        let copy = |desc: Desc, _, at: u64| {
            let len = usize::try_from(desc.len()).ok().filter(|len| *len <= handle.room())?;
            if desc.flags() != 0 || desc.kind() == slot::TOMBSTONE {
                return None;
            }
            let into = into.get_mut(..len.min(into.len()))?;
            self.mem.near(at + slot::DATA_AT, into.len().div_ceil(8))?.copy_to(into);
            Some(len)
        };
        match self.look_at_slot(handle, copy) {
            Look::Whole(len, _) => len,
            _ => None,
        }
    }

    /// The description of the value, of which nothing was checked, and its first word, if one look
    /// finds them; else [`read`](Self::read) is to be asked. For the fast path: what it answers is
    /// small, and has nothing to drop.
    #[inline(always)]
    pub(crate) fn peek(&self, handle: Handle) -> Option<(Desc, u64)> {
        if handle.atomic {
            return None;
        }
        match self.look_at_slot(handle, |desc, slot, _| (desc, slot.load(slot::DATA, Relaxed))) {
            Look::Whole(read, _) => Some(read),
            _ => None,
        }
    }

    /// Whether there is a value to take is told with it, by its description.
    #[inline(always)]
    fn look_at_value<'a, R>(
        &'a self,
        handle: Handle,
        take: &mut impl FnMut(Shot<'a, M>) -> R,
    ) -> Look<(Option<R>, Desc)> {
        self.look(handle, |shot| {
            let desc = shot.desc;
            (shot.is_value().then(|| take(shot)), desc)
        })
    }

    #[inline(always)]
    fn look<'a, R>(&'a self, handle: Handle, take: impl FnOnce(Shot<'a, M>) -> R) -> Look<R> {
        self.look_at_slot(handle, |desc, slot, at| {
            let (data, room) = if handle.atomic {
                // An Atomic's value is one word, which is not the slot's.
                (handle.at + record::VALUE_AT, 8)
            } else if desc.flags() & slot::EXTENT == 0 {
                (at + slot::DATA_AT, handle.room())
            } else {
                self.referred(slot, desc)
            };
            take(Shot { mem: &self.mem, desc, slot, data, room, type_id: None })
        })
    }

    /// Looks at the current slot: `take` is handed its description, its first words and its offset.
    /// Only at what is mapped already: [`read`](Self::read) has seen to it.
    #[inline(always)]
    fn look_at_slot<'a, R>(
        &'a self,
        handle: Handle,
        take: impl FnOnce(Desc, M::Words<'a>, u64) -> R,
    ) -> Look<R> {
        let Some(line) = self.mem.near(handle.at, record::LINE) else { return Look::Outside };
        // SYNC POINT S1: the slot's content as it was published.
        let state = State(line.load(record::STATE, Acquire));
        if line.load(record::ID, Acquire) != handle.id {
            return Look::Stale;
        }
        let at = handle.slot_at(state.current());
        let Some(slot) = self.mem.near(at, slot::LEAST) else { return Look::Outside };
        let taken = take(Desc(slot.load(slot::DESC, Relaxed)), slot, at);
        // SYNC POINT S2: if any of it was written over, the slot's version tells.
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        // SYNC POINT S3: if the record was remade, its id tells.
        let same = line.load(record::ID, Relaxed) == handle.id;
        if !whole {
            return Look::Changed;
        }
        if !same {
            return Look::Stale;
        }
        Look::Whole(taken, state.version())
    }

    /// Where the slot says that its value lies, and for how many bytes that holds; no bytes where
    /// it does not lie within the region.
    #[inline(never)]
    pub(crate) fn referred(&self, slot: M::Words<'_>, desc: Desc) -> (u64, usize) {
        let at = slot.load(slot::DATA, Relaxed);
        let capacity = slot.load(slot::DATA + 1, Relaxed);
        let lies_within = || {
            layout::pieces(at, desc.len()).all(|(at, len)| {
                usize::try_from(len).is_ok_and(|len| self.mem.words(at, len.div_ceil(8)).is_some())
            })
        };
        match usize::try_from(desc.len()) {
            Ok(len) if desc.len() <= capacity && at < self.mem.limit() && lies_within() => {
                (at, len)
            }
            _ => (at, 0),
        }
    }

    /// Writes a value, or a tombstone, to the record of a handle.
    pub fn write(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        self.write_if(handle, raw, Expect::Any)
    }

    /// As [`write`](Self::write), where what stands there is as expected.
    pub(crate) fn write_if(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, Trouble> {
        if expect != Expect::Any || raw.kind == slot::TOMBSTONE {
            self.settle(handle)?;
        }
        self.write_settled(handle, raw, expect)
    }

    /// Sees to it that what is there only in name, since its process is gone, is removed. Should it
    /// end after this, the operation came before that.
    fn settle(&self, handle: Handle) -> Result<(), Trouble> {
        if self.is_ephemeral(handle) {
            // A removal of it, if it is to be one.
            let _ = self.read(handle, |_| ())?;
        }
        Ok(())
    }

    /// Whether the variable seems to end with a process.
    pub(crate) fn is_ephemeral(&self, handle: Handle) -> bool {
        let desc = self.mem.words(handle.at, handle.words()).map(|words| {
            let state = State(words.load(record::STATE, Acquire));
            Desc(words.load(handle.slot(state.current()) + slot::DESC, Relaxed))
        });
        desc.is_some_and(Desc::is_ephemeral)
    }

    /// Removes the value of this version, whose process is gone, or goes: as anybody may who finds it
    /// so. It counts as absent whatever comes of this.
    #[cold]
    #[inline(never)]
    pub(crate) fn bury(&self, handle: Handle, version: u64) {
        let removed = self.write_settled(handle, &Raw::TOMBSTONE, Expect::Version(version));
        if matches!(removed, Ok(Wrote::Version(_))) {
            let _ = self.collect(handle);
        }
    }

    fn write_settled(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, Trouble> {
        if handle.atomic {
            if raw.owner != 0 {
                return Err(Trouble::WrongKind(
                    "it is an Atomic, which cannot end with a process; remove it first",
                ));
            }
            if matches!(expect, Expect::Version(_) | Expect::Absent) {
                return Err(Trouble::WrongKind(
                    "it is an Atomic, which has no versions; use its `compare_exchange`",
                ));
            }
            return self.write_atomic(handle, raw);
        }
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            return Err(Trouble::ReadOnly);
        }
        if raw.inline_len() > handle.room() {
            return self.write_large(handle, raw, expect);
        }
        // SYNC POINT S5.
        self.lock_record(handle)?;
        let wrote = self.write_locked(handle, raw, expect);
        self.mem.unlock(handle.lock());
        let (wrote, replaced) = wrote.ok_or_else(|| outside(handle.at))?;
        self.release_quietly(replaced);
        Ok(wrote)
    }

    /// Writes a value, if the record's lock is free at once and nothing else is in the way; else
    /// [`write_if`](Self::write_if) is to be asked. A removed variable is made one again only if it
    /// is to be `revived`.
    #[inline(always)]
    pub fn poke(&self, handle: Handle, raw: &Raw<'_>, revived: bool) -> bool {
        // What ends with a process is set slowly: the compiler is to know that this is none.
        let raw = &Raw { owner: 0, ..*raw };
        if handle.atomic || raw.inline_len() > handle.room() {
            return false;
        }
        // SYNC POINT S5.
        match self.mem.try_lock(handle.lock()) {
            Some(Taken::Clean) => {}
            Some(Taken::Recovered) => self.rouse_waiters(handle),
            None => return false,
        }
        let expect = if revived { Expect::Any } else { Expect::Present };
        let wrote = self.write_locked(handle, raw, expect);
        self.mem.unlock(handle.lock());
        match wrote {
            Some((Wrote::Version(_), replaced)) => {
                self.release_quietly(replaced);
                true
            }
            _ => false,
        }
    }

    /// Writes to the record, whose lock is held, and which has room for the value. `None` where
    /// the record lies beyond what may be written. Answers also the extent that the written slot
    /// referred to before, which is to be released.
    #[inline(always)]
    pub(crate) fn write_locked(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Option<(Wrote, Replaced)> {
        let line = self.mem.near_mut(handle.at, record::LINE)?;
        let state = State(line.load(record::STATE, Relaxed));
        if line.load(record::ID, Acquire) != handle.id {
            return Some((Wrote::Stale, Replaced::NOTHING));
        }
        let removing = raw.kind == slot::TOMBSTONE;
        if expect != Expect::Any || removing {
            let removed = self.is_removed(handle, state)?;
            if let Some(refused) = expect.refuses(state.version(), removed, removing) {
                return Some((refused, Replaced::NOTHING));
            }
        }
        let number = state.free_slot();
        let version = (state.version() + 1).max(self.version_base).min(State::LARGEST);
        let replaced = self.fill_slot(handle.slot_at(number), version, raw, false)?;
        if self.file {
            self.mark_dirty(handle.at)?;
        }
        self.publish(line, handle, state, version, number, removing);
        Some((Wrote::Version(version), replaced))
    }

    /// Publishes slot `number`, and wakes who waits for the variable.
    #[inline(always)]
    pub(crate) fn publish(
        &self,
        line: M::WordsMut<'_>,
        handle: Handle,
        state: State,
        version: u64,
        number: usize,
        removing: bool,
    ) {
        // SYNC POINT S1: the publication.
        let mut new = state.publish(version, number);
        if removing && handle.atomic {
            new = State(new.0 | State::REMOVED);
        }
        // SYNC POINT S17.
        let old = State(line.swap(record::STATE, new.0, AcqRel));
        if old.waited_for() {
            // Before the lock is given back: if this process dies here, the next holder is told.
            self.wake_waiters(handle);
        }
    }

    /// Whether the current slot is a tombstone. With the record's lock, or its mark.
    pub(crate) fn is_removed(&self, handle: Handle, state: State) -> Option<bool> {
        let current = self.mem.words_mut(handle.slot_at(state.current()), slot::LEAST)?;
        Some(Desc(current.load(slot::DESC, Relaxed)).kind() == slot::TOMBSTONE)
    }

    /// Notes, for the next flush, that the record at `at` was written. Before the publication: what
    /// a flush does not find here, nobody was told to be set.
    #[inline(always)]
    pub(crate) fn mark_dirty(&self, at: u64) -> Option<()> {
        let (header, bit) = layout::dirty_bit(at);
        let header = self.mem.near_mut(header, chunk::WORDS)?;
        if header.load(chunk::DIRTY, Relaxed) & bit == 0 {
            // SYNC POINT S10.
            header.fetch_or(chunk::DIRTY, bit, AcqRel);
        }
        Some(())
    }

    /// Writes the slot at `at`, all of it, and answers the extent that it referred to before. A
    /// `fresh` one is of a record that has no id: nobody reads it. `None` where it lies beyond what
    /// may be written.
    #[inline(always)]
    pub(crate) fn fill_slot(
        &self,
        at: u64,
        version: u64,
        raw: &Raw<'_>,
        fresh: bool,
    ) -> Option<Replaced> {
        let slot = self.mem.near_mut(at, slot::LEAST)?;
        let data = match raw.payload {
            Payload::Word(_) | Payload::Extent { .. } => None,
            Payload::Bytes(bytes) => {
                Some((bytes, self.mem.near_mut(at + slot::DATA_AT, bytes.len().div_ceil(8))?))
            }
        };
        let mut replaced = Replaced::NOTHING;
        if !fresh {
            if Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
                replaced = Replaced(slot.load(slot::DATA, Relaxed));
            }
            slot.store(slot::VERSION, slot::INVALID, Relaxed);
            // SYNC POINT S2: who sees a word of the new value sees that the slot is invalid.
            self.mem.fence(Release);
        }
        slot.store(slot::SEAL, 0, Relaxed);
        slot.store(slot::TYPE, u64::from(raw.type_id) << 32, Relaxed);
        let desc = raw.desc();
        if raw.owner != 0 {
            let owner = at + slot::DATA_AT + desc.words_before_owner() * 8;
            self.mem.near_mut(owner, 1)?.store(0, raw.owner, Relaxed);
        }
        if let Payload::Extent { extent, .. } = raw.payload {
            slot.store(slot::DATA, extent.at, Relaxed);
            slot.store(slot::DATA + 1, extent.capacity, Relaxed);
            slot.store(slot::DESC, desc.0, Release);
            if replaced.0 == extent.at {
                // Written in place.
                replaced = Replaced::NOTHING;
            }
        } else {
            slot.store(slot::DESC, desc.0, Relaxed);
        }
        match data {
            None if matches!(raw.payload, Payload::Extent { .. }) => {}
            None => slot.store(slot::DATA, raw.first_word(), Relaxed),
            Some((bytes, data)) => data.copy_from(bytes),
        }
        slot.store(slot::VERSION, version, Release);
        Some(replaced)
    }

    /// Makes a removed `Atomic` one again, of the kind and with the value of `raw`.
    pub(crate) fn revive_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<(), Trouble> {
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(Trouble::ReadOnly)?;
        self.lock_record(handle)?;
        // Somebody may have been quicker.
        if State(words.load(record::STATE, Relaxed)).removed() {
            // Before `REMOVED` goes: until then nobody's operation begins.
            words.store(record::VALUE, raw.first_word(), Release);
            let _ = self.write_locked(handle, raw, Expect::Any);
        }
        self.mem.unlock(handle.lock());
        Ok(())
    }

    /// A value stored to an `Atomic`, or its removal.
    fn write_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, Trouble> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            return Err(Trouble::ReadOnly);
        }
        if raw.kind == slot::TOMBSTONE {
            self.lock_record(handle)?;
            let wrote = self.write_locked(handle, raw, Expect::Any);
            self.mem.unlock(handle.lock());
            return wrote.map(|(wrote, _)| wrote).ok_or_else(|| outside(handle.at));
        }
        match self.read(handle, |shot| shot.kind())? {
            Seen::Stale => Ok(Wrote::Stale),
            // Removed, and its remover did not come to collect it.
            Seen::Absent => Ok(Wrote::Unfit),
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
        Ok(match self.read(handle, |shot| shot.kind())? {
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
    pub fn atomic<R>(
        &self,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Result<Option<R>, Trouble> {
        let words = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        Ok(self.operate(words, handle, operate))
    }

    #[inline(always)]
    fn operate<R>(
        &self,
        words: M::WordsMut<'_>,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Option<R> {
        if words.load(record::ID, Acquire) != handle.id
            || State(words.load(record::STATE, Acquire)).removed()
        {
            return None;
        }
        let result = operate(words);
        if self.file {
            // After the operation: a flush that begins when this has returned finds it.
            let _ = self.mark_dirty(handle.at);
        }
        if State(words.load(record::STATE, SeqCst)).waited_for() {
            self.wake_atomic(words, handle);
        }
        Some(result)
    }

    #[cold]
    fn wake_atomic(&self, words: M::WordsMut<'_>, handle: Handle) {
        words.fetch_and(record::STATE, !State::WAIT, AcqRel);
        self.wake_waiters(handle);
    }

    /// As [`atomic`](Self::atomic); `None` where nothing was done, and that tells why.
    #[inline(always)]
    pub(crate) fn poke_atomic<R>(
        &self,
        handle: Handle,
        operate: impl FnOnce(M::WordsMut<'_>) -> R,
    ) -> Option<R> {
        let words = self.mem.near_mut(handle.at, record::LINE)?;
        self.operate(words, handle, operate)
    }

    /// The word of an `Atomic`; `None` where the variable is no more.
    pub(crate) fn atomic_load(&self, handle: Handle) -> Result<Option<u64>, Trouble> {
        if self.mem.words(handle.at, record::LINE).is_none() {
            return Err(outside(handle.at));
        }
        Ok(self.peek_atomic(handle))
    }

    /// As [`atomic_load`](Self::atomic_load); `None` where that tells what there is instead.
    #[inline(always)]
    pub(crate) fn peek_atomic(&self, handle: Handle) -> Option<u64> {
        let words = self.mem.near(handle.at, record::LINE)?;
        let value = words.load(record::VALUE, Acquire);
        let there = words.load(record::ID, Relaxed) == handle.id
            && !State(words.load(record::STATE, Relaxed)).removed();
        there.then_some(value)
    }
}
