//! Reading a slot without a lock: attempts, each of which finds out by itself whether what it read is whole.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Desc, State, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    store::Store,
    value::SlotView,
};

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

/// What a read found.
#[derive(Debug)]
#[must_use = "an expired value stays until somebody removes it"]
pub(crate) enum ReadOutcome<R> {
    Seen(Seen<R>),
    /// The value of this version has ended with its process: it counts as absent, and is to be
    /// removed by a process that holds no lock.
    Expired(u64),
}

/// What one attempt at a slot found.
pub(crate) enum AttemptOutcome<R> {
    /// What `take` made of it, on a slot that was whole all the time; and its version.
    Whole(R, u64),
    Changed,
    Stale,
    /// The record or the slot lies beyond the region.
    Outside,
}

impl<R> AttemptOutcome<(Option<R>, Desc)> {
    fn seen(self, handle: Handle) -> Result<Seen<R>, EngineError> {
        match self {
            Self::Whole((Some(taken), _), version) => Ok(Seen::Value(taken, version)),
            Self::Whole((None, desc), _) if desc.kind() == slot::TOMBSTONE => Ok(Seen::Absent),
            Self::Whole((None, _), _) => {
                Err(EngineError::Corrupt("a value's description makes no sense", handle.at))
            }
            Self::Changed => {
                Err(EngineError::Corrupt("a value's version is not the one published", handle.at))
            }
            Self::Stale => Ok(Seen::Stale),
            Self::Outside => Err(outside(handle.at)),
        }
    }
}

impl<M: Mem> Store<M> {
    /// As [`read`](Self::read), without the lock, whatever others do: `None` where each attempt met
    /// somebody who writes. For who holds a lock already, and may not take a second one.
    #[inline]
    pub fn read_at_once<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<Seen<R>>, EngineError> {
        Ok(self.try_read(handle, &mut take)?.map(|outcome| match outcome {
            ReadOutcome::Seen(seen) => seen,
            ReadOutcome::Expired(_) => Seen::Absent,
        }))
    }

    /// A few attempts; `None` where each of them met a writer.
    #[inline]
    pub(crate) fn try_read<R>(
        &self,
        handle: Handle,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        for _ in 0..M::ATTEMPTS {
            match self.read_attempt(handle, &mut take) {
                AttemptOutcome::Changed => std::hint::spin_loop(),
                look => match self.judge(handle, look)? {
                    None => std::hint::spin_loop(),
                    outcome => return Ok(outcome),
                },
            }
        }
        Ok(None)
    }

    /// What an attempt found, and for an ephemeral value whether its process lives; `None`: another
    /// attempt is due.
    #[inline]
    pub(crate) fn judge<R>(
        &self,
        handle: Handle,
        look: AttemptOutcome<(Option<R>, Desc)>,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        match look {
            AttemptOutcome::Whole((Some(taken), desc), version) if desc.is_ephemeral() => {
                self.judge_ephemeral(handle, taken, version)
            }
            look => look.seen(handle).map(|seen| Some(ReadOutcome::Seen(seen))),
        }
    }

    #[cold]
    #[inline(never)]
    fn judge_ephemeral<R>(
        &self,
        handle: Handle,
        taken: R,
        version: u64,
    ) -> Result<Option<ReadOutcome<R>>, EngineError> {
        let Some((owner, _)) = self.owner(handle)?.filter(|(_, of)| *of == version) else {
            return Ok(None);
        };
        Ok(Some(if self.lives(owner)? {
            ReadOutcome::Seen(Seen::Value(taken, version))
        } else {
            ReadOutcome::Expired(version)
        }))
    }

    /// As [`try_read_fast`](Self::try_read_fast), of the bytes of any value, as many as fit; answers how many it has.
    #[inline(always)]
    pub fn try_read_fast_into(&self, handle: Handle, into: &mut [u8]) -> Option<usize> {
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
            self.mem.mapped_words(at + slot::DATA_AT, into.len().div_ceil(8))?.copy_to(into);
            Some(len)
        };
        match self.look_at_slot(handle, copy) {
            AttemptOutcome::Whole(len, _) => len,
            _ => None,
        }
    }

    /// The description of the value, of which nothing was checked, and its first word, if one look
    /// finds them; else [`read`](Self::read) is to be asked. For the fast path: what it answers is
    /// small, and has nothing to drop.
    #[inline(always)]
    pub fn try_read_fast(&self, handle: Handle) -> Option<(Desc, u64)> {
        if handle.atomic {
            return None;
        }
        match self.look_at_slot(handle, |desc, slot, _| (desc, slot.load(slot::DATA, Relaxed))) {
            AttemptOutcome::Whole(read, _) => Some(read),
            _ => None,
        }
    }

    /// Whether there is a value to take is told with it, by its description.
    #[inline(always)]
    pub(crate) fn read_attempt<'a, R>(
        &'a self,
        handle: Handle,
        take: &mut impl FnMut(SlotView<'a, M>) -> R,
    ) -> AttemptOutcome<(Option<R>, Desc)> {
        self.look(handle, |view| {
            let desc = view.desc;
            (view.is_value().then(|| take(view)), desc)
        })
    }

    #[inline(always)]
    fn look<'a, R>(
        &'a self,
        handle: Handle,
        take: impl FnOnce(SlotView<'a, M>) -> R,
    ) -> AttemptOutcome<R> {
        self.look_at_slot(handle, |desc, slot, at| {
            let (data, room) = if handle.atomic {
                // An Atomic's value is one word, which is not the slot's.
                (handle.at + record::VALUE_AT, 8)
            } else if desc.flags() & slot::EXTENT == 0 {
                (at + slot::DATA_AT, handle.room())
            } else {
                self.referred(slot, desc)
            };
            take(SlotView { mem: &self.mem, desc, slot, data, room, type_id: None })
        })
    }

    /// Looks at the current slot: `take` is handed its description, its first words and its offset.
    /// Only at what is mapped already: [`read`](Self::read) has seen to it.
    #[inline(always)]
    fn look_at_slot<'a, R>(
        &'a self,
        handle: Handle,
        take: impl FnOnce(Desc, M::Words<'a>, u64) -> R,
    ) -> AttemptOutcome<R> {
        let Some(line) = self.mem.mapped_words(handle.at, record::LINE) else {
            return AttemptOutcome::Outside;
        };
        // SYNC POINT S1: the slot's content as it was published.
        let state = State(line.load(record::STATE, Acquire));
        if line.load(record::ID, Acquire) != handle.id {
            return AttemptOutcome::Stale;
        }
        let at = handle.slot_at(state.current());
        let Some(slot) = self.mem.mapped_words(at, slot::LEAST) else {
            return AttemptOutcome::Outside;
        };
        let taken = take(Desc(slot.load(slot::DESC, Relaxed)), slot, at);
        // SYNC POINT S2: if any of it was written over, the slot's version tells.
        self.mem.fence(Acquire);
        let whole = slot.load(slot::VERSION, Relaxed) == state.version();
        // SYNC POINT S3: if the record was remade, its id tells.
        let same = line.load(record::ID, Relaxed) == handle.id;
        if !whole {
            return AttemptOutcome::Changed;
        }
        if !same {
            return AttemptOutcome::Stale;
        }
        AttemptOutcome::Whole(taken, state.version())
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
}
