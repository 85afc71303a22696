//! Waiting for variables to change: `docs/FORMAT.md`, "Waiting for a change".

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]

use crate::{
    engine::{Handle, Store},
    layout::{Desc, State, live, record, slot},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, SeqCst},
        Store as _,
    },
    raw::{Captured, Data},
    slots::Seen,
    trouble::{Trouble, outside},
};
use std::time::Duration;

/// How long a thread sleeps at most before it looks again, should nobody have woken it.
pub(crate) const NAP: Duration = Duration::from_millis(100);

/// Where a variable stood when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The id of the variable.
    pub id: u64,
    /// Its version; of an `Atomic` its word.
    pub number: u64,
    /// Whether it is removed, its record still there.
    pub removed: bool,
}

impl Stand {
    /// Whether it is where the variable of this line, in this state, stands.
    fn is(self, line: impl Load, handle: Handle, state: State) -> bool {
        let number = if handle.atomic { line.load(record::VALUE, SeqCst) } else { state.version() };
        line.load(record::ID, Acquire) == self.id
            && number == self.number
            && (!handle.atomic || state.removed() == self.removed)
    }
}

/// A variable as who follows it finds it.
#[derive(Clone, Debug)]
pub enum Found {
    /// Here, with its value, and the token of whose process it ends with, 0: it stays.
    Value(Captured, Stand, u64),
    /// Removed, its record still there.
    Removed(Stand),
    /// The record is another variable's, or nobody's, by now.
    Stale,
}

impl<M: Mem> Store<M> {
    /// The variable of a handle, and where it stands.
    pub fn follow(&self, handle: Handle) -> Result<Found, Trouble> {
        for round in 0.. {
            match self.read(handle, |shot| (shot.capture(), shot.desc.is_ephemeral()))? {
                Seen::Value((captured, ephemeral), version) => {
                    let captured = captured?;
                    let number = match captured.data {
                        Data::Word(word) if handle.atomic => word,
                        _ => version,
                    };
                    let stand = Stand { id: handle.id, number, removed: false };
                    // Of a later value, which is looked at again anyway, it may be none.
                    let owner = if ephemeral { self.owner(handle)? } else { None };
                    let owner = owner.map_or(0, |(owner, _)| owner);
                    return Ok(Found::Value(captured, stand, owner));
                }
                Seen::Stale => return Ok(Found::Stale),
                Seen::Absent => {}
            }
            // Which removal it was, `read` does not tell.
            match self.stand(handle)? {
                Some(stand) if stand.removed => return Ok(Found::Removed(stand)),
                None => return Ok(Found::Stale),
                // Set again in between.
                Some(_) if round < 64 => {}
                Some(_) => return Err(Trouble::Contended),
            }
        }
        Err(Trouble::Contended)
    }

    /// Where the variable of a handle stands; `None` where the record is no longer its.
    pub fn stand(&self, handle: Handle) -> Result<Option<Stand>, Trouble> {
        let line = self.mem.words(handle.at, record::LINE).ok_or_else(|| outside(handle.at))?;
        for _ in 0..64 {
            // SYNC POINT S1.
            let state = State(line.load(record::STATE, Acquire));
            let word = line.load(record::VALUE, Acquire);
            let at = handle.slot_at(state.current());
            let slot = self.mem.words(at, slot::LEAST).ok_or_else(|| outside(at))?;
            let desc = Desc(slot.load(slot::DESC, Acquire));
            let owner = self.owner_at(at, desc);
            // SYNC POINT S2.
            self.mem.fence(Acquire);
            let whole = handle.atomic || slot.load(slot::VERSION, Acquire) == state.version();
            if line.load(record::ID, Acquire) != handle.id {
                return Ok(None);
            }
            if whole {
                let number = if handle.atomic { word } else { state.version() };
                let removed = if handle.atomic {
                    state.removed()
                } else {
                    // What ended with its process is removed, if not by anybody yet.
                    desc.kind() == slot::TOMBSTONE || (desc.is_ephemeral() && !self.lives(owner)?)
                };
                return Ok(Some(Stand { id: handle.id, number, removed }));
            }
            std::hint::spin_loop();
        }
        Err(Trouble::Contended)
    }

    /// Whether the variable is as it stood, by two loads.
    #[inline]
    pub fn is_as(&self, handle: Handle, stand: Stand) -> bool {
        let Some(line) = self.mem.near(handle.at, record::LINE) else { return false };
        // SYNC POINT S17: who sees the version sees the value.
        let state = State(line.load(record::STATE, Acquire));
        stand.is(line, handle, state)
    }

    /// Says in the variable's `state` that it is waited for; answers whether it is as it stood. The
    /// wake word's count was loaded before.
    ///
    /// Where WAIT stands already a load is enough: whose swap takes it away adds to the wake word,
    /// after the count that was seen, or this load would have found what the swap has published. On
    /// Windows what a waiter says of itself is published by the wake word's own bit.
    pub fn arm(&self, handle: Handle, stand: Stand) -> Result<bool, Trouble> {
        let line = self.mem.words_mut(handle.at, record::LINE).ok_or(Trouble::ReadOnly)?;
        // SYNC POINT S17.
        let mut state = State(line.load(record::STATE, Acquire));
        if !state.waited_for() {
            // A record that is another's by now, or its own kind of word, is not to be changed: the
            // bit would be harmless in a state, and is none in the epoch of a retired one.
            if line.load(record::ID, Acquire) != stand.id {
                return Ok(false);
            }
            let order = if handle.atomic { SeqCst } else { AcqRel };
            state = State(line.fetch_or(record::STATE, State::WAIT, order));
        }
        Ok(stand.is(line, handle, state))
    }

    /// One sleep of who waits for one variable: whether it was seen to have changed.
    pub fn doze(&self, handle: Handle, stand: Stand, at_most: Duration) -> Result<bool, Trouble> {
        // SYNC POINT S18.
        let seen = self.mem.wakes(handle.wake())?;
        if !self.arm(handle, stand)? {
            return Ok(true);
        }
        self.mem.park(handle.wake(), seen, at_most)?;
        Ok(!self.is_as(handle, stand))
    }

    /// Wakes who waits for a variable: by itself, and among others.
    #[inline]
    pub(crate) fn wake_waiters(&self, handle: Handle) {
        self.wake_at(handle.wake());
    }

    // By one word: the fast path would lay a handle out in memory for it.
    #[cold]
    #[inline(never)]
    fn wake_at(&self, word: u64) {
        self.mem.wake(word);
        self.mem.wake(live::CHANGES_WAKE);
    }

    /// As [`wake_waiters`](Self::wake_waiters), where somebody may have died who was about to do so:
    /// he may have taken the sign away that somebody sleeps.
    #[inline]
    pub(crate) fn rouse_waiters(&self, handle: Handle) {
        self.rouse_word(handle.wake());
    }

    #[cold]
    #[inline(never)]
    fn rouse_word(&self, word: u64) {
        self.mem.rouse(word);
        self.mem.rouse(live::CHANGES_WAKE);
    }

    /// The same for who replays what was done to the record at `at`, or was to be one.
    #[cold]
    pub(crate) fn rouse_at(&self, at: u64) {
        if self.mem.words(at, record::LINE).is_some() {
            self.mem.rouse(at + record::WAKE);
        }
        self.mem.rouse(live::BIRTHS_WAKE);
        self.mem.rouse(live::CHANGES_WAKE);
    }

    /// Wakes who waits for a variable that there was not.
    pub(crate) fn wake_for_birth(&self) {
        self.mem.wake(live::BIRTHS_WAKE);
        self.mem.wake(live::CHANGES_WAKE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by a panic")]
mod tests {
    use super::*;
    use crate::{mem::heap::Heap, raw::Raw, region};

    fn store() -> Store<Heap> {
        let facts = region::Facts {
            uuid: [1, 2],
            seed: 3,
            size: 1024,
            region: 12 * crate::layout::CHUNK,
            max_size: 0,
            file: false,
            created: 0,
            creator: 0,
        };
        let heap = Heap::new(12 * crate::layout::CHUNK as usize);
        let words = heap.words_mut(0, 12 * crate::layout::CHUNK as usize / 8).unwrap();
        region::format(words, &facts);
        Store::new(heap, &facts).unwrap()
    }

    /// How often births and changes were told to who sleeps for them.
    fn told(store: &Store<Heap>) -> (u32, u32) {
        let count = |at| store.mem().wakes(at).unwrap();
        (count(live::BIRTHS_WAKE), count(live::CHANGES_WAKE))
    }

    #[test]
    fn who_waits_for_many_is_woken_by_births_and_by_what_is_waited_for() {
        let store = store();
        let set = |name: &str| {
            store.set(store.query(name.as_bytes()), &Raw::word(crate::Kind::U64, 1)).unwrap();
        };
        set("a");
        assert_eq!(told(&store), (1, 1));
        // Nobody waits: nothing that others share is touched.
        set("a");
        assert_eq!(told(&store), (1, 1));
        let handle = store.find(store.query(b"a")).unwrap().unwrap();
        let stand = store.stand(handle).unwrap().unwrap();
        assert!(store.is_as(handle, stand) && store.arm(handle, stand).unwrap());
        set("a");
        assert_eq!(told(&store), (1, 2));
        assert!(!store.is_as(handle, stand) && !store.arm(handle, stand).unwrap());
        assert!(store.doze(handle, stand, NAP).unwrap());
        set("b");
        assert_eq!(told(&store), (2, 3), "what was armed is told once, and the birth");
    }

    #[test]
    fn a_removed_variable_stands_and_a_collected_one_does_not() {
        let store = store();
        let query = store.query(b"a");
        store.set(query, &Raw::word(crate::Kind::U64, 1)).unwrap();
        let handle = store.find(query).unwrap().unwrap();
        let here = store.stand(handle).unwrap().unwrap();
        assert!(store.remove(query).unwrap());
        // On the heap a removal collects at once.
        assert!(!store.is_as(handle, here));
        assert!(store.stand(handle).unwrap().is_none_or(|stand| stand.removed));
        assert!(!store.arm(handle, here).unwrap());
        assert!(matches!(store.follow(handle).unwrap(), Found::Stale | Found::Removed(_)));
    }
}
