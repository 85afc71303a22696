//! The store over its memory: the state that all parts of the engine share.

use crate::{
    error::{EngineError, outside},
    header::Facts,
    layout::{State, Table, chunk, journal, live, record},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
        Private, StoreWords as _,
    },
};
use std::sync::Mutex;

/// A store in the region `M`.
#[derive(Debug)]
pub struct Store<M> {
    pub(crate) mem: M,
    // Private copies of the header's words, made when it was validated: a peer that rewrites the
    // header changes nothing here.
    pub(crate) seed: u64,
    /// The first word of the region's random number (header word 3).
    pub uuid: u64,
    /// Whether the region lives in a file.
    pub file: bool,
    pub(crate) max_size: u64,
    /// The lowest version that this incarnation gives out. Recovery moves it above every version
    /// that an earlier incarnation gave out, durable or not.
    pub version_base: u64,
    /// Held by the thread that uses this process's one pin.
    pub(crate) pinning: Mutex<()>,
    /// Held by the thread that flushes for this process.
    pub(crate) flushing: Mutex<()>,
    /// How many threads of this process are in a turn.
    pub(crate) turning: Private,
}

/// How many ids were given out, and what the record of an insertion under way had as its id.
#[derive(Clone, Copy, Debug)]
pub struct Births {
    count: u64,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    record: u64,
    id: u64,
}

impl<M: Mem> Store<M> {
    /// Makes the store of a region from its validated header.
    pub fn new(mem: M, facts: &Facts) -> Result<Self, EngineError> {
        let store = Self {
            mem,
            seed: facts.seed,
            uuid: facts.uuid[0],
            file: facts.file,
            max_size: if facts.max_size == 0 { u64::MAX } else { facts.max_size },
            version_base: 0,
            pinning: Mutex::new(()),
            flushing: Mutex::new(()),
            turning: Private::new(0),
        };
        let mut store = store;
        store.reload()?;
        Ok(store)
    }

    /// Reloads the words that a recovery may have changed.
    pub fn reload(&mut self) -> Result<(), EngineError> {
        let base = self.live()?.load(live::VERSION_BASE, Acquire);
        self.version_base = base.min(State::LARGEST);
        Ok(())
    }

    /// Returns the memory of the store.
    pub fn mem(&self) -> &M {
        &self.mem
    }

    /// Consumes the store and returns its memory.
    pub fn into_mem(self) -> M {
        self.mem
    }

    /// Returns the live words, for reading.
    pub fn live(&self) -> Result<M::Words<'_>, EngineError> {
        self.mem.words(live::AT, live::WORDS).ok_or_else(|| outside(live::AT))
    }

    /// Returns the live words, for writing.
    pub fn live_mut(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(live::AT, live::WORDS).ok_or(EngineError::ReadOnly)
    }

    /// Returns the journal of the structure lock.
    pub fn journal(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(journal::AT, journal::WORDS).ok_or(EngineError::ReadOnly)
    }

    /// Returns a number that no variable and no chunk of this region ever had. The counter moves
    /// before the number is used, so no death makes two variables share one. The caller holds the
    /// structure lock.
    pub(crate) fn new_id(&self) -> Result<u64, EngineError> {
        let births = self.live_mut()?.fetch_add(live::BIRTHS, 1, Relaxed).saturating_add(1);
        // A peer may have forged the counter. Even then the id is not 0 and has no `RETIRED` bit,
        // which would make the record count as free or removed.
        Ok((births.max(self.version_base) & !record::RETIRED).max(1))
    }

    /// Returns the seed with which names are hashed for this region.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns how many ids were ever given out, to variables and to chunks of records.
    pub fn births(&self) -> Result<u64, EngineError> {
        Ok(self.live()?.load(live::BIRTHS, Acquire))
    }

    /// Returns what [`is_without_birth_since`](Self::is_without_birth_since) compares.
    pub fn births_now(&self) -> Result<Births, EngineError> {
        let count = self.births()?;
        // After the count: an insertion that has taken its id before, and is not found here, has
        // ended.
        let words = self.mem.words(journal::AT, journal::WORDS);
        let words = words.ok_or_else(|| outside(journal::AT))?;
        let inserts = words.load(journal::OPERATION, Acquire) == journal::INSERT;
        // SYNC POINT S8. If it is the record of a later insertion, the one that this process has
        // found under way has published its variable, and this process finds it.
        let record = words.load(journal::RECORD, Acquire);
        let pending = inserts.then(|| Pending { record, id: self.id_at(record) });
        Ok(Births { count, pending })
    }

    /// Whether no variable was inserted since. An insertion takes its id first, and may publish the
    /// variable much later, or never: a dead process leaves the journal as it is.
    pub fn is_without_birth_since(&self, before: Births) -> Result<bool, EngineError> {
        let unpublished = |pending: Pending| {
            let id = self.id_at(pending.record);
            id == 0 || id == pending.id
        };
        Ok(before.pending.is_none_or(unpublished) && self.births()? == before.count)
    }

    /// Returns the id of the variable in the record; 0 for none.
    fn id_at(&self, record: u64) -> u64 {
        let line = self.mem.words(record, record::LINE);
        line.map_or(0, |line| line.load(record::ID, Acquire))
    }

    /// Returns the current index. The caller holds the structure lock, so no other process replaces
    /// it.
    pub fn table(&self) -> Result<Table, EngineError> {
        Ok(Table::of_root(self.live()?.load(live::ROOT, Relaxed)))
    }
}

const _: () = assert!(chunk::BITS + 2 <= chunk::WORDS, "the header holds both words of bits");
