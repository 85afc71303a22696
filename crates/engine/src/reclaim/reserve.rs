//! Extents of values that are about to be written: reserved before they are filled, released once
//! no slot refers to them.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, CHUNK, Extent, extent, journal, kind},
    mem::{
        Mem,
        Ordering::{Relaxed, Release},
        StoreWords as _,
    },
    reclaim::grow::Space,
    record::write::Replaced,
    space::extents::ExtentLocation,
    store::Store,
};

impl<M: Mem> Store<M> {
    /// Reserves an extent for a value of the variable. It belongs to the caller while this process
    /// lives, or until a slot refers to it.
    pub fn reserve(&self, handle: Handle, len: usize) -> Result<Extent, EngineError> {
        self.reserve_in(Space::Reclaimed, handle, len)
    }

    /// As [`reserve`](Self::reserve), for a transaction, which collects no removed variables.
    pub fn reserve_for_commit(&self, handle: Handle, len: usize) -> Result<Extent, EngineError> {
        self.reserve_in(Space::Grown, handle, len)
    }

    fn reserve_in(&self, space: Space, handle: Handle, len: usize) -> Result<Extent, EngineError> {
        let filler = self.mem.seat()?;
        self.with_space(space, len as u64 + CHUNK, || {
            let _held = self.lock_structure()?;
            let place = self.vacant(len)?;
            let at = place.data();
            let head_at = at - extent::HEAD;
            let head =
                self.mem.words_mut(head_at, extent::WORDS).ok_or_else(|| outside(head_at))?;
            let write_head = || {
                head.store(extent::RECORD, handle.at, Relaxed);
                head.store(extent::ID, handle.id, Relaxed);
                head.store(extent::FILLER, filler, Release);
            };
            match place {
                ExtentLocation::Part(part, _) => {
                    write_head();
                    self.take_bit(part)?;
                }
                ExtentLocation::Run(first, span) => {
                    // SYNC POINT S9.
                    self.mem.fence(Release);
                    self.write_run_header(first)?;
                    write_head();
                    // The journal before the chunks' words: a death in between would leak the run.
                    self.journal_run(first, span)?;
                    for number in (first + 1..first + span).rev() {
                        if !layout::holds_table(number) {
                            self.set_chunk(number, kind::REST, 0)?;
                        }
                    }
                    // Last: with this word the run exists.
                    self.set_run_head(first, span)?;
                    self.journal()?.store(journal::OPERATION, journal::NOTHING, Release);
                }
            }
            Ok(Extent { at, capacity: place.capacity() })
        })
    }

    /// Releases an extent to which no slot refers.
    pub fn abandon(&self, extent: Extent) {
        self.abandon_all([extent]);
    }

    /// Releases extents to which no slot refers.
    pub fn abandon_all(&self, extents: impl IntoIterator<Item = Extent>) {
        let abandoned = extents.into_iter().map(|extent| {
            self.filled(extent);
            Replaced(extent.at)
        });
        self.release_all(abandoned.collect());
    }

    /// Releases an extent to which a slot referred before. If that fails, a sweep frees it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "on the path of every set; most release nothing")]
    pub(crate) fn release_quietly(&self, replaced: Replaced) {
        if replaced != Replaced::NOTHING {
            let _ = self.release(replaced.0);
        }
    }

    /// As [`release_quietly`](Self::release_quietly), for many extents by one wait for L.
    pub(crate) fn release_all(&self, mut replaced: Vec<Replaced>) {
        replaced.retain(|replaced| *replaced != Replaced::NOTHING);
        if replaced.is_empty() {
            return;
        }
        let Ok(_held) = self.lock_structure() else { return };
        for replaced in replaced {
            let _ = self.reclaim(replaced.0);
        }
    }

    #[cold]
    fn release(&self, at: u64) -> Result<bool, EngineError> {
        let _held = self.lock_structure()?;
        self.reclaim(at)
    }
}
