//! The store over its memory: what all parts of the engine share.

use crate::{
    error::{EngineError, outside},
    header::Facts,
    layout::{State, Table, chunk, journal, live, record},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
        StoreWords as _,
    },
};
use std::sync::Mutex;

/// A store in the region `M`.
#[derive(Debug)]
pub struct Store<M> {
    pub(crate) mem: M,
    // Private copies of what the header said when it was checked.
    pub(crate) seed: u64,
    /// The first word of the region's own number.
    pub uuid: u64,
    /// Whether the region lives in a file.
    pub file: bool,
    pub(crate) max_size: u64,
    /// The number above which the versions of this incarnation begin.
    pub version_base: u64,
    /// Taken by the thread that has this process's pin.
    pub(crate) pinning: Mutex<()>,
    /// Taken by the thread that flushes for this process.
    pub(crate) flushing: Mutex<()>,
}

impl<M: Mem> Store<M> {
    /// The store in a region whose header said this.
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
        };
        let mut store = store;
        store.reload()?;
        Ok(store)
    }

    /// Reads anew what a recovery may have changed.
    pub(crate) fn reload(&mut self) -> Result<(), EngineError> {
        let base = self.live()?.load(live::VERSION_BASE, Acquire);
        self.version_base = base.min(State::LARGEST);
        Ok(())
    }

    /// The memory underneath.
    pub fn mem(&self) -> &M {
        &self.mem
    }

    /// The memory underneath, the store given up.
    pub fn into_mem(self) -> M {
        self.mem
    }

    /// The live words, for reading.
    pub fn live(&self) -> Result<M::Words<'_>, EngineError> {
        self.mem.words(live::AT, live::WORDS).ok_or_else(|| outside(live::AT))
    }

    /// The live words, for writing.
    pub fn live_mut(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(live::AT, live::WORDS).ok_or(EngineError::ReadOnly)
    }

    /// The journal of the structure lock.
    pub fn journal(&self) -> Result<M::WordsMut<'_>, EngineError> {
        self.mem.words_mut(journal::AT, journal::WORDS).ok_or(EngineError::ReadOnly)
    }

    /// A number that no variable of this region, and no chunk, ever had. Under L.
    pub(crate) fn new_id(&self) -> Result<u64, EngineError> {
        let births = self.live_mut()?.fetch_add(live::BIRTHS, 1, Relaxed).saturating_add(1);
        // Never 0 and never with the bit, whatever a peer made of the counter.
        Ok((births.max(self.version_base) & !record::RETIRED).max(1))
    }

    /// How many variables, and chunks of them, were ever made.
    pub fn births(&self) -> Result<u64, EngineError> {
        Ok(self.live()?.load(live::BIRTHS, Acquire))
    }

    /// The index that is current, for the owner of the structure lock.
    pub fn table(&self) -> Result<Table, EngineError> {
        Ok(Table::of_root(self.live()?.load(live::ROOT, Relaxed)))
    }
}

const _: () = assert!(chunk::BITS + 2 <= chunk::WORDS, "the header holds both words of bits");
