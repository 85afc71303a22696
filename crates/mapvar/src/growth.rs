//! The region grows while others read and write: at its end, under L, by chunks that are free.

use crate::{
    engine::Store,
    layout::{self, CHUNK, kind, live},
    mem::{
        Fault, Load, Mem,
        Ordering::{Relaxed, Release},
        Store as _,
    },
    trouble::{Trouble, outside},
};

/// How often room is looked for again, after some was made.
const TRIES: usize = 8;
/// Chunks that are added at once, at the most, where fewer are needed: 256 MiB.
const STEP: u64 = (256 << 20) / CHUNK;

impl<M: Mem> Store<M> {
    /// Runs `attempt`, which needs about `bytes`; where the region is full, makes room and runs it
    /// again. First what was removed and left behind is taken back, then the region grows. So each
    /// growth pays for one look at everything, and that is the price of a sweep spread over many
    /// insertions.
    pub(crate) fn with_room<R>(
        &self,
        bytes: u64,
        mut attempt: impl FnMut() -> Result<R, Trouble>,
    ) -> Result<R, Trouble> {
        for round in 0..TRIES {
            let seen = self.chunk_count()?;
            let needed = match attempt() {
                Err(Trouble::Full { needed, .. }) => needed.max(bytes),
                done => return done,
            };
            let freed = if round == 0 { self.collect_all()? + self.sweep()? } else { 0 };
            // A little that came free is no reason to look at everything again soon.
            let enough = freed >= needed.max(self.chunk_count()? * CHUNK / 8);
            if !enough {
                match self.grow(needed, seen) {
                    Ok(true) => {}
                    Ok(false) | Err(_) if freed > 0 => {}
                    Ok(false) => return attempt(),
                    Err(trouble) => return Err(trouble),
                }
            }
        }
        attempt()
    }

    /// Makes the region longer by `bytes` at least, and by half of what it has where that is more;
    /// false where it may not grow so far. The section first, then the word that says so: a death
    /// in between leaves a longer section, which the next one uses.
    ///
    /// Who found `seen` chunks full may find more by now: then somebody else has just made it
    /// longer, and that is room to look at first. Else each of many who find it full at once would
    /// make it longer by half, which is beyond all bounds.
    pub(crate) fn grow(&self, bytes: u64, seen: u64) -> Result<bool, Trouble> {
        let _held = self.lock_structure()?;
        let chunks = self.chunk_count()?;
        if chunks > seen && !self.mem.planted(Fault::GrowthNotLookedFor) {
            return Ok(true);
        }
        let most = (self.max_size.min(self.mem.limit()) / CHUNK).min(layout::MOST_CHUNKS);
        // A table may come to lie in the new part.
        let needed = bytes.div_ceil(CHUNK) + 2;
        let needed = needed + needed / 1024;
        let room = most.saturating_sub(chunks);
        if room == 0 {
            return Ok(false);
        }
        let least = needed.min(room);
        let more = least.max((chunks / 2).min(STEP)).min(room);
        if self.mem.planted(Fault::CountBeforeGrowth) {
            self.live_mut()?.store(live::CHUNKS, chunks + more, Release);
        }
        let grown = match self.mem.grow((chunks + more) * CHUNK) {
            Ok(()) => more,
            Err(_) if self.mem.planted(Fault::GrowthUnchecked) => more,
            Err(_) if more > least => {
                self.mem.grow((chunks + least) * CHUNK)?;
                least
            }
            Err(trouble) => return Err(trouble),
        };
        // All of them: the tables may have words for chunks that there were before a power cut took
        // the end of the file.
        for number in chunks..chunks + grown {
            let kind = if layout::holds_table(number) { kind::TABLE } else { kind::FREE };
            let at = layout::table_word(number);
            let word = self.mem.words_mut(at, 1).ok_or_else(|| outside(at))?;
            if word.load(0, Relaxed) != kind && !self.mem.planted(Fault::TableTailKept) {
                word.store(0, kind, Relaxed);
            }
        }
        // SYNC POINT S11: who sees the number finds chunks there, free ones.
        self.live_mut()?.store(live::CHUNKS, chunks + grown, Release);
        self.hint_free(chunks)?;
        Ok(true)
    }

    /// Whether the region may become longer.
    pub(crate) fn can_grow(&self) -> Result<bool, Trouble> {
        let most = self.max_size.min(self.mem.limit()) / CHUNK;
        Ok(self.chunk_count()? < most.min(layout::MOST_CHUNKS))
    }
}

#[cfg(test)]
mod tests {
    use crate::Map;

    /// Found by `ci/soak`: of 64 processes that met the end at once each made the map longer by half.
    #[test]
    fn of_many_who_find_the_region_full_one_makes_it_longer() {
        let dir = tempfile::tempdir().unwrap();
        let map = Map::options().file(dir.path().join("full.map")).create().unwrap();
        let store = &map.stored("", "").unwrap().inner.store;
        let seen = store.chunk_count().unwrap();
        assert!(store.grow(1, seen).unwrap());
        let grown = store.chunk_count().unwrap();
        assert!(grown > seen);
        for _ in 0..64 {
            assert!(store.grow(1, seen).unwrap(), "there is room to look at");
        }
        assert_eq!(store.chunk_count().unwrap(), grown);
        assert!(store.grow(1, grown).unwrap());
        assert!(store.chunk_count().unwrap() > grown);
    }
}
