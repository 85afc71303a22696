//! Copies a map that other processes use.
//!
//! A copy of its file may be torn: the parts of the file are copied at different moments. Here each
//! value is read as any reader reads it.

use crate::{
    Map, Value,
    map::Body,
    map::snapshot::Snapshot,
    map::store_map::Stored,
    plain::{Found, description_of},
    repair::salvage::save,
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    value::{Kind, OwnedValue},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

/// How often all variables are read anew because one was created meanwhile.
const ATTEMPTS: u32 = 4;

/// The outcome of [`Map::copy_to`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Copied {
    /// How many variables were copied.
    pub variables: u64,
    /// Whether the copy is the map as of one instant. Otherwise other processes changed more than
    /// 512 variables without a pause: each value is whole, and they are of different moments.
    pub at_one_instant: bool,
    /// The errors of the variables that were left out, since their values cannot be read. Each names
    /// its variable.
    pub lost: Vec<Error>,
}

impl Map {
    /// Copies every variable `into` another map, while other processes go on using this one.
    ///
    /// The copy is this map as of one instant, if its writers permit that
    /// ([`Copied::at_one_instant`]). A map in a file is flushed then. This is the way to copy a
    /// file in use: a program that copies the file itself, such as `cp`, may get a torn copy.
    ///
    /// Locks and ephemeral variables are not copied, since they belong to living processes. It
    /// takes the memory of all values. A variable whose value cannot be read is left out, and
    /// reported in [`Copied::lost`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (path, saved) = (dir.path().join("test.map"), dir.path().join("saved.map"));
    /// # let map = mapvar::Map::options().file(&path).create()?;
    /// map.set("foo", "hello")?;
    /// let into = mapvar::Map::options().file(&saved).create()?;
    /// assert_eq!(map.copy_to(&into)?.variables, 1);
    /// assert_eq!(into.get::<String>("foo")?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if both are the same map;
    /// [`Unsupported`](ErrorKind::Unsupported) if `into` is a gem's map; and those of
    /// [`iter`](Self::iter), [`set`](Self::set) and [`flush`](Self::flush). The other map then has a
    /// part of the variables.
    pub fn copy_to(&self, into: &Map) -> Result<Copied> {
        let target = into.stored("copy into", "copy into a map with Format::Store")?;
        if let Body::Store(map) = &self.0
            && map.inner.facts.uuid == target.inner.facts.uuid
            && is_same(map, target)?
        {
            return Err(Error::new(ErrorKind::InvalidArgument, "copy into", target.object())
                .detail("it is the map to copy; make a new one"));
        }
        let mut copied = Copied::default();
        for attempt in 1..=ATTEMPTS {
            let births = self.births()?;
            let (names, mut lost) = self.readable()?;
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            let (seen, at_one_instant) = match self.snapshot(&all) {
                Ok(seen) => (vec![seen], self.births()? == births),
                // A value may have become unreadable since its name was listed.
                Err(error) if error.kind() == ErrorKind::Contended || is_of_a_value(&error) => {
                    (self.one_by_one(&all, &mut lost)?, false)
                }
                Err(error) => return Err(error),
            };
            // A variable that was created meanwhile may be missing.
            if !at_one_instant && attempt < ATTEMPTS {
                continue;
            }
            (copied.at_one_instant, copied.lost) = (at_one_instant, lost);
            if let Body::Store(map) = &self.0 {
                let all = seen.iter().flat_map(Snapshot::each).map(|(_, captured)| captured);
                copy_layouts(map, target, all)?;
            }
            for (name, captured) in seen.iter().flat_map(Snapshot::each) {
                let Some(atomic) = self.is_lasting(name)? else { continue };
                match &self.0 {
                    Body::Store(_) => save(target, name, atomic, captured)?,
                    Body::Gem(_) => match codec::decode::<Value>(captured.clone()) {
                        Ok(value) => target.set(name, &value)?,
                        Err(error) => {
                            copied.lost.push(error.during("copy variable", format!("{name:?}")));
                            continue;
                        }
                    },
                }
                copied.variables += 1;
            }
            break;
        }
        if target.inner.facts.file {
            into.flush()?;
        }
        Ok(copied)
    }

    fn births(&self) -> Result<u64> {
        match &self.0 {
            Body::Store(map) => map
                .run(|| map.inner.store.births())
                .map_err(|trouble: EngineError| trouble.during("copy", map.object())),
            Body::Gem(_) => Ok(0),
        }
    }

    /// Returns the names of the variables that can be read, and the errors of the others.
    fn readable(&self) -> Result<(Vec<String>, Vec<Error>)> {
        let (mut names, mut lost) = (Vec::new(), Vec::new());
        let mut entries = self.iter();
        loop {
            match entries.advance() {
                Ok(Some(entry)) => names.push(entry.name().to_owned()),
                Ok(None) => return Ok((names, lost)),
                Err((error, true)) if is_of_a_value(&error) => lost.push(error),
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn one_by_one(&self, names: &[&str], lost: &mut Vec<Error>) -> Result<Vec<Snapshot>> {
        let mut seen = Vec::with_capacity(names.len());
        for name in names {
            match self.snapshot([*name]) {
                Ok(found) => seen.push(found),
                Err(error) if is_of_a_value(&error) => {
                    lost.push(error.during("copy variable", format!("{name:?}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// Whether the variable is an `Atomic`; `None` for one that ends with its process.
    fn is_lasting(&self, name: &str) -> Result<Option<bool>> {
        let Body::Store(map) = &self.0 else { return Ok(Some(false)) };
        let store = &map.inner.store;
        let found = map.run(|| store.find(store.query(name.as_bytes())));
        let found = found.map_err(|trouble: EngineError| trouble.during("copy", map.object()))?;
        // A variable that was removed since the copy was read is copied as it was read.
        Ok(match found {
            Some(handle) if store.is_ephemeral(handle) => None,
            found => Some(found.is_some_and(|handle| handle.atomic)),
        })
    }
}

/// Copies the layouts of all plain structs among the values.
fn copy_layouts<'a>(
    from: &Stored,
    into: &Stored,
    values: impl Iterator<Item = &'a OwnedValue>,
) -> Result<()> {
    let plain = values.filter(|value| value.kind == Kind::Plain as u8);
    let numbers: BTreeSet<u32> = plain.map(|value| value.type_id).collect();
    let copied = from.run(|| {
        for number in numbers {
            // Without a layout the bytes are copied nevertheless: a program with the type can store
            // the layout again.
            if let Found::Description(bytes) = description_of(&from.inner.store, number)? {
                into.inner.layouts.publish_description(&into.inner.store, &bytes)?;
            }
        }
        Ok(())
    });
    copied.map_err(|trouble: EngineError| trouble.during("copy layouts into", into.object()))
}

/// Whether the error says that a value cannot be read, and not that the map cannot be used.
fn is_of_a_value(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt
            | ErrorKind::TooLarge
            | ErrorKind::NoSpace
            | ErrorKind::WrongKind
            | ErrorKind::OutOfRange
    )
}

/// Whether two maps with one header are one map, and not a file and a copy of it.
fn is_same(one: &Stored, two: &Stored) -> Result<bool> {
    let file = |map: &Stored| map.inner.store.mem().section().id();
    Ok(file(one)?.zip(file(two)?).is_none_or(|(one, two)| one.is_same_file(&two) != Some(false)))
}
