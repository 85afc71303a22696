//! The checksums that prove that a flush reached the file whole. A slot is sealed with its
//! checksum. A superblock records how many slots an epoch sealed.

use crate::{
    error::{EngineError, outside},
    handle::Handle,
    layout::{self, Desc, Extent, record, slot, superblock},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, Release},
        StoreWords as _,
    },
    space::data::Data,
    store::Store,
};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that are hashed at a time: no flush needs memory for a whole value.
const PIECE: u64 = 64 << 10;

/// The words of a slot from which its checksum was computed. Each was loaded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub(crate) version: u64,
    /// Number of the type.
    pub type_id: u64,
    /// The checksum computed.
    pub crc: u32,
    /// The checksum stored in the slot.
    pub(crate) stored: u32,
    pub(crate) tombstone: bool,
    pub(crate) extent: Option<Extent>,
    pub(crate) first_word: u64,
}

/// A number of slots, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, id: u64, version: u64, crc: u32) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(id, version, crc));
    }

    pub(crate) fn remove(&mut self, id: u64, version: u64, crc: u32) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(id, version, crc));
    }
}

/// The content of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) epoch: u64,
    pub(crate) sealed: Tally,
    pub(crate) all: Tally,
    /// Whether its check word is right.
    pub(crate) good: bool,
}

impl<M: Mem> Store<M> {
    /// Returns both superblocks.
    pub(crate) fn superblocks(&self) -> Result<[Superblock; 2], EngineError> {
        let [first, second] = superblock::AT;
        Ok([self.superblock(first)?, self.superblock(second)?])
    }

    fn superblock(&self, at: u64) -> Result<Superblock, EngineError> {
        let words = self.mem.words(at, superblock::WORDS).ok_or_else(|| outside(at))?;
        let word = |at| words.load(at, Relaxed);
        let content = [
            word(superblock::EPOCH),
            word(superblock::COUNT),
            word(superblock::SUM),
            word(superblock::ALL_COUNT),
            word(superblock::ALL_SUM),
        ];
        let [epoch, count, sum, all_count, all_sum] = content;
        Ok(Superblock {
            epoch,
            sealed: Tally { count, sum },
            all: Tally { count: all_count, sum: all_sum },
            // A superblock of zeros is invalid: an epoch's number is never 0.
            good: epoch != 0 && word(superblock::CHECK) == check(content, self.region_id()?),
        })
    }

    pub(crate) fn write_superblock(&self, at: u64, block: &Superblock) -> Result<(), EngineError> {
        let words = self.mem.words_mut(at, superblock::WORDS).ok_or(EngineError::ReadOnly)?;
        let (sealed, all) = (block.sealed, block.all);
        let content = [block.epoch, sealed.count, sealed.sum, all.count, all.sum];
        for (number, word) in content.into_iter().enumerate() {
            words.store(superblock::EPOCH + number, word, Relaxed);
        }
        words.store(superblock::CHECK, check(content, self.region_id()?), Release);
        Ok(())
    }

    /// Returns both words of the region's random number.
    fn region_id(&self) -> Result<[u64; 2], EngineError> {
        let at = layout::header::AT;
        let header = self.mem.words(at, layout::header::WORDS).ok_or_else(|| outside(at))?;
        Ok([self.uuid, header.load(layout::header::UUID + 1, Relaxed)])
    }

    /// Computes the checksum that slot `number` has if it is sealed for epoch `seal` in the chunk
    /// `chunk_id`. `None` if the slot describes no value within the region.
    pub fn slot_sum(
        &self,
        chunk_id: u64,
        handle: Handle,
        number: usize,
        seal: u64,
    ) -> Result<Option<Sum>, EngineError> {
        self.sum_slot(chunk_id, handle, number, seal, false)
    }

    /// As [`slot_sum`](Self::slot_sum), for a region that no process writes to: the holes of an
    /// extent count as zeros without being read. A forged extent can be as long as a sparse file.
    pub(crate) fn slot_sum_of_data(
        &self,
        chunk_id: u64,
        handle: Handle,
        number: usize,
        seal: u64,
    ) -> Result<Option<Sum>, EngineError> {
        self.sum_slot(chunk_id, handle, number, seal, true)
    }

    fn sum_slot(
        &self,
        chunk_id: u64,
        handle: Handle,
        number: usize,
        seal: u64,
        alone: bool,
    ) -> Result<Option<Sum>, EngineError> {
        let at = handle.slot_at(number);
        let words = usize::from(handle.slot_words);
        let slot = self.mem.words(at, words).ok_or_else(|| outside(at))?;
        let version = slot.load(slot::VERSION, Acquire);
        let desc = Desc(slot.load(slot::DESC, Relaxed));
        let typed = slot.load(slot::TYPE, Relaxed);
        let type_id = typed >> 32;
        let mut crc = crc32fast::Hasher::new();
        for word in [chunk_id, handle.id & !record::RETIRED, version, desc.0, type_id, seal] {
            crc.update(&word.to_le_bytes());
        }
        let mut sum = Sum {
            version,
            type_id,
            crc: 0,
            stored: typed as u32,
            tombstone: desc.kind() == slot::TOMBSTONE,
            extent: None,
            first_word: 0,
        };
        if version == slot::INVALID || !desc.is_known() {
            return Ok(None);
        }
        if desc.is_extent() {
            let extent = Extent {
                at: slot.load(slot::DATA, Relaxed),
                capacity: slot.load(slot::DATA + 1, Relaxed),
            };
            crc.update(&extent.at.to_le_bytes());
            crc.update(&extent.capacity.to_le_bytes());
            if desc.len() > extent.capacity
                || !self.hash_extent(extent.at, desc.len(), &mut crc, alone)
            {
                return Ok(None);
            }
            sum.extent = Some(extent);
        } else {
            if desc.len() > handle.room() as u64 {
                return Ok(None);
            }
            for word in 0..(desc.len() as usize).div_ceil(8) {
                let word_at = slot::DATA + word;
                let value = slot.load(word_at, Relaxed);
                if word == 0 {
                    sum.first_word = value;
                }
                crc.update(&value.to_le_bytes());
            }
        }
        sum.crc = crc.finalize();
        Ok(Some(sum))
    }

    fn hash_extent(&self, at: u64, len: u64, crc: &mut crc32fast::Hasher, alone: bool) -> bool {
        if at >= self.mem.limit() || len > self.mem.limit() || !at.is_multiple_of(8) {
            return false;
        }
        // The bounds are checked before anything is hashed: a forged length could name more than is
        // mapped.
        let within = |(at, len): (u64, u64)| {
            self.mem.words(at, usize::try_from(len.div_ceil(8)).unwrap_or(usize::MAX)).is_some()
        };
        if !layout::pieces(at, len).all(within) {
            return false;
        }
        let mut bytes = vec![0; PIECE.min(len) as usize];
        let mut data = Data::of(&self.mem);
        for (at, len) in layout::pieces(at, len) {
            let mut done = 0;
            while done < len {
                if alone {
                    let next = data.at_or_after(at + done).map_or(len, |next| (next - at).min(len));
                    // A hole begins and ends with a block of the file system, and so with a word.
                    let hole = (next - done) & !7;
                    if hole != 0 {
                        hash_zeros(hole, crc);
                        done += hole;
                        continue;
                    }
                }
                let piece = PIECE.min(len - done);
                let (Some(words), Some(into)) = (
                    self.mem.words(at + done, piece.div_ceil(8) as usize),
                    bytes.get_mut(..piece as usize),
                ) else {
                    return false;
                };
                words.copy_to(into);
                crc.update(into);
                done += piece;
            }
        }
        true
    }
}

/// Adds `count` zero bytes to a checksum, in a time that grows with the logarithm of `count`.
fn hash_zeros(mut count: u64, crc: &mut crc32fast::Hasher) {
    let mut zeros = crc32fast::Hasher::new();
    zeros.update(&[0]);
    while count != 0 {
        if count & 1 != 0 {
            crc.combine(&zeros);
        }
        let half = zeros.clone();
        zeros.combine(&half);
        count >>= 1;
    }
}

/// Returns the hash that a slot adds to the sum of its epoch.
fn hash(id: u64, version: u64, crc: u32) -> u64 {
    let mut bytes = [0; 24];
    let words = [id & !record::RETIRED, version, u64::from(crc)];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Returns the check word of a superblock with these words, in the region with this number.
pub fn check(words: [u64; 5], uuid: [u64; 2]) -> u64 {
    let mut bytes = [0; 56];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words.iter().chain(&uuid)) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_hashed_by_their_number() {
        for count in [1, 7, 8, 4096, 100_000] {
            let (mut one, mut other) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
            for crc in [&mut one, &mut other] {
                crc.update(b"before");
            }
            one.update(&vec![0; count]);
            hash_zeros(count as u64, &mut other);
            for crc in [&mut one, &mut other] {
                crc.update(b"after");
            }
            assert_eq!(one.finalize(), other.finalize(), "{count}");
        }
    }

    #[test]
    fn what_is_added_can_be_removed() {
        let mut tally = Tally::default();
        tally.add(1, 2, 3);
        let one = tally;
        tally.add(4, 5, 6);
        assert_ne!(tally, one);
        tally.remove(4, 5, 6);
        assert_eq!(tally, one);
        // Retired or not, it is the same variable.
        tally.remove(1 | record::RETIRED, 2, 3);
        assert_eq!(tally, Tally::default());
    }
}
