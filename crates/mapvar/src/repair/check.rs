//! Checks whether a map is whole, by comparing every part of it with the parts that describe it.
//!
//! It writes nothing. In a map that other processes change meanwhile, an inconsistency counts only
//! if repeated reads find it unchanged.

use crate::{
    Map, MapOptions,
    map::Body,
    map::open::trust::{Relation, identity, relation},
    repair::open::{Region, open_region},
    repair::structs,
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    header::{HeaderError, Identity},
    inspect::findings::{Check, Finding},
    layout::{header, identity},
    mem::Mem,
};
use mapvar_os::{Error, Result};
use std::time::{Duration, Instant};

impl Map {
    /// Checks every part of the map for consistency with the other parts.
    ///
    /// It writes nothing and takes no lock, and other processes may use the map meanwhile: before
    /// it reports an inconsistency, it reads the parts again. It reads the whole map, so its time
    /// grows with the map's size.
    ///
    /// [`MapOptions::check`] checks a map that cannot be opened.
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
    /// [`Truncated`](crate::ErrorKind::Truncated) or [`Io`](crate::ErrorKind::Io) if the memory is
    /// lost; [`Closed`](crate::ErrorKind::Closed) in a forked child;
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if it takes longer than the
    /// [`recovery_timeout`](MapOptions::recovery_timeout). Inconsistencies are no errors: they are
    /// [findings](Check::findings), of which 10,000 faults and 10,000 notes are listed at most.
    pub fn check(&self) -> Result<Check> {
        match &self.0 {
            Body::Store(map) => {
                let late = deadline(map.inner.check_timeout);
                let store = &map.inner.store;
                map.run(|| {
                    let check = store.check(&[], true, codec::is_message_pack, &late)?;
                    structs::checked(store, &check, &late)
                })
                .map_err(|trouble: EngineError| trouble.during("check", map.object()))
            }
            Body::Gem(gem) => Ok(of_payload(gem.examine()?)),
        }
    }
}

/// Returns what tells whether this time has passed from now on.
fn deadline(within: Duration) -> impl Fn() -> bool {
    let deadline = Instant::now().checked_add(within);
    move || deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// The result for a gem map, whose payload is valid as a whole or not at all.
fn of_payload(examined: std::result::Result<u64, String>) -> Check {
    match examined {
        Ok(variables) => Check::new(Vec::new(), variables),
        Err(what) => Check::new(vec![Finding::fault(0, what)], 0),
    }
}

impl MapOptions {
    /// Checks a map as [`Map::check`] does, without opening it as a map.
    ///
    /// It works for a map that is corrupt, truncated or not yet recovered. It maps the section for
    /// reading only, whatever [`read_only`](Self::read_only) says, and changes no byte of it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("test.map");
    /// use mapvar::Map;
    ///
    /// Map::options().file(&path).create()?.set("foo", "hello")?;
    /// let check = Map::options().file(&path).check()?;
    /// assert!(check.is_whole(), "{:?}", check.findings());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`NotAMap`](crate::ErrorKind::NotAMap) if no part
    /// of a map is found; [`Version`](crate::ErrorKind::Version) for a map of another version;
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if it takes longer than the
    /// [`recovery_timeout`](Self::recovery_timeout); and the other errors of opening a section.
    pub fn check(&self) -> Result<Check> {
        self.awaited(|| self.try_check())
            .map_err(|error: Error| error.during("check", self.object()))
    }

    fn try_check(&self) -> Result<Check> {
        if let Some(gem) = self.open_gem_if_it_is_one()? {
            return Ok(of_payload(gem.examine()?));
        }
        let region = open_region(self)?;
        let seedless = !matches!(region.flaw, None | Some(HeaderError::Truncated { .. }));
        let mut known = Vec::new();
        known.extend(region.flaw.map(|flaw| flawed_header(flaw, region.bytes)));
        known.extend(recovery(&region)?);
        let late = deadline(self.check_timeout());
        let check = region.store.check(&known, !seedless, codec::is_message_pack, &late);
        let check = match check {
            // Without the seed no layout can be looked up; the header is a fault then.
            Ok(check) if seedless => Ok(check),
            Ok(check) => structs::checked(&region.store, &check, &late),
            late => late,
        };
        let check = check.map_err(|trouble| trouble.during("check", self.object()))?;
        region.store.mem().lost().map_or(Ok(check), Err)
    }
}

fn flawed_header(flaw: HeaderError, bytes: u64) -> Finding {
    let (word, what) = match flaw {
        HeaderError::NotReady | HeaderError::NotAMap => {
            (header::MAGIC, "the header's first word is not the magic number".into())
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

/// A note, if the next opener for writing has to recover the file.
fn recovery(region: &Region) -> Result<Option<Finding>> {
    let mem = region.store.mem();
    let Some(words) = mem.words(identity::AT, identity::WORDS) else { return Ok(None) };
    let Some(id) = mem.section().id()? else { return Ok(None) };
    let ours = identity(Some(id))?;
    let theirs = Identity::read(words);
    let what = match relation(theirs, &ours) {
        _ if theirs.is_none() => "the map has no identity; the next opener recovers it",
        Relation::Old | Relation::OldCopy => {
            "the map was last used before a restart, or on another machine; the next opener \
             recovers it"
        }
        Relation::Copy => "the file is a copy of another file; the next opener recovers the map",
        Relation::Unclear => {
            "the file may be a copy of another file; the next opener recovers the map"
        }
        Relation::Own | Relation::Moved => return Ok(None),
    };
    Ok(Some(Finding::note(identity::AT, what)))
}
