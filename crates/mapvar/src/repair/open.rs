//! A region as it lies there, for who only looks: opened though no map can be made of it.

use crate::{MapOptions, map::open::header_error};
use mapvar_engine::{
    header::HeaderError,
    inspect::open::{NotOpened, store_over},
    layout::{self, CHUNK, live},
    mem::read_only::{ReadOnly, said_length},
    store::Store,
};
use mapvar_os::{Error, ErrorKind, Result};

/// A region that is looked at, and what is wrong with its header, if anything is.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) store: Store<ReadOnly>,
    pub(crate) flaw: Option<HeaderError>,
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
    let mem = ReadOnly::new(section, len, len.saturating_mul(2).max(ROOMY))?;
    let (store, flaw) = store_over(mem, bytes, named).map_err(|why| match why {
        NotOpened::Header(flaw) => header_error(flaw, bytes),
        NotOpened::Engine(trouble) => trouble.during("open", options.object()),
    })?;
    Ok(Region { store, flaw, bytes })
}
