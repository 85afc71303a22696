//! Writing to the record of an existing variable.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{Desc, Extent, State, extent, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        StoreWords as _,
    },
    record::read::{ReadOutcome, Seen},
    record::write::Replaced,
    store::Store,
    value::{Payload, Raw},
    version::{Expect, Wrote},
};
use mapvar_os::Taken;

impl<M: Mem> Store<M> {
    pub(crate) fn write_record(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, EngineError> {
        if handle.atomic {
            if raw.owner != 0 {
                return Err(EngineError::WrongKind(
                    "it is an Atomic, which cannot end with a process; remove it first",
                ));
            }
            if matches!(expect, Expect::Version(_) | Expect::Absent) {
                return Err(EngineError::WrongKind(
                    "it is an Atomic, which has no versions; use its `compare_exchange`",
                ));
            }
            return self.write_atomic(handle, raw);
        }
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            return Err(EngineError::ReadOnly);
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

    /// Writes a value if the record's lock is free at once and nothing else is in the way; else the
    /// caller uses [`write_if`](Self::write_if). A removed variable is set again only if `revived`
    /// is true.
    #[inline(always)]
    pub fn try_write_fast(&self, handle: Handle, raw: &Raw<'_>, revived: bool) -> bool {
        // Ephemeral values take the slow path. This tells the compiler that the owner is 0.
        let raw = &Raw { owner: 0, ..*raw };
        if handle.atomic || raw.inline_len() > handle.room() {
            return false;
        }
        // SYNC POINT S5.
        match self.mem.try_lock(handle.lock()) {
            Some(Taken::Clean) => {}
            Some(Taken::Recovered) => self.force_wake_waiters(handle),
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

    /// Makes a removed `Atomic` exist again, with the kind and value of `raw`.
    pub fn revive_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<(), EngineError> {
        let words = self.mem.words_mut(handle.at, handle.words()).ok_or(EngineError::ReadOnly)?;
        self.lock_record(handle)?;
        // Another process may have been faster.
        if State(words.load(record::STATE, Relaxed)).removed() {
            // Before `REMOVED` is cleared: until then no operation begins.
            words.store(record::VALUE, raw.first_word(), Release);
            let _ = self.write_locked(handle, raw, Expect::Any);
        }
        self.mem.unlock(handle.lock());
        Ok(())
    }

    /// Stores a value to an `Atomic`, or removes it.
    fn write_atomic(&self, handle: Handle, raw: &Raw<'_>) -> Result<Wrote, EngineError> {
        if self.mem.words_mut(handle.at, handle.words()).is_none() {
            return Err(EngineError::ReadOnly);
        }
        if raw.kind == slot::TOMBSTONE {
            self.lock_record(handle)?;
            let wrote = self.write_locked(handle, raw, Expect::Any);
            self.mem.unlock(handle.lock());
            return wrote.map(|(wrote, _)| wrote).ok_or_else(|| outside(handle.at));
        }
        match self.read_record(handle, |view| view.kind())? {
            ReadOutcome::Seen(Seen::Stale) => Ok(Wrote::Stale),
            // Removed, and its remover has not collected it.
            ReadOutcome::Seen(Seen::Absent) | ReadOutcome::Expired(_) => Ok(Wrote::Unfit),
            ReadOutcome::Seen(Seen::Value(kind, version)) if kind == raw.kind => {
                let word = raw.first_word();
                let stored =
                    self.atomic(handle, |words| words.swap(record::VALUE, word, SeqCst))?;
                Ok(stored.map_or(Wrote::Stale, |_| Wrote::Version(version)))
            }
            ReadOutcome::Seen(Seen::Value(..)) => Err(EngineError::WrongKind(
                "it is an Atomic of another kind, and an Atomic's kind never changes; remove it \
                 first",
            )),
        }
    }

    /// Writes a value that does not fit the record.
    #[cold]
    pub(crate) fn write_large(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> Result<Wrote, EngineError> {
        let Payload::Bytes(bytes) = raw.payload else {
            return Err(EngineError::Corrupt("a number does not fit its record", handle.at));
        };
        if bytes.len() <= extent::IN_PLACE
            && let Some(wrote) = self.write_in_place(handle, raw, bytes, expect)?
        {
            return Ok(wrote);
        }
        // Reserved and filled before the record is locked: no other writer waits for the copy.
        let extent = self.reserve(handle, bytes.len())?;
        let wrote = self.fill(extent, bytes).and_then(|()| {
            self.lock_record(handle)?;
            Ok(self.publish_large(handle, &raw.lying_in(extent), expect))
        });
        match wrote {
            Ok((Some((wrote @ Wrote::Version(_), replaced)), stale)) => {
                self.release_quietly(replaced);
                for stale in stale {
                    self.release_quietly(stale);
                }
                Ok(wrote)
            }
            other => {
                self.abandon(extent);
                other?.0.map(|(wrote, _)| wrote).ok_or_else(|| outside(handle.at))
            }
        }
    }

    /// Publishes a value that lies in an extent. The caller holds the record's lock, which this
    /// unlocks.
    fn publish_large(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        expect: Expect,
    ) -> (Option<(Wrote, Replaced)>, Vec<Replaced>) {
        let former = self.mem.words(handle.at, record::LINE).map(|line| line.load(0, Relaxed));
        let wrote = self.write_locked(handle, raw, expect);
        let mut stale = Vec::new();
        if let Some((Wrote::Version(_), _)) = wrote
            && let Payload::Extent { extent, .. } = raw.payload
        {
            self.filled(extent);
            if raw.len() > extent::IN_PLACE {
                // Of large values only the former one is kept, for readers that still copy it.
                // The caller releases them after the unlock: that takes L, and a thread waits for
                // one lock at a time.
                stale = self.drop_stale(handle, former.map(State));
            }
        }
        self.mem.unlock(handle.lock());
        (wrote, stale)
    }

    /// Writes a value into the extent of the slot that is written next. Returns `None` if that slot
    /// has no extent that is large enough, or a reader has pinned it.
    fn write_in_place(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Option<Wrote>, EngineError> {
        // SYNC POINT S5.
        self.lock_record(handle)?;
        let wrote = self.write_in_place_locked(handle, raw, bytes, expect);
        self.mem.unlock(handle.lock());
        match wrote? {
            Some((wrote, replaced)) => {
                self.release_quietly(replaced);
                Ok(Some(wrote))
            }
            None => Ok(None),
        }
    }

    fn write_in_place_locked(
        &self,
        handle: Handle,
        raw: &Raw<'_>,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Option<(Wrote, Replaced)>, EngineError> {
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        let state = State(line.load(record::STATE, Relaxed));
        if line.load(record::ID, Acquire) != handle.id {
            return Ok(Some((Wrote::Stale, Replaced::NOTHING)));
        }
        if let Some(refused) = expect.refuses(state.version(), state.removed(), false) {
            return Ok(Some((refused, Replaced::NOTHING)));
        }
        let at = handle.slot_at(handle.free_slot(state));
        let slot = self.mem.words_mut(at, slot::LEAST).ok_or_else(|| outside(at))?;
        if !Desc(slot.load(slot::DESC, Relaxed)).is_extent() {
            return Ok(None);
        }
        let at = slot.load(slot::DATA, Relaxed);
        let Some(place) = self.place_of(at)? else { return Ok(None) };
        let capacity = place.capacity();
        let Some(head) = self.mem.words(at - extent::HEAD, extent::WORDS) else { return Ok(None) };
        let ours = head.load(extent::RECORD, Relaxed) == handle.at
            && head.load(extent::ID, Relaxed) == handle.id
            && head.load(extent::FILLER, Relaxed) == 0;
        // The head must name this variable and no filler. A forged slot could refer to another
        // variable's extent, which this write would destroy.
        if !ours || capacity < bytes.len() as u64 || self.is_pinned(at)? {
            return Ok(None);
        }
        slot.store(slot::VERSION, slot::INVALID, Relaxed);
        // SYNC POINT S2. Pairs with the Acquire fence in `read_slot`: a reader that sees a byte of
        // the new value sees that the slot is invalid.
        self.mem.fence(Release);
        let extent = Extent { at, capacity };
        self.copy_in(extent, bytes)?;
        self.write_locked(handle, &raw.lying_in(extent), expect)
            .map(Some)
            .ok_or_else(|| outside(handle.at))
    }
}
