//! Copies a map that other processes use.
//!
//! A copy of its file may be torn: the parts of the file are copied at different moments. Here each
//! value is read as any reader reads it.

use crate::{
    Map, Value, map::Body, map::snapshot::Snapshot, map::store_map::Stored, plain::description_of,
    repair::salvage::save, repair::structs::Judge, value::codec,
};
use mapvar_engine::{error::EngineError, store::Births, value::OwnedValue};
use mapvar_os::{Error, ErrorKind, Result};

const COPY: &str = "copy variable";

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
    /// its variable and the map.
    ///
    /// A plain struct whose layout is damaged is among them, and not among
    /// [`variables`](Self::variables). Its bytes are copied nevertheless: the next program that
    /// opens the variable by its type stores the layout again.
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
                Ok(seen) => (vec![seen], self.is_without_birth_since(births)?),
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
            let mut judge = Judge::default();
            for (name, captured) in seen.iter().flat_map(Snapshot::each) {
                let Some(atomic) = self.is_lasting(name)? else { continue };
                match &self.0 {
                    Body::Store(map) => {
                        let flaw = carry(&mut judge, captured, map, target)?;
                        save(target, name, atomic, captured)?;
                        if let Some(flaw) = flaw {
                            let error = Error::new(ErrorKind::Corrupt, COPY, map.variable(name));
                            copied.lost.push(error.detail(format!("{flaw}; its bytes are copied")));
                            continue;
                        }
                    }
                    Body::Gem(_) => match codec::decode::<Value>(captured.clone()) {
                        Ok(value) => target.set(name, &value)?,
                        Err(error) => {
                            copied.lost.push(self.lost(error, name));
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

    /// The error of a variable that is not copied.
    fn lost(&self, error: Error, name: &str) -> Error {
        let object = match &self.0 {
            Body::Store(map) => map.object(),
            Body::Gem(gem) => gem.object(),
        };
        error.during(COPY, format!("{name:?} of {object}"))
    }

    fn births(&self) -> Result<Option<Births>> {
        match &self.0 {
            Body::Store(map) => map
                .run(|| map.inner.store.births_now().map(Some))
                .map_err(|trouble: EngineError| trouble.during("copy", map.object())),
            Body::Gem(_) => Ok(None),
        }
    }

    fn is_without_birth_since(&self, births: Option<Births>) -> Result<bool> {
        match (&self.0, births) {
            (Body::Store(map), Some(births)) => map
                .run(|| map.inner.store.is_without_birth_since(births))
                .map_err(|trouble: EngineError| trouble.during("copy", map.object())),
            _ => Ok(true),
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
                    lost.push(self.lost(error, name));
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

/// Gives `into` the layout of a value that is a plain struct; returns what is wrong if no reader of
/// the copy can read the struct.
fn carry(
    judge: &mut Judge,
    value: &OwnedValue,
    from: &Stored,
    into: &Stored,
) -> Result<Option<String>> {
    from.run(|| judge.carry(value, into, |id| description_of(&from.inner.store, id)))
        .map_err(|trouble: EngineError| trouble.during("copy layouts into", into.object()))
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
