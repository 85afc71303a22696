//! Whether a map is whole: every part of it compared with every other that speaks of it. Reads and
//! writes nothing; what looks wrong in a map that others change meanwhile counts only if it looks
//! the same again and again.

use crate::{
    Map, MapOptions,
    map::Body,
    map::open::identity,
    repair::open::{Region, look_at},
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    header::{HeaderError, Identity},
    inspect::verify::{Check, Finding},
    layout::{header, identity},
    mem::Mem,
};
use mapvar_os::{Error, Result};

impl Map {
    /// Looks at every part of the map, and compares it with all others that speak of it: chunks,
    /// records, names, the index, values and their extents. Writes nothing and takes no lock;
    /// others may go on using the map: what looks wrong is looked at again before it is told.
    ///
    /// A map that cannot be opened is looked at by [`MapOptions::check`].
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-check.{}", std::process::id())).create()?;
    /// map.set("foo", "hello")?;
    /// let check = map.check()?;
    /// assert!(check.is_whole(), "{:?}", check.findings());
    /// assert_eq!(check.variables(), 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// What happens to the memory, or to the process; never what the check finds.
    pub fn check(&self) -> Result<Check> {
        match &self.0 {
            Body::Store(map) => map
                .run(|| Ok(map.inner.store.check(&[], true, codec::is_message_pack)))
                .map_err(|trouble: EngineError| trouble.during("check", map.object())),
            Body::Gem(gem) => Ok(of_payload(gem.examine()?)),
        }
    }
}

/// The gem's payload makes sense, or not: there are no parts of it.
fn of_payload(examined: std::result::Result<u64, String>) -> Check {
    match examined {
        Ok(variables) => Check::new(Vec::new(), variables),
        Err(what) => Check::new(vec![Finding::fault(0, what)], 0),
    }
}

impl MapOptions {
    /// As [`Map::check`], without opening the map: also where [`open`](Self::open) would refuse it
    /// as corrupt or truncated, or would first have to recover it. It is mapped for reading alone,
    /// whatever [`read_only`](Self::read_only) says, and not one byte of it changes.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`NotAMap`](crate::ErrorKind::NotAMap) where there
    /// is nothing of a map; [`Version`](crate::ErrorKind::Version) for one that another build
    /// understands; and the others of opening a section.
    pub fn check(&self) -> Result<Check> {
        self.try_check().map_err(|error: Error| error.during("check", self.object()))
    }

    fn try_check(&self) -> Result<Check> {
        if let Some(gem) = self.open_gem_if_it_is_one()? {
            return Ok(of_payload(gem.examine()?));
        }
        let region = look_at(self)?;
        let seedless = !matches!(region.flaw, None | Some(HeaderError::Truncated { .. }));
        let mut known = Vec::new();
        known.extend(region.flaw.map(|flaw| flawed_header(flaw, region.bytes)));
        known.extend(recovery(&region)?);
        let check = region.store.check(&known, !seedless, codec::is_message_pack);
        region.store.mem().lost().map_or(Ok(check), Err)
    }
}

fn flawed_header(flaw: HeaderError, bytes: u64) -> Finding {
    let (word, what) = match flaw {
        HeaderError::NotReady | HeaderError::NotAMap => {
            (header::MAGIC, "the header's first word is gone".into())
        }
        HeaderError::Version(version) => {
            (header::VERSION, format!("the header says version {version}"))
        }
        HeaderError::Layout => {
            (header::LAYOUT, "the header says that another build laid it out".into())
        }
        HeaderError::Corrupt(what) => (header::CRC, what.into()),
        HeaderError::Truncated { said } => {
            (header::REGION, format!("the file has {bytes} bytes, and should have {said}"))
        }
    };
    Finding::fault(header::AT + word as u64 * 8, what)
}

/// Whether the next who opens the file for writing has to recover it.
fn recovery(region: &Region) -> Result<Option<Finding>> {
    let mem = region.store.mem();
    let Some(words) = mem.words(identity::AT, identity::WORDS) else { return Ok(None) };
    let Some(id) = mem.section().id()? else { return Ok(None) };
    let ours = identity(Some(id))?;
    let what = match Identity::read(words) {
        None => "nobody's identity stands here: the next opener recovers the map",
        Some(theirs) if theirs.boot != ours.boot => {
            "last used before a restart, or elsewhere: the next opener recovers the map"
        }
        // Not by its birth, which under Wine is when it was last written to.
        Some(theirs) if theirs.file.first_chunk::<2>() != ours.file.first_chunk() => {
            "a copy of another file: the next opener recovers the map"
        }
        Some(_) => return Ok(None),
    };
    Ok(Some(Finding::note(identity::AT, what)))
}
