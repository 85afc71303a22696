//! Opens a region for reading, even if it cannot be opened as a map.

use crate::{MapOptions, map::open::header_error};
use mapvar_engine::{
    header::HeaderError,
    inspect::open::{NotOpened, store_over},
    layout::{self, CHUNK, live},
    mem::read_only::{ReadOnly, claimed_length},
    store::Store,
};
use mapvar_os::{Error, ErrorKind, Result};

/// A region that is mapped for reading, and the flaw of its header, if it has one.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) store: Store<ReadOnly>,
    pub(crate) flaw: Option<HeaderError>,
    /// The real length of the section in bytes.
    pub(crate) bytes: u64,
}

/// Bytes of address space to reserve at least, to follow a map that grows meanwhile.
const LEAST_RESERVED: u64 = 1 << 30;

/// Maps the section that the options name, for reading. A corrupt header is no error if chunks of a
/// map are found.
///
/// # Errors
/// [`ErrorKind::NotAMap`] if no part of a map is found; [`ErrorKind::Version`].
pub(crate) fn open_region(options: &MapOptions) -> Result<Region> {
    let section = options.clone().read_only(true).section()?.open()?;
    let bytes = section.size()?;
    if bytes < CHUNK {
        return Err(Error::new(ErrorKind::NotAMap, "open", "")
            .detail(format!("{bytes} bytes are too few for a map; use another path or name")));
    }
    let named = section.id()?.is_none();
    let mut len = bytes;
    if named {
        // A named section may have no memory behind the last chunk, so only the chunks are mapped.
        let view = section.view().len(bytes.min(layout::META_CHUNKS * CHUNK)).map()?;
        if let Some(words) = view.words(live::AT as usize, live::WORDS) {
            len = claimed_length(words).clamp(CHUNK, bytes);
        }
    }
    let mem = ReadOnly::new(section, len, len.saturating_mul(2).max(LEAST_RESERVED))?;
    let (store, flaw) = store_over(mem, bytes, named).map_err(|why| match why {
        NotOpened::Header(flaw) => header_error(flaw, bytes),
        NotOpened::Engine(trouble) => trouble.during("open", options.object()),
    })?;
    Ok(Region { store, flaw, bytes })
}
