//! A region as it lies there, for who only looks: opened though no map can be made of it.

use crate::{
    MapOptions,
    engine::Store,
    layout::{self, CHUNK, header, live},
    mem::{
        Load, Mem,
        Ordering::Relaxed,
        bare::{Bare, said_length},
    },
    options::told_flaw,
    region::{self, Facts, Flaw},
    whole::Header,
};
use mapvar_os::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// A region that is looked at, and what is wrong with its header, if anything is.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) store: Store<Bare>,
    pub(crate) flaw: Option<Flaw>,
    /// Its real length.
    pub(crate) bytes: u64,
}

/// Address space to follow a map that grows meanwhile.
const ROOMY: u64 = 1 << 30;

/// Maps what the options name, for reading. A header that makes no sense is no hindrance where
/// chunks of a map are found.
///
/// # Errors
/// [`ErrorKind::NotAMap`] where there is nothing of one; [`ErrorKind::Version`].
pub(crate) fn look_at(options: &MapOptions) -> Result<Region> {
    let section = options.clone().read_only(true).section()?.open()?;
    let bytes = section.size()?;
    if bytes < CHUNK {
        return Err(Error::new(ErrorKind::NotAMap, "open", "")
            .detail(format!("{bytes} bytes are too few for a map; name another")));
    }
    let named = section.id()?.is_none();
    let mut len = bytes;
    if named {
        // What lies behind its chunks may have no memory behind it.
        let view = section.view().len(bytes.min(layout::META_CHUNKS * CHUNK)).map()?;
        if let Some(words) = view.words(live::AT as usize, live::WORDS) {
            len = said_length(words).clamp(CHUNK, bytes);
        }
    }
    let mem = Bare::new(section, len, len.saturating_mul(2).max(ROOMY))?;
    let (store, flaw) = store_over(mem, bytes, named, || options.object())?;
    Ok(Region { store, flaw, bytes })
}

/// A store over what lies there, whatever its header says, and what is wrong with that.
///
/// # Errors
/// As [`look_at`].
pub(crate) fn store_over<M: Mem>(
    mem: M,
    bytes: u64,
    named: bool,
    object: impl Fn() -> String,
) -> Result<(Store<M>, Option<Flaw>)> {
    let words = mem.words(header::AT, header::WORDS);
    let words = words.ok_or_else(|| Error::new(ErrorKind::Io, "open", ""))?;
    let (facts, flaw) = match region::examine(words, bytes) {
        Ok(facts) => (facts, None),
        Err(flaw @ (Flaw::Version(_) | Flaw::Layout)) if is_sealed(words) => {
            return Err(told_flaw(flaw, bytes));
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
    let mut store = Store::new(mem, &facts).map_err(|trouble| trouble.during("open", object()))?;
    if let Some(flaw) = flaw {
        match store.usual_uuid(bytes.div_ceil(CHUNK)) {
            Some(uuid) => store.uuid = uuid,
            None if matches!(flaw, Flaw::NotAMap | Flaw::NotReady) => {
                return Err(told_flaw(Flaw::NotAMap, bytes));
            }
            None => {}
        }
    }
    Ok((store, flaw))
}

/// Whether the header's checksum is right: then it says what it means.
fn is_sealed(words: impl Load) -> bool {
    words.load(header::CRC, Relaxed) == region::header_crc(words)
}

impl<M: Mem> Store<M> {
    /// The number of the map that most chunks say they are of.
    fn usual_uuid(&mut self, chunks: u64) -> Option<u64> {
        let mut votes: HashMap<u64, u64> = HashMap::new();
        let before = self.uuid;
        for number in layout::META_CHUNKS..chunks.min(layout::MOST_CHUNKS) {
            let at = number * CHUNK + layout::chunk::UUID as u64 * 8;
            let Some(word) = self.mem.words(at, 1) else { continue };
            // Judged as if it were of that map.
            self.uuid = word.load(0, Relaxed);
            if matches!(self.chunk_says(number), Header::Good(..)) {
                *votes.entry(self.uuid).or_default() += 1;
            }
        }
        self.uuid = before;
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(uuid, _)| uuid)
    }
}
