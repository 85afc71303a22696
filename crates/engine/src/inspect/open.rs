//! A store over an unvalidated memory, for a program that only reads it.

use crate::{
    error::EngineError,
    header::{Facts, HeaderError, examine, header_crc},
    inspect::parts::ChunkHeader,
    layout::{self, CHUNK, header},
    mem::{Load, Mem, Ordering::Relaxed},
    store::Store,
};
use std::collections::HashMap;

impl<M: Mem> Store<M> {
    /// Returns the region number that most chunk headers name.
    fn usual_uuid(&mut self, chunks: u64) -> Option<u64> {
        let mut votes: HashMap<u64, u64> = HashMap::new();
        let before = self.uuid;
        let mut said = Vec::new();
        let mut used = self.used_chunks(chunks);
        let mut next = used.headed(layout::META_CHUNKS);
        while let Some(number) = next {
            let at = number * CHUNK + layout::chunk::UUID as u64 * 8;
            said.extend(self.mem.words(at, 1).map(|word| (number, word.load(0, Relaxed))));
            next = used.headed(number + 1);
        }
        for (number, uuid) in said {
            // Validates the header as one of that region.
            self.uuid = uuid;
            if matches!(self.chunk_says(number), ChunkHeader::Good(..)) {
                *votes.entry(self.uuid).or_default() += 1;
            }
        }
        self.uuid = before;
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(uuid, _)| uuid)
    }
}

/// The reason why a memory cannot be inspected as a region.
#[derive(Debug)]
pub enum NotOpened {
    /// The header was rejected.
    Header(HeaderError),
    /// Any other error.
    Engine(EngineError),
}

/// Makes a store of an unvalidated memory; returns also what is wrong with its header.
///
/// # Errors
/// [`NotOpened`], if nothing of a region is there, or one of another version.
pub fn store_over<M: Mem>(
    mem: M,
    bytes: u64,
    named: bool,
) -> Result<(Store<M>, Option<HeaderError>), NotOpened> {
    let words = mem.words(header::AT, header::WORDS);
    let words = words.ok_or(NotOpened::Header(HeaderError::NotAMap))?;
    let (facts, flaw) = match examine(words, bytes) {
        Ok(facts) => (facts, None),
        Err(flaw @ (HeaderError::Version(_) | HeaderError::Layout)) if is_sealed(words) => {
            return Err(NotOpened::Header(flaw));
        }
        Err(flaw) => {
            let version = words.load(header::VERSION, Relaxed);
            let facts = Facts {
                uuid: [words.load(header::UUID, Relaxed), words.load(header::UUID + 1, Relaxed)],
                seed: words.load(header::SEED, Relaxed),
                size: words.load(header::SIZE, Relaxed),
                region: bytes,
                max_size: 0,
                file: version & header::FILE != 0 || !named,
                created: 0,
                creator: 0,
            };
            (facts, Some(flaw))
        }
    };
    let mut store = Store::new(mem, &facts).map_err(NotOpened::Engine)?;
    if let Some(flaw) = flaw {
        match store.usual_uuid(bytes.div_ceil(CHUNK)) {
            Some(uuid) => store.uuid = uuid,
            None if matches!(flaw, HeaderError::NotAMap | HeaderError::NotReady) => {
                return Err(NotOpened::Header(HeaderError::NotAMap));
            }
            None => {}
        }
    }
    Ok((store, flaw))
}

/// Whether the header's checksum is right, so that its version can be trusted.
fn is_sealed(words: impl Load) -> bool {
    words.load(header::CRC, Relaxed) == header_crc(|at| words.load(at, Relaxed))
}
