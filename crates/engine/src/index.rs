//! The index, from names to records: open addressing over words of the region.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Meta, Table, index_word, journal, kind, live, record},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords,
    },
    store::Store,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A name to look up, with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub(crate) name: &'a [u8],
    /// Hash of the name, with the seed of the region.
    pub hash: u64,
    /// The part of the name that lies in its record, as words padded with zeros.
    head: [u64; HEAD],
}

/// Words of a name that lie in its record.
const HEAD: usize = record::NAME_BYTES / 8;

impl<'a> Query<'a> {
    /// Hashes the name `name` for a region with this seed.
    #[inline(always)]
    pub fn new(name: &'a [u8], seed: u64) -> Self {
        Self::hashed(name, hash_of(name, seed))
    }

    /// As [`new`](Self::new), with the hash that an earlier query of the name had.
    #[inline(always)]
    pub fn hashed(name: &'a [u8], hash: u64) -> Self {
        // Word by word: the compiler turned a loop over the whole words into a call of `memcpy`.
        let (whole, _) = name.as_chunks::<8>();
        let word = |number: usize| match whole.get(number) {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None if number == whole.len() => tail(name),
            None => 0,
        };
        Self { name, hash, head: [word(0), word(1), word(2), word(3)] }
    }
}

/// Hashes a name for a region with this seed.
#[inline(always)]
pub(crate) fn hash_of(name: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(name, seed)
}

/// A line of the index lies outside the region. Small, since the fast path returns it.
pub(crate) struct Outside(u64);

/// How often a lookup is retried because the index changed during it.
const LOOKUPS: usize = 64;

/// An index word that can take a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    at: u64,
    slot: usize,
    empty: bool,
}

impl<M: Mem> Store<M> {
    /// Hashes a name for this region.
    #[inline]
    pub fn query<'a>(&self, name: &'a [u8]) -> Query<'a> {
        Query::new(name, self.seed)
    }

    /// Returns the record of a name. Its variable may be removed; only a read tells.
    #[inline]
    pub fn find(&self, query: Query<'_>) -> Result<Option<Handle>, EngineError> {
        match self.hit(&query) {
            Some(handle) => Ok(Some(handle)),
            None => self.find_slowly(query),
        }
    }

    /// Returns the record of a name if one unchecked probe finds it. A miss proves nothing: the
    /// index may have changed during the probe.
    #[inline(always)]
    pub fn hit(&self, query: &Query<'_>) -> Option<Handle> {
        let words = self.mem.mapped_words(live::AT, live::WORDS)?;
        // SYNC POINT S6. Pairs with the Release store of the root in `rebuild_with`: the new index
        // is seen whole.
        let table = Table::of_root(words.load(live::ROOT, Acquire));
        self.probe(table, query).ok().flatten()
    }

    #[cold]
    #[inline(never)]
    fn find_slowly(&self, query: Query<'_>) -> Result<Option<Handle>, EngineError> {
        for _ in 0..LOOKUPS {
            let words = self.mem.words(live::AT, live::WORDS).ok_or_else(|| outside(live::AT))?;
            // SYNC POINT S7, then S6: index_seq is loaded BEFORE the root. In the other order, a
            // miss in an index that was replaced in between would count.
            let seq = words.load(live::INDEX_SEQ, Acquire);
            let table = Table::of_root(words.load(live::ROOT, Acquire));
            // The index, and the records in it, may lie in a part by which the region has grown.
            // This maps it.
            let _ = self.chunk_count()?;
            let found = self.probe(table, &query).map_err(|Outside(at)| outside(at))?;
            if found.is_some() {
                return Ok(found);
            }
            // SYNC POINT S9. Pairs with the Release fences before chunks are reused: if the probe
            // read a word of a reused chunk, the load below sees the index_seq that was counted
            // before.
            self.mem.fence(Acquire);
            if words.load(live::INDEX_SEQ, Acquire) == seq {
                return Ok(None);
            }
        }
        Err(EngineError::Contended)
    }

    #[inline(always)]
    fn probe(&self, table: Table, query: &Query<'_>) -> Result<Option<Handle>, Outside> {
        for step in 0..layout::PROBE_LINES.min(table.lines) {
            let at = table.line(query.hash, step);
            let line = self.mem.mapped_words(at, 8).ok_or(Outside(at))?;
            for slot in 0..8 {
                let word = line.load(slot, Acquire);
                if word == index_word::EMPTY {
                    return Ok(None);
                }
                // A tombstone passes too if the fingerprint is 0. It leads to an offset at which no
                // record can lie.
                if index_word::fits(word, query.hash)
                    && let Some(handle) = self.names(index_word::record(word), query)
                {
                    return Ok(Some(handle));
                }
            }
        }
        Ok(None)
    }

    /// Returns the handle of the record at `at`, if it is a valid one and has the name. The index
    /// word that led here may hold anything.
    #[inline(always)]
    fn names(&self, at: u64, query: &Query<'_>) -> Option<Handle> {
        let line = self.mem.mapped_words(at, record::LINE)?;
        // SYNC POINT S4. Pairs with the Release store of the id in `insert_once`: name, meta and
        // first slot are seen as they were before it.
        let id = line.load(record::ID, Acquire);
        if id == 0 || id & record::RETIRED != 0 {
            return None;
        }
        let meta = Meta(line.load(record::META, Relaxed));
        let handle = Handle::checked(at, id, meta, &self.mem)?;
        if meta.name_len() != query.name.len() || !self.name_is(line, meta, query) {
            return None;
        }
        // SYNC POINT S3: the second load of the id shows whether the record was remade meanwhile.
        self.mem.fence(Acquire);
        (line.load(record::ID, Relaxed) == id).then_some(handle)
    }

    /// Whether the name lies there word by word, padded with zeros. A name with other padding is
    /// never found, even if [`name_of`](Self::name_of) returns it.
    #[inline(always)]
    pub(crate) fn name_is(&self, line: M::Words<'_>, meta: Meta, query: &Query<'_>) -> bool {
        let inline = inline_bytes(meta);
        if query.name.len() > inline {
            return self.long_name_is(line, inline, query.name);
        }
        let count = query.name.len().div_ceil(8);
        query.head.iter().enumerate().all(|(number, word)| {
            number >= count || line.load(record::NAME + number, Relaxed) == *word
        })
    }

    /// Whether a name that is too long for its record is `name`, by its prefix in the record and by
    /// its block.
    #[inline(never)]
    pub(crate) fn long_name_is(&self, line: M::Words<'_>, inline: usize, name: &[u8]) -> bool {
        let prefix = inline - 8;
        let Some((head, _)) = name.split_at_checked(prefix) else { return false };
        if !words_are(line, record::NAME, head) {
            return false;
        }
        let block = line.load(record::NAME + prefix / 8, Relaxed);
        let words = self.mem.words(block.wrapping_add(layout::BLOCK_NAME), name.len().div_ceil(8));
        words.is_some_and(|words| words_are(words, 0, name))
    }

    /// Whether the name of the record at `at` begins with this byte.
    pub fn begins_with(&self, at: u64, byte: u8) -> bool {
        let line = self.mem.words(at, record::LINE);
        line.is_some_and(|line| line.load(record::NAME, Relaxed) as u8 == byte)
    }

    /// Returns the name of the record at `at`, whatever its id; `None` if its length or block is
    /// invalid.
    pub fn name_of(&self, at: u64) -> Option<Vec<u8>> {
        let line = self.mem.words(at, record::LINE)?;
        let meta = Meta(line.load(record::META, Relaxed));
        let len = meta.name_len();
        if len == 0 || len > layout::LONGEST_NAME {
            return None;
        }
        let mut name = vec![0; len];
        let inline = inline_bytes(meta);
        if len <= inline {
            copy_words(line, record::NAME, &mut name);
        } else {
            let block = line.load(record::NAME + inline / 8 - 1, Relaxed);
            let at = block.wrapping_add(layout::BLOCK_NAME);
            copy_words(self.mem.words(at, len.div_ceil(8))?, 0, &mut name);
        }
        Some(name)
    }

    /// Whether the record at `at` is no variable of a user: its name begins with a zero byte, as the
    /// names of locks do.
    pub(crate) fn is_of_lock(&self, at: u64) -> bool {
        let first = || {
            let line = self.mem.words(at, record::LINE)?;
            let meta = Meta(line.load(record::META, Relaxed));
            let inline = inline_bytes(meta);
            if meta.name_len() <= inline {
                return Some(line.load(record::NAME, Relaxed));
            }
            let block = line.load(record::NAME + inline / 8 - 1, Relaxed);
            Some(self.mem.words(block.wrapping_add(layout::BLOCK_NAME), 1)?.load(0, Relaxed))
        };
        first().is_some_and(|word| word as u8 == 0)
    }

    /// Whether one more name fits the index at its greatest load, 0.7.
    pub(crate) fn index_has_space(&self) -> Result<bool, EngineError> {
        let words = self.live()?;
        let table = Table::of_root(words.load(live::ROOT, Relaxed));
        let used = words.load(live::INDEX_USED, Relaxed);
        Ok(used.saturating_add(1).saturating_mul(10) <= table.lines.saturating_mul(8 * 7))
    }

    /// Returns the word for a new name: the first tombstone or empty word on its probe path. `None`
    /// if the probe bound is reached. The caller holds L.
    pub(crate) fn vacancy(&self, table: Table, hash: u64) -> Result<Option<Vacancy>, EngineError> {
        let mut tombstone = None;
        for step in 0..layout::PROBE_LINES.min(table.lines) {
            let at = table.line(hash, step);
            let line = self.mem.words(at, 8).ok_or_else(|| outside(at))?;
            for slot in 0..8 {
                match line.load(slot, Relaxed) {
                    index_word::EMPTY => {
                        return Ok(tombstone.or(Some(Vacancy { at, slot, empty: true })));
                    }
                    index_word::TOMBSTONE if tombstone.is_none() => {
                        tombstone = Some(Vacancy { at, slot, empty: false });
                    }
                    _ => {}
                }
            }
        }
        Ok(tombstone)
    }

    /// Stores the index word of `record`. The caller holds L.
    pub(crate) fn link(&self, place: Vacancy, hash: u64, record: u64) -> Result<(), EngineError> {
        let line = self.mem.words_mut(place.at, 8).ok_or_else(|| outside(place.at))?;
        // Pairs with the Acquire load in `probe`. The word leads to a record without an id until
        // the insertion stores the id (S4).
        line.store(place.slot, index_word::new(hash, record), Release);
        if place.empty {
            self.live_mut()?.fetch_add(live::INDEX_USED, 1, Relaxed);
        }
        Ok(())
    }

    /// Replaces the index word of `record` by a tombstone, if it has one. Does nothing for an
    /// invalid name. The caller holds L.
    pub fn unlink(&self, record: u64) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        if let Some(name) = self.name_of(record) {
            let hash = Query::new(&name, self.seed).hash;
            let table = Table::of_root(live.load(live::ROOT, Relaxed));
            for step in 0..layout::PROBE_LINES.min(table.lines) {
                let at = table.line(hash, step);
                let line = self.mem.words_mut(at, 8).ok_or_else(|| outside(at))?;
                for slot in 0..8 {
                    if line.load(slot, Relaxed) == index_word::new(hash, record) {
                        line.store(slot, index_word::TOMBSTONE, Relaxed);
                        self.sweep_tombstones(table, at, slot)?;
                    }
                }
            }
        }
        // SYNC POINT S7. Pairs with the loads of index_seq in `find_slowly`. A name that was
        // removed and inserted again may get a word that a running lookup has already passed;
        // without the increment that lookup would report it absent.
        live.fetch_add(live::INDEX_SEQ, 1, Release);
        Ok(())
    }

    /// Makes the tombstones before an empty word empty, backwards within the line, so that lookups
    /// of absent names stay short. No probe needs them: no name was put beyond the empty word.
    fn sweep_tombstones(&self, table: Table, at: u64, slot: usize) -> Result<(), EngineError> {
        let line = self.mem.words_mut(at, 8).ok_or_else(|| outside(at))?;
        let next = if slot < 7 {
            line.load(slot + 1, Relaxed)
        } else {
            let next = table.line(at.wrapping_sub(table.at) / 64, 1);
            self.mem.words(next, 8).ok_or_else(|| outside(next))?.load(0, Relaxed)
        };
        if next != index_word::EMPTY {
            return Ok(());
        }
        for slot in (0..=slot).rev() {
            if line.load(slot, Relaxed) != index_word::TOMBSTONE {
                break;
            }
            line.store(slot, index_word::EMPTY, Relaxed);
            let live = self.live_mut()?;
            let used = live.load(live::INDEX_USED, Relaxed);
            live.store(live::INDEX_USED, used.saturating_sub(1), Relaxed);
        }
        Ok(())
    }

    /// Builds and publishes a new index, with more lines if names and not tombstones fill the old
    /// one. The caller holds L, and the journal is empty.
    pub fn rebuild(&self) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        let old = Table::of_root(live.load(live::ROOT, Relaxed));
        let mut names = 0;
        self.each_word(old, |_| names += 1)?;
        let mut lines = if names * 20 >= old.lines * 8 * 7 { old.lines * 2 } else { old.lines };
        // A line that overflows at a low load means forged names: a few doublings, then an error.
        for _ in 0..3 {
            if self.rebuild_with(old, lines)? {
                return Ok(());
            }
            lines *= 2;
        }
        Err(EngineError::Corrupt("the index overflows at a low load", old.at))
    }

    /// Enlarges the index until it has words for `places` records. It does so while chunks are free
    /// for it: later all of them may hold records. The caller holds L, and the journal is empty.
    pub fn make_index_fit(&self, places: u64) -> Result<(), EngineError> {
        let old = Table::of_root(self.live()?.load(live::ROOT, Relaxed));
        let mut lines = old.lines;
        while lines.saturating_mul(8 * 7) < places.saturating_mul(10) {
            lines *= 2;
        }
        if lines == old.lines {
            return Ok(());
        }
        match self.rebuild_with(old, lines) {
            Ok(_) => Ok(()),
            // No run of chunks is free: the old index serves until its probe bound.
            Err(EngineError::Full { .. }) if !self.can_grow()? => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    fn rebuild_with(&self, old: Table, lines: u64) -> Result<bool, EngineError> {
        let live = self.live_mut()?;
        let chunks = (lines * 64).div_ceil(layout::CHUNK);
        let Some(first) = self.free_run(chunks)? else {
            return Err(EngineError::Full {
                // The chunks must be contiguous; a table may interrupt a longer free span.
                needed: chunks.saturating_mul(layout::CHUNK),
                free: 0,
            });
        };
        let new = Table { at: first * layout::CHUNK, lines };
        let journal = self.journal()?;
        // Journalled before the chunks are allocated: a death in between would leak them.
        journal.store(journal::OLD, old.root(), Relaxed);
        journal.store(journal::NEW, new.root(), Relaxed);
        journal.store(journal::OPERATION, journal::ROOT, Release);
        self.set_run(first, chunks, kind::INDEX)?;
        let words =
            self.mem.words_mut(new.at, (lines * 8) as usize).ok_or_else(|| outside(new.at))?;
        // SYNC POINT S9. Pairs with the Acquire fence in `find_slowly`: the chunks may have been an
        // index that a lookup still reads. If it reads a word stored below, it also sees the
        // index_seq that was counted when that index was replaced.
        self.mem.fence(Release);
        for at in 0..(lines * 8) as usize {
            words.store(at, index_word::EMPTY, Relaxed);
        }
        let mut fits = true;
        let mut used = 0;
        self.each_word(old, |word| {
            let record = index_word::record(word);
            let Some(name) = self.name_of(record) else { return };
            let hash = Query::new(&name, self.seed).hash;
            match self.vacancy(new, hash) {
                Ok(Some(place)) if index_word::fits(word, hash) => {
                    if let Some(line) = self.mem.words_mut(place.at, 8) {
                        line.store(place.slot, index_word::new(hash, record), Relaxed);
                        used += 1;
                    }
                }
                // A word that does not fit its record's name is forged; no lookup finds it.
                Ok(Some(_)) => {}
                _ => fits = false,
            }
        })?;
        if fits {
            // SYNC POINT S6, the publication; S7 follows in `replay_root`.
            live.store(live::ROOT, new.root(), Release);
            live.store(live::INDEX_USED, used, Relaxed);
        }
        self.replay_root()?;
        Ok(fits)
    }

    /// Completes a rebuild if it was published, else undoes it. Idempotent: each step may be
    /// repeated after a death.
    pub(crate) fn replay_root(&self) -> Result<(), EngineError> {
        let live = self.live_mut()?;
        let journal = self.journal()?;
        let old = Table::of_root(journal.load(journal::OLD, Relaxed));
        let new = Table::of_root(journal.load(journal::NEW, Relaxed));
        let published = Table::of_root(live.load(live::ROOT, Relaxed)) == new;
        // Counted before the old chunks become free: the Release fence of their next user (S9) then
        // carries it to lookups that still read them.
        if published {
            live.fetch_add(live::INDEX_SEQ, 1, Release);
        }
        let old_one = published;
        let unused = if old_one { old } else { new };
        self.free_index(unused)?;
        journal.store(journal::OPERATION, journal::NOTHING, Release);
        Ok(())
    }

    /// Frees the chunks of an index, as far as they are chunks of an index.
    fn free_index(&self, table: Table) -> Result<(), EngineError> {
        let first = table.at / layout::CHUNK;
        if table.chunks() == 0 || !table.at.is_multiple_of(layout::CHUNK) {
            return Ok(());
        }
        let end = first.saturating_add(table.chunks()).min(self.chunk_count()?);
        if first >= end {
            // A forged root. Its neighbors have no words in the table.
            return Ok(());
        }
        self.hint_free(first, end - first)?;
        for number in first..end {
            match self.chunk_kind(number)? {
                (kind::INDEX, _) => self.set_chunk(number, kind::FREE, 0)?,
                // The process died while it freed them, or before it had allocated all of them.
                (kind::FREE, _) => {}
                _ => break,
            }
        }
        Ok(())
    }

    fn each_word(&self, table: Table, mut each: impl FnMut(u64)) -> Result<(), EngineError> {
        let words = table.lines.checked_mul(8).ok_or_else(|| outside(table.at))?;
        let words = usize::try_from(words).map_err(|_| outside(table.at))?;
        let range = self.mem.words(table.at, words).ok_or_else(|| outside(table.at))?;
        for at in 0..words {
            let word = range.load(at, Relaxed);
            if word != index_word::EMPTY && word != index_word::TOMBSTONE {
                each(word);
            }
        }
        Ok(())
    }
}

/// Returns how many bytes of a name fit the record itself. A longer name has 8 bytes less there,
/// and then the offset of its block.
#[inline]
pub fn inline_bytes(meta: Meta) -> usize {
    if meta.atomic() { record::ATOMIC_NAME_BYTES } else { record::NAME_BYTES }
}

/// Returns the last `len % 8` bytes of a name as a word, padded with zeros.
#[inline]
fn tail(name: &[u8]) -> u64 {
    let (_, rest) = name.as_chunks::<8>();
    if rest.is_empty() {
        return 0;
    }
    if let Some(last) = name.last_chunk::<8>() {
        // Shifted out of the last 8 bytes: a copy into a padded buffer took twice as long.
        return u64::from_le_bytes(*last) >> (64 - 8 * rest.len() as u32);
    }
    // The ends of what is left overlap, or meet: no loop over its bytes.
    let len = rest.len() as u32;
    if let (Some(head), Some(tail)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        let (head, tail) = (u32::from_le_bytes(*head), u32::from_le_bytes(*tail));
        return u64::from(head) | u64::from(tail) << (8 * (len - 4));
    }
    let byte = |at: u32| rest.get(at as usize).map_or(0, |byte| u64::from(*byte) << (8 * at));
    byte(0) | byte(len / 2) | byte(len - 1)
}

/// Returns the bits of the last word of a name with this length that are not the name's.
#[inline]
fn padding(len: usize) -> u64 {
    !u64::MAX.wrapping_shr((8 * len as u32).wrapping_neg())
}

/// Whether the words from `first` are `name`, padded with zeros.
#[inline]
pub fn words_are(words: impl Load, first: usize, name: &[u8]) -> bool {
    if let (Some(same), Some(last)) = (words.are(first, name), name.len().checked_sub(1)) {
        return same && words.load(first + last / 8, Relaxed) & padding(name.len()) == 0;
    }
    let (chunks, rest) = name.as_chunks::<8>();
    let mut at = first;
    for chunk in chunks {
        if words.load(at, Relaxed) != u64::from_le_bytes(*chunk) {
            return false;
        }
        at += 1;
    }
    rest.is_empty() || words.load(at, Relaxed) == tail(name)
}

/// Stores `name` into the words from `first`, padded with zeros.
pub fn store_name(words: impl StoreWords, first: usize, name: &[u8]) {
    let (chunks, rest) = name.as_chunks::<8>();
    let mut at = first;
    for chunk in chunks {
        words.store(at, u64::from_le_bytes(*chunk), Relaxed);
        at += 1;
    }
    if !rest.is_empty() {
        words.store(at, tail(name), Relaxed);
    }
}

/// Copies the words from `first` into `into`.
pub fn copy_words(words: impl Load, first: usize, into: &mut [u8]) {
    for (at, bytes) in into.chunks_mut(8).enumerate() {
        let word = words.load(first + at, Relaxed).to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = from;
        }
    }
}
